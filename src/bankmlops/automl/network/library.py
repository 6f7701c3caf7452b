"""Whether the packages of the extra `deep` are there, and their import: it takes seconds, so that only a network asks for it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

PACKAGES = ("torch", "tabm")


def missing_packages() -> Sequence[str]:
    """Those of the extra `deep` that are not installed."""
    return tuple(name for name in PACKAGES if find_spec(name) is None)


def preload_network() -> None:
    """Import what training needs; where that fails, the fit that needs it says so."""
    _failure()


def import_network() -> None:
    """Import what training needs. Raises `ImportError` with the cause: what is missing, or what is broken."""
    if reason := _failure():
        raise ImportError(reason)


@cache  # a second import of what broke in the midst of the first one fails for other reasons
def _failure() -> str:
    try:
        importlib.import_module("bankmlops.automl.network.training")
    except ImportError as error:
        return str(error)
    except Exception as error:  # such as the OSError of a library that PyTorch can't load
        return f"PyTorch can't be imported: {type(error).__name__}: {error}"
    return ""
