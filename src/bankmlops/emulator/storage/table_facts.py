"""What an AutoML run needs to remember of its training table after the table is gone: columns, classes, gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bankmlops.errors import InvalidRequestError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Feature:
    """A column to predict from; `dtype` is pandas', `example` a value that occurs (None where there is none)."""

    name: str
    dtype: str
    example: int | float | bool | str | None
    missing: int
    distinct: int


@dataclass(frozen=True, slots=True)
class TableFacts:
    """The training table without its rows; `classes` counts the rows of each label, `label_dtype` is pandas'."""

    rows: int
    features: tuple[Feature, ...]
    classes: Mapping[str, int]
    label_dtype: str

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TableFacts:
        """What `to_document` wrote."""
        features = tuple(Feature(**each) for each in document["features"])
        return cls(document["rows"], features, document["classes"], document["label_dtype"])


def facts_of(path: Path, label_column: str) -> TableFacts:
    """Read the table and look at it. Raises `InvalidRequestError` where the label is not among the columns."""
    import pyarrow.compute as pc

    from bankmlops.datasets import read_table

    table = read_table(path)
    if label_column not in table.column_names:
        raise InvalidRequestError(
            f"label_column_name {label_column!r} is not in the dataset; its columns: {', '.join(table.column_names)}"
        )
    label = table.column(label_column)
    counts = {str(each["values"]): each["counts"] for each in pc.value_counts(label).to_pylist() if each["values"] is not None}
    features = tuple(_feature(name, table.column(name)) for name in table.column_names if name != label_column)
    return TableFacts(table.num_rows, features, counts, _dtype(label))


def _feature(name: str, column: pa.ChunkedArray) -> Feature:
    import pyarrow.compute as pc

    present = column.drop_null()
    example = present[0].as_py() if len(present) else None
    if isinstance(example, float) and not math.isfinite(example):
        example = None
    return Feature(name, _dtype(column), example, column.null_count, pc.count_distinct(column).as_py())


def _dtype(column: pa.ChunkedArray) -> str:
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        return "float64" if column.null_count else "int64"
    if pa.types.is_floating(column.type):
        return "float64"
    if pa.types.is_boolean(column.type) and not column.null_count:
        return "bool"
    return "object"
