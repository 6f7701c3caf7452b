"""Refuse a table that AutoML can't learn a classifier from, before anything is registered."""

from __future__ import annotations

from difflib import get_close_matches

import pyarrow as pa
import pyarrow.compute as pc

from bankmlops.errors import InvalidRequestError

MINIMUM_ROWS = 50
MAXIMUM_CLASSES = 100
MINIMUM_ROWS_OF_CLASS = 5


def check_for_training(table: pa.Table, label_column: str, name: str) -> None:
    """Raise `InvalidRequestError`, one line that starts with `name`, where `table` can't train a classifier of `label_column`."""
    _check_label_is_there(table, label_column, name)
    if table.num_rows < MINIMUM_ROWS:
        raise InvalidRequestError(f"{name}: {table.num_rows} rows; at least {MINIMUM_ROWS} would serve")
    if table.num_columns == 1:
        raise InvalidRequestError(f"{name}: the label {label_column!r} is the only column; at least one feature would serve")
    _check_labels_are_complete(table.column(label_column), label_column, name)
    _check_classes(table.column(label_column), label_column, name)


def check_for_test(table: pa.Table, label_column: str, name: str) -> None:
    """Raise `InvalidRequestError`, one line that starts with `name`, where no model can be judged on `table`."""
    _check_label_is_there(table, label_column, name)
    if table.num_rows == 0:
        raise InvalidRequestError(f"{name}: no row; at least one of each of two classes would serve")
    _check_labels_are_complete(table.column(label_column), label_column, name)
    if pc.count_distinct(table.column(label_column)).as_py() == 1:
        only = table.column(label_column)[0].as_py()
        raise InvalidRequestError(f"{name}: {table.num_rows} rows, all of the class {only!r}; a second class would serve")


def _check_label_is_there(table: pa.Table, label_column: str, name: str) -> None:
    if label_column in table.column_names:
        return
    close = get_close_matches(label_column, table.column_names, n=1)
    hint = f"did you mean {close[0]!r}" if close else f"the columns are {_shortened(table.column_names)}"
    raise InvalidRequestError(f"{name}: no label column {label_column!r}; {hint}")


def _check_labels_are_complete(labels: pa.ChunkedArray, label_column: str, name: str) -> None:
    if not labels.null_count:
        return
    first = pc.index(labels.is_null(), pa.scalar(True)).as_py() + 1
    raise InvalidRequestError(
        f"{name}, label {label_column!r}: {labels.null_count} rows have no label (the first is data row {first}); "
        "fill them in or leave these rows out"
    )


def _check_classes(labels: pa.ChunkedArray, label_column: str, name: str) -> None:
    counts = {count["values"]: count["counts"] for count in pc.value_counts(labels.combine_chunks()).to_pylist()}
    at = f"{name}, label {label_column!r}"
    if len(counts) == 1:
        raise InvalidRequestError(f"{at}: a single class, {next(iter(counts))!r}; at least two would serve")
    if len(counts) > MAXIMUM_CLASSES:
        raise InvalidRequestError(f"{at}: {len(counts)} classes; at most {MAXIMUM_CLASSES} would serve (is it the right column?)")
    rare = min(counts, key=lambda value: (counts[value], str(value)))
    if counts[rare] < MINIMUM_ROWS_OF_CLASS:
        raise InvalidRequestError(
            f"{at}: the class {rare!r} has {counts[rare]} rows; at least {MINIMUM_ROWS_OF_CLASS} a class would serve (one a fold)"
        )


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
