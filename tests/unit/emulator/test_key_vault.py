"""Secrets of the workspace's Key Vault, on the wire that the SDK speaks."""

from __future__ import annotations

import pytest

from bankmlops.emulator.web.key_vault import MAX_VALUE_BYTES
from support.served_emulator import Served

SECRETS = "/credential/v2.0"


def _put(served: Served, name: str, value: object = "v") -> int:
    return served.call("PUT", SECRETS, "/secrets", json={"name": name, "value": value}).status_code


def test_a_secret_as_it_goes(served: Served) -> None:
    """It is kept, read, overwritten and deleted; what answers a write or a list bears no value."""
    created = served.call("PUT", SECRETS, "/secrets", json={"name": "password", "value": "one"})
    assert (created.status_code, "value" in created.json()) == (200, False)
    assert _put(served, "Password", "two") == 200
    assert served.call("GET", SECRETS, "/secrets").json()["value"] == [{"name": "Password"}]
    found = served.call("GET", SECRETS, "/secrets/password").json()
    assert (found["value"], found["createdTime"] < found["modifiedTime"]) == ("two", True)
    assert served.call("DELETE", SECRETS, "/secrets/password").status_code == 200
    assert served.call("GET", SECRETS, "/secrets/password").status_code == 404


def test_batches(served: Served) -> None:
    """Several at once; where one is refused none is kept, and those that are not there are told by name."""
    batch = {"secrets": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}
    assert served.call("PUT", SECRETS, "/secrets:putbatch", json=batch).status_code == 200
    wrong = {"secrets": [{"name": "c", "value": "3"}, {"name": "no_underscore", "value": "4"}]}
    assert served.call("PUT", SECRETS, "/secrets:putbatch", json=wrong).status_code == 400
    asked = {"secrets": [{"name": "b"}, {"name": "c"}]}
    found = served.call("POST", SECRETS, "/secrets:getbatch", json=asked).json()
    assert ([each["value"] for each in found["secrets"]], found["notFoundSecrets"]) == (["2"], ["c"])
    assert served.call("POST", SECRETS, "/secrets:deletebatch", json=asked).status_code == 200
    assert served.call("GET", SECRETS, "/secrets").json()["value"] == [{"name": "a"}]


@pytest.mark.parametrize(
    ("name", "value"), [("", "v"), ("a b", "v"), ("a" * 128, "v"), ("a", None), ("a", "é" * MAX_VALUE_BYTES)]
)
def test_what_is_refused(served: Served, name: str, value: object) -> None:
    """A name that Key Vault would refuse, a value that is no text, and one that is too long."""
    assert _put(served, name, value) == 400


def test_a_vault_is_its_workspaces_alone(served: Served) -> None:
    """Another workspace of the same emulator sees nothing of it."""
    assert _put(served, "mine") == 200
    other = Served(served.emulator, served.client)
    assert other.call("GET", SECRETS, "/secrets/mine").status_code == 404
