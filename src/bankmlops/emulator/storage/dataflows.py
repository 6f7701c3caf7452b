"""Dataflows that the emulator writes itself, for datasets made of what a run has left on a datastore."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.scripts.script_data import Place
from bankmlops.errors import InvalidRequestError

_DELIMITED = "Microsoft.DPrep.ParseDelimitedBlock"
_PARQUET = "Microsoft.DPrep.ReadParquetFileBlock"
_DROP = "Microsoft.DPrep.DropColumnsBlock"
_FILTER = "Microsoft.DPrep.ExpressionFilterBlock"
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

    A folder that is written without a slash at its end looks like a file; whoever fetches the files sees the difference.
    """
    import yaml  # takes long, and the server starts without it

    table = yaml.safe_load((json.loads(dataflow).get("meta") or {}).get("RsDataflow") or "{}")
    paths = [str(path) for each in table.get("paths") or [] for path in each.values()]
    name = paths[0].rpartition("/")[2] if len(paths) == 1 else ""
    return "" if "*" in name else unquote(name)


def _blocks(text: str) -> list[dict[str, Any]]:
    return list(json.loads(text).get("blocks") or []) if text else []


def _step(kind: str, arguments: dict[str, Any]) -> list[Any]:
    if kind == _DELIMITED:
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
    if kind == _FILTER and "GetResourceName" in json.dumps(arguments):
        return []
    raise InvalidRequestError(f"output dataset: {kind} is not emulated; use read_delimited_files() or read_parquet_files()")


def _selected(arguments: dict[str, Any]) -> list[str]:
    return list(((arguments.get("columns") or {}).get("details") or {}).get("selectedColumns") or [])


def _dataflow(workspace: WorkspaceState, place: Place, steps: list[Any]) -> str:
    scope = f"subscriptions/{workspace.subscription_id}/resourcegroups/{workspace.resource_group}/workspaces/{workspace.name}"
    url = f"azureml://{scope}/datastores/{place.datastore}/paths/{place.path}"
    table = {"type": "mltable", "paths": [{"pattern": url}], **({"transformations": steps} if steps else {})}
    return json.dumps({"blocks": [], "meta": {"RsDataflow": json.dumps(table)}})
