"""Tables: where they come from, and what is registered of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataSource:
    """A table to register: a file, and whether the built-in generator made it."""

    path: Path
    synthetic: bool = False
    description: str = ""


class StreamDrift(StrEnum):
    """How the world of a generated stream changes over its length."""

    NONE = "none"
    SUDDEN = "sudden"
    GRADUAL = "gradual"
    RECURRING = "recurring"


@dataclass(frozen=True, slots=True)
class Dataset:
    """An immutable version of a table. `sha256` is of the content as registered; `label_column` is the column to predict."""

    name: str
    version: str
    rows: int
    columns: tuple[str, ...]
    label_column: str
    sha256: str
    synthetic: bool = False
    created: datetime | None = None
