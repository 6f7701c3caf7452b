"""From the bytes of a request to rows: Azure ML's wire, and the two ways that pandas writes a table.

{"data": [{...}, ...]}                                                        AutoML's endpoints, scoring file v1
{"data": [{...}, ...], "method": "predict_proba"}                             the same, with a method
{"Inputs": {"data": [...]}, "GlobalParameters": {"method": "predict"}}        scoring file v2
{"input_data": {"columns": [...], "index": [...], "data": [[...], ...]}}      MLflow models on Azure ML; also under "data"
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pydantic_core

from bankmlops.scoring.refusal import RefusedError, invalid

METHODS = ("predict", "predict_proba")
EXAMPLE = '{"data": [{"column": value, ...}, ...]}'


class ScoreRequest(NamedTuple):
    """Rows as the caller gave them (their values are not checked yet), and what is asked of the model."""

    rows: list[Any]
    method: str


def parse_body(body: bytes, maximum_rows: int) -> ScoreRequest:
    """Read a request. Raises `RefusedError` with one line on what is wrong, and what would serve.

    The parser refuses invalid UTF-8 and nesting deeper than 200 levels. NaN and infinity are no JSON, but their place in the
    rows is what the caller wants to hear: they are read, and refused with the values.
    """
    try:
        document = pydantic_core.from_json(body)
    except ValueError as error:
        raise invalid(f"the body is not JSON: {error}; send {EXAMPLE}") from error
    if not isinstance(document, dict):
        raise invalid(f"the body is {_kind(document)}; send {EXAMPLE}")
    return _read_document(document, maximum_rows)


def _read_document(document: dict[str, Any], maximum_rows: int) -> ScoreRequest:
    if "Inputs" in document:
        inputs = _object(document["Inputs"], "Inputs")
        parameters = _object({} if document.get("GlobalParameters") is None else document["GlobalParameters"], "GlobalParameters")
    else:
        inputs = parameters = document
    data = inputs["data"] if "data" in inputs else inputs.get("input_data")
    rows = data if isinstance(data, list) else _rows_of_table(data)
    _check_count(rows, maximum_rows)
    return ScoreRequest(rows, _method(parameters.get("method", "predict")))


def _check_count(rows: list[Any], maximum_rows: int) -> None:
    if not rows:
        raise invalid(f"data holds no row; send {EXAMPLE}")
    if len(rows) > maximum_rows:
        raise RefusedError(413, "too_large", f"data holds {len(rows):,} rows: send at most {maximum_rows:,} in a request")


def _method(value: object) -> str:
    if value not in METHODS:
        raise invalid(f"method: {_shown(value)} is unknown; {' or '.join(METHODS)} would serve")
    return str(value)


def _rows_of_table(data: object) -> list[Any]:
    """The rows of pandas' `split` orientation; its index is the caller's own and not looked at."""
    if not isinstance(data, dict):
        raise invalid(f"data is {_kind(data)}; send {EXAMPLE}")
    columns, values = data.get("columns"), data.get("data")
    if not isinstance(columns, list) or not isinstance(values, list):
        raise invalid(f'data is an object without the lists "columns" and "data"; send {EXAMPLE}')
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) != len(columns):
        raise invalid("columns must be texts, each once")
    for index, row in enumerate(values):
        if not isinstance(row, list) or len(row) != len(columns):
            raise invalid(f"row {index}: a list of {len(columns)} values would serve, one for each of columns")
    return [dict(zip(columns, row, strict=True)) for row in values]


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"{name} is {_kind(value)}; an object would serve")
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "missing or null"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    return repr(value)[:40] if isinstance(value, str | int | float | bool) else _kind(value)
