"""A short description of each column of a table: what is missing, how it is spread, which texts are frequent."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.compute as pc

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MAXIMUM_SHOWN = 20


def profile_of(table: pa.Table) -> dict[str, Any]:
    """A JSON-ready profile: rows, and for each column its type, missing and distinct values, and numbers or frequent values."""
    return {"rows": table.num_rows, "columns": [_profile(name, table.column(name)) for name in table.column_names]}


def _profile(name: str, column: pa.ChunkedArray) -> dict[str, Any]:
    profile: dict[str, Any] = {
        "name": name,
        "type": str(column.type),
        "missing": column.null_count,
        "distinct": pc.count_distinct(column).as_py(),
    }
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    return profile | (_numbers(column) if numeric else _frequent(column))


def _numbers(column: pa.ChunkedArray) -> dict[str, Any]:
    values = column.drop_null().to_numpy().astype(numpy.float64)
    values = values[numpy.isfinite(values)]
    if not values.size:
        return {}
    quantiles = {
        f"{quantile:g}": float(value) for quantile, value in zip(QUANTILES, numpy.quantile(values, QUANTILES), strict=True)
    }
    with numpy.errstate(over="ignore", invalid="ignore"):
        spread = {"mean": float(values.mean()), "standard_deviation": float(values.std())}
    shown = {name: value if math.isfinite(value) else None for name, value in spread.items()}
    return {"minimum": float(values.min()), "maximum": float(values.max()), **shown, "quantiles": quantiles}


def _frequent(column: pa.ChunkedArray) -> dict[str, Any]:
    counts = pc.value_counts(column.drop_null().combine_chunks()).to_pylist()
    counts.sort(key=lambda count: (-count["counts"], str(count["values"])))
    return {"frequent": {str(count["values"]): count["counts"] for count in counts[:MAXIMUM_SHOWN]}}
