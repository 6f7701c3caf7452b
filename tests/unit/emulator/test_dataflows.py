"""Dataflows: what is read out of the SDK's, and what the emulator writes of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bankmlops.emulator.automl.training_data import locate
from bankmlops.emulator.scripts.script_data import Place
from bankmlops.emulator.storage.dataflows import (
    dataflow_of_files,
    dataflow_of_table,
    has_blocks,
    lone_file,
    parse_dataflow,
    paths_of,
)
from bankmlops.emulator.storage.datastores import DEFAULT_DATASTORE
from bankmlops.errors import InvalidRequestError
from support.served_emulator import Served

PARSING = "Microsoft.DPrep.ParseDelimitedBlock"
FILTER = "Microsoft.DPrep.ExpressionFilterBlock"


def _blocks(kind: str, arguments: Any) -> str:
    return json.dumps({"blocks": [{"type": kind, "arguments": arguments}]})


@pytest.mark.parametrize("path", ["given/a b.csv", "given/100%25 sure.csv", "given/ü#1.csv"])
def test_a_path_is_quoted(served: Served, path: str) -> None:
    """Whoever reads the dataflow finds the blob of that very name."""
    [address] = paths_of(parse_dataflow(dataflow_of_files(served.workspace, Place(DEFAULT_DATASTORE, path))))
    assert " " not in address
    assert locate(served.workspace, address)[2] == path


@pytest.mark.parametrize("path", ["given/?.csv", "given/[ab].csv", "given/*.csv"])
def test_a_pattern_is_no_lone_file(served: Served, path: str) -> None:
    """It may fit several."""
    assert lone_file(dataflow_of_files(served.workspace, Place("store", path))) == ""


@pytest.mark.parametrize("dataflow", ["{", "[]", json.dumps({"meta": {"RsDataflow": "paths: [[a]]"}}), json.dumps({"meta": 5})])
def test_a_dataflow_that_is_not_understood_has_no_lone_file(dataflow: str) -> None:
    """A client's text breaks nothing here; whoever fetches the files says what is wrong."""
    assert lone_file(dataflow) == ""


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"blocks": 5}), json.dumps({"blocks": ["a"]})])
def test_reading_that_is_not_understood(text: str) -> None:
    """It is refused in words."""
    with pytest.raises(InvalidRequestError, match="how it is read as a table is not understood"):
        has_blocks(text)


@pytest.mark.parametrize(
    ("kind", "arguments", "reason"),
    [
        (PARSING, {"fileEncoding": 4}, "fileEncoding 4 is not emulated"),
        (PARSING, {"skipRows": 2}, "skipRows 2 is not emulated"),
        (FILTER, {"expression": ["RegexIsMatch", "*.csv", "GetResourceName"]}, "without path_glob"),
    ],
)
def test_reading_that_would_be_another(served: Served, kind: str, arguments: dict[str, Any], reason: str) -> None:
    """What would change the rows is refused, not left out."""
    with pytest.raises(InvalidRequestError, match=reason):
        dataflow_of_table(served.workspace, Place("store", "out"), _blocks(kind, arguments))


def test_the_suffix_that_is_always_asked_for(served: Served) -> None:
    """The SDK's filter for a table's usual suffix changes nothing."""
    asked = _blocks(FILTER, {"expression": ["EndsWith", "GetResourceName", ".parquet"]})
    assert "transformations" not in parse_dataflow(dataflow_of_table(served.workspace, Place("store", "out"), asked))
