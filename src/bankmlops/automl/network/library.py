"""Whether the packages of the extra `deep` are there, and their import: it takes seconds, so that only a network asks for it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec

_PACKAGES = ("torch", "tabm")


def missing_packages() -> Sequence[str]:
    """Those of the extra `deep` that are not installed."""
    return tuple(name for name in _PACKAGES if find_spec(name) is None)


def import_network() -> None:
    """Import what training needs; where that fails, the fit that needs it says so."""
    with suppress(ImportError):
        importlib.import_module("bankmlops.automl.network.training")
