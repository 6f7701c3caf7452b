"""Dataflows: read, as the SDK wraps them, and written for datasets made of what a run has left on a datastore."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.scripts.script_data import Place
from bankmlops.errors import InvalidRequestError

MAX_PATHS = 1000
GLOB_SIGNS = re.compile(r"[*?\[]")
_DELIMITED = "Microsoft.DPrep.ParseDelimitedBlock"
_PARQUET = "Microsoft.DPrep.ReadParquetFileBlock"
_DROP = "Microsoft.DPrep.DropColumnsBlock"
_FILTER = "Microsoft.DPrep.ExpressionFilterBlock"
_MISREAD = "output dataset: how it is read as a table is not understood; use the SDK's read_*_files()"
_HEADERS = {0: "no_header", 1: "from_first_file", 2: "all_files_different_headers", 3: "all_files_same_headers"}


def dataflow_of_files(workspace: WorkspaceState, place: Place) -> str:
    """The files at a place, as a file dataset's dataflow."""
    return _dataflow(workspace, place, [])


def has_blocks(transformations: str) -> bool:
    """Whether the SDK's text says how files are read as a table."""
    return bool(_blocks(transformations))


def dataflow_of_table(workspace: WorkspaceState, place: Place, *transformations: str) -> str:
    """The files at a place read as the SDK's blocks say. Raises `InvalidRequestError` for a block that is not emulated."""
    steps: list[Any] = []
    for block in (block for text in transformations for block in _blocks(text)):
        steps += _step(str(block.get("type")), block.get("arguments") or {})
    return _dataflow(workspace, place, steps)


def lone_file(dataflow: str) -> str:
    """The name of the one file that a dataflow names, "" where it names several paths, a folder or a pattern.

    A folder that is written without a slash at its end looks like a file; whoever fetches the files sees the difference, and
    what is wrong with a dataflow that is not understood.
    """
    try:
        paths = paths_of(parse_dataflow(dataflow))
    except InvalidRequestError:
        return ""
    name = paths[0].rpartition("/")[2] if len(paths) == 1 else ""
    return "" if GLOB_SIGNS.search(name) else unquote(name)


def parse_dataflow(text: str) -> dict[str, Any]:
    """The dataflow, which the SDK wraps as YAML into JSON. Raises `InvalidRequestError` for one that names no files."""
    import yaml  # takes long, and the server starts without it

    try:
        dataflow = yaml.safe_load(json.loads(text)["meta"]["RsDataflow"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise InvalidRequestError(
            "the dataset's dataflow is not understood; make it with Dataset.Tabular.from_*_files"
        ) from error
    if not isinstance(dataflow, dict) or not dataflow.get("paths"):
        raise InvalidRequestError("the dataset's dataflow names no files; make it with Dataset.Tabular.from_*_files")
    return dataflow


def paths_of(dataflow: Mapping[str, Any]) -> list[str]:
    """The addresses that a dataflow names. Raises `InvalidRequestError` for entries of another shape, and for too many."""
    entries = dataflow["paths"]
    paths = [_path(entry) for entry in entries] if isinstance(entries, list) else [""]
    if not all(paths):
        raise InvalidRequestError("the dataset's dataflow has a path that is no `file:`, `folder:` or `pattern:` with an address")
    if len(paths) > MAX_PATHS:
        raise InvalidRequestError(f"the dataset's dataflow names {len(paths)} paths; name {MAX_PATHS} at most, or a pattern")
    return paths


def _path(entry: Any) -> str:
    address = next(iter(entry.values()), "") if isinstance(entry, dict) else entry
    return address if isinstance(address, str) else ""


def _blocks(text: str) -> list[dict[str, Any]]:
    try:
        blocks = (json.loads(text).get("blocks") or []) if text else []
    except (ValueError, AttributeError, RecursionError) as error:
        raise InvalidRequestError(_MISREAD) from error
    if not isinstance(blocks, list) or not all(isinstance(each, dict) for each in blocks):
        raise InvalidRequestError(_MISREAD)
    return blocks


def _step(kind: str, arguments: dict[str, Any]) -> list[Any]:
    if kind == _DELIMITED:
        _check_reading(arguments)
        reading = {
            "delimiter": arguments.get("separator") or ",",
            "encoding": "utf8",
            "header": _HEADERS.get(arguments.get("columnHeadersMode", 3), "all_files_same_headers"),
            "support_multi_line": bool(arguments.get("handleQuotedLineBreaks")),
            "include_path_column": False,
            "infer_column_types": True,
        }
        return [{"read_delimited": reading}]
    if kind == _PARQUET:
        return [{"read_parquet": {"include_path_column": False}}]
    if kind == _DROP:
        names = [name for name in _selected(arguments) if name != "Path"]
        return [{"drop_columns": names}] if names else []
    if kind == _FILTER and _is_of_suffix(json.dumps(arguments)):
        return []
    raise InvalidRequestError(
        f"output dataset: {kind} is not emulated; use read_delimited_files() or read_parquet_files() without path_glob"
    )


def _check_reading(arguments: dict[str, Any]) -> None:
    for name in ("fileEncoding", "skipRows"):
        if arguments.get(name):
            raise InvalidRequestError(
                f"output dataset: {name} {arguments[name]!r} is not emulated; write UTF-8, and only the table"
            )


def _is_of_suffix(filtering: str) -> bool:
    """Whether it is the filter for a suffix that the SDK adds unasked, which files of that kind have anyway."""
    return "GetResourceName" in filtering and "RegexIsMatch" not in filtering


def _selected(arguments: dict[str, Any]) -> list[str]:
    return list(((arguments.get("columns") or {}).get("details") or {}).get("selectedColumns") or [])


def _dataflow(workspace: WorkspaceState, place: Place, steps: list[Any]) -> str:
    scope = f"subscriptions/{workspace.subscription_id}/resourcegroups/{workspace.resource_group}/workspaces/{workspace.name}"
    url = f"azureml://{scope}/datastores/{place.datastore}/paths/{quote(place.path, safe='/*?[]')}"
    table = {"type": "mltable", "paths": [{"pattern": url}], **({"transformations": steps} if steps else {})}
    return json.dumps({"blocks": [], "meta": {"RsDataflow": json.dumps(table)}})
