"""What a value holds where nothing is said."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

NO_TAGS: Mapping[str, str] = MappingProxyType({})


def empty_mapping() -> Mapping[str, Any]:
    """A mapping that holds nothing, and never will."""
    return MappingProxyType({})
