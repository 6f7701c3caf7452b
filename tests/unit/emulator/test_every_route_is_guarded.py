"""Which routes can be called without credentials: those that need none, and no other."""

from __future__ import annotations

import re

import pytest

from bankmlops.emulator.app import PROTECTED
from bankmlops.emulator.storage import blob
from bankmlops.emulator.web.routing import Route
from support.served_emulator import Served

ROUTES = [(method, route) for router in PROTECTED for route in router.routes for method in route.methods]
STORAGE = [(method, route) for route in blob.router.routes for method in route.methods]


def _path(route: Route) -> str:
    return re.sub(r"\{[^}]+\}", "some", route.path)


def _name(value: object) -> str:
    return value.path if isinstance(value, Route) else str(value)


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=_name)
def test_without_a_token(served: Served, method: str, route: Route) -> None:
    """Every route of a service behind ARM answers 401 to who brings no token, before it looks at what is asked."""
    assert served.client.request(method, _path(route)).status_code == 401


@pytest.mark.parametrize(("method", "route"), STORAGE, ids=_name)
def test_storage_without_a_signature(served: Served, method: str, route: Route) -> None:
    """Every route of the storage answers 401 to who brings neither key, signature nor token."""
    headers = {"Host": f"{served.workspace.account}.blob.core.windows.net"}
    assert served.client.request(method, _path(route), headers=headers).status_code == 401
