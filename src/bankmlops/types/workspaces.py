"""Where everything is, and what of it costs money."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workspace:
    """The place that holds everything; `location` is a folder (local) or an Azure region."""

    name: str
    location: str
    subscription_id: str = ""
    resource_group: str = ""


@dataclass(frozen=True, slots=True)
class CostlyResource:
    """Something a backend made that goes on costing money until it is released."""

    kind: str
    name: str
