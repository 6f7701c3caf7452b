"""What scripts are given and what they leave, on "local" too; a pipeline's parameters; dataflows that the emulator writes."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bankmlops.emulator.history import runs
from bankmlops.emulator.pipelines.pipeline_values import values_of
from bankmlops.emulator.scripts import script_files, script_jobs, script_keeper
from bankmlops.emulator.scripts.script_data import Output, Place
from bankmlops.emulator.scripts.script_keeper import ScriptKeeper
from bankmlops.emulator.scripts.script_request import parse_script_request
from bankmlops.emulator.storage.blobs import BlobName
from bankmlops.emulator.storage.dataflows import dataflow_of_files, dataflow_of_table, lone_file
from bankmlops.emulator.storage.datastores import DEFAULT_DATASTORE, get_datastore
from bankmlops.emulator.web.wire import MAX_JSON_BYTES
from bankmlops.errors import InvalidRequestError, NotFoundError
from support.served_emulator import Served

EXECUTION = "/execution/v1.0"


@pytest.fixture
def keeper(served: Served) -> Iterator[ScriptKeeper]:
    """Who carries the scripts of a workspace out when told to."""
    keeper = ScriptKeeper(served.emulator)
    yield keeper
    keeper.stop()
    for job in script_jobs.active_jobs(served.emulator):
        script_jobs.finish_job(served.emulator, job)


def _local_run(served: Served, **configuration: Any) -> Any:
    definition = {"Configuration": {"script": "train.py", "target": "local", **configuration}}
    files = [("files", ("definition.json", json.dumps(definition))), ("files", ("aml_config.zip", b"\0\r\n--"))]
    return served.call("POST", EXECUTION, f"/experiments/e/localrun?runId=local-{uuid.uuid4()}", files=files)


def _blob(served: Served, path: str) -> BlobName:
    section = get_datastore(served.workspace, DEFAULT_DATASTORE)["azureStorageSection"]
    return BlobName(section["accountName"], section["containerName"], path)


def test_a_run_on_local(served: Served, keeper: ScriptKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the snapshot that the client names afterwards, and fails where none comes; the archive does nothing."""
    answer = _local_run(served)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("azureml-setup/Invocation.sh") == b"#!/bin/sh\nexit 0\n"
    keeper.advance()
    [job] = script_jobs.active_jobs(served.emulator)
    assert runs.get_run(served.workspace, job.run_id)["status"] == "Preparing"
    monkeypatch.setattr(script_keeper, "SNAPSHOT_PATIENCE", timedelta(0))
    keeper.advance()
    run = runs.get_run(served.workspace, job.run_id)
    assert (run["status"], run["target"]) == ("Failed", "local")
    assert "never named its snapshot" in run["error"]["error"]["message"]


def test_local_runs_that_are_refused(served: Served) -> None:
    """One without a snapshot has no files; a form without a run definition says nothing; a large one is not read."""
    answer = _local_run(served, history={"snapshotProject": False})
    assert (answer.status_code, "snapshot_project" in answer.text) == (400, True)
    path = "/experiments/e/localrun?runId=none"
    answer = served.call("POST", EXECUTION, path, files=[("files", ("definition.json", "{"))])
    assert (answer.status_code, "definition.json" in answer.text) == (400, True)
    answer = served.call("POST", EXECUTION, path, files=[("files", ("aml_config.zip", bytes(MAX_JSON_BYTES)))])
    assert (answer.status_code, f"more than {MAX_JSON_BYTES} bytes" in answer.text) == (400, True)


def test_placeholders() -> None:
    """Inputs and outputs stand in arguments by their names, and a reference also within a word."""
    location = {"dataPath": {"datastoreName": "store", "relativePath": "/deep/a.csv"}}
    request = parse_script_request(
        {
            "script": "train.py",
            "data": {"port": {"dataLocation": location, "mechanism": "Mount", "referenceName": "other"}},
            "outputData": {"left": {}, "chosen": {"additionalOptions": {"pathOnCompute": "here"}}},
        },
        "run",
    )
    texts = [
        "DatasetConsumptionConfig:port",
        "a=$AZUREML_DATAREFERENCE_other/b",
        "DatasetOutputConfig:left",
        "DatasetOutputConfig:chosen",
    ]
    assert [request.argument(text, "/in", "/out") for text in texts] == [
        "/in/port/deep/a.csv",
        "a=/in/port/deep/a.csv/b",
        "/out/left",
        "here",
    ]
    assert request.outputs[0].place == Place(DEFAULT_DATASTORE, "dataset/run/left")


def test_files_come_and_go(served: Served, tmp_path: Path) -> None:
    """A place is a blob or a folder, and not what begins with the same letters; nothing there is nothing brought."""
    for name in ("given/a.csv", "given/deep/b.csv", "given2/c.csv"):
        served.emulator.blobs.put(_blob(served, name), b"x")
    script_files.bring(served.workspace, Place(DEFAULT_DATASTORE, "given"), tmp_path / "folder")
    script_files.bring(served.workspace, Place(DEFAULT_DATASTORE, "given/a.csv"), tmp_path / "file")
    script_files.bring(served.workspace, Place(DEFAULT_DATASTORE, "none"), tmp_path / "nothing")
    brought = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert brought == ["file/given/a.csv", "folder/given/a.csv", "folder/given/deep/b.csv"]

    (tmp_path / "outside.txt").write_text("not the script's")
    (tmp_path / "folder/link.txt").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "folder/linked").symlink_to(tmp_path)
    script_files.store(served.workspace, _output("kept/all"), tmp_path / "folder")
    script_files.store(served.workspace, _output("kept/one.csv"), tmp_path / "file/given/a.csv")
    blob = _blob(served, "kept")
    kept = [each.name for each in served.emulator.blobs.find(blob.account, blob.container, "kept")]
    assert kept == ["kept/all/given/a.csv", "kept/all/given/deep/b.csv", "kept/one.csv"]


def test_outputs_that_are_refused(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in an output's place, too many files, too many bytes, and a datastore whose account is not the emulator's."""
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InvalidRequestError, match="output o is a link"):
        script_files.store(served.workspace, _output("out"), tmp_path / "link")
    for name in "ab":
        (tmp_path / name).write_text("xy")
    for limit, value in (("MAX_FILES", 1), ("MAX_FILE_BYTES", 1), ("MAX_BYTES", 3)):
        with monkeypatch.context() as patch:
            patch.setattr(script_files, limit, value)
            with pytest.raises(InvalidRequestError, match="at most"):
                script_files.store(served.workspace, _output("out"), tmp_path)
    served.emulator.add_public_account("samples", ["c"])
    _add_datastore(served, "samples")
    with pytest.raises(InvalidRequestError, match="samples can't be written to"):
        script_files.store(served.workspace, Output("o", Place("samples", "out"), "", True, None), tmp_path)
    assert served.emulator.blobs.find("samples", "c") == []


def test_data_that_can_not_come(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty blobs in a folder's place are left out; a blob with content there is named, as is a strange account."""
    for name in ("given/", "given", "given/deep"):
        served.emulator.blobs.put(_blob(served, name), b"")
    served.emulator.blobs.put(_blob(served, "given/deep/b.csv"), b"xy")
    given = Place(DEFAULT_DATASTORE, "given")
    script_files.bring(served.workspace, given, tmp_path / "well")
    assert [path.name for path in (tmp_path / "well").rglob("*") if path.is_file()] == ["b.csv"]
    with monkeypatch.context() as patch:
        patch.setattr(script_files, "MAX_BYTES", 1)
        with pytest.raises(InvalidRequestError, match="1 bytes together at most"):
            script_files.bring(served.workspace, given, tmp_path / "large")
    served.emulator.blobs.put(_blob(served, "given/deep"), b"x")
    with pytest.raises(InvalidRequestError, match="can't be laid out as a file"):
        script_files.bring(served.workspace, given, tmp_path / "ill")
    _add_datastore(served, "elsewhere")
    with pytest.raises(InvalidRequestError, match="no storage account elsewhere"):
        script_files.bring(served.workspace, Place("elsewhere", ""), tmp_path / "far")


def _add_datastore(served: Served, account: str) -> None:
    section = {"accountName": account, "containerName": "c"}
    body = {"name": account, "dataStoreType": "AzureBlob", "azureStorageSection": section}
    assert served.call("POST", "/datastore/v1.0", "/datastores", json=body).status_code == 200


def _output(path: str) -> Output:
    return Output("o", Place(DEFAULT_DATASTORE, path), "", True, None)


def test_dataflows(served: Served) -> None:
    """Blocks of the SDK become steps of a table; what is not understood is refused, not left out."""
    place = Place("store", "out")
    blocks = [
        {"type": "Microsoft.DPrep.ParseDelimitedBlock", "arguments": {"separator": ";", "columnHeadersMode": 0}},
        {"type": "Microsoft.DPrep.DropColumnsBlock", "arguments": {"columns": {"details": {"selectedColumns": ["Path", "a"]}}}},
    ]
    table = json.loads(
        json.loads(dataflow_of_table(served.workspace, place, json.dumps({"blocks": blocks})))["meta"]["RsDataflow"]
    )
    reading, dropped = table["transformations"]
    assert (reading["read_delimited"]["delimiter"], reading["read_delimited"]["header"]) == (";", "no_header")
    assert dropped == {"drop_columns": ["a"]}
    with pytest.raises(InvalidRequestError, match="SortBlock is not emulated"):
        dataflow_of_table(served.workspace, place, json.dumps({"blocks": [{"type": "Microsoft.DPrep.SortBlock"}]}))


@pytest.mark.parametrize(("path", "name"), [("given/a b.csv", "a b.csv"), ("given/*.csv", ""), ("given/", "")])
def test_a_lone_file(served: Served, path: str, name: str) -> None:
    """A dataset of one file is known by its path."""
    assert lone_file(dataflow_of_files(served.workspace, Place("store", path))) == name


def test_values_of_parameters(served: Served) -> None:
    """A submission's values stand before the defaults; one that lacks is refused, and one for no parameter of the pipeline."""
    interface = {
        "Parameters": [{"Name": "rate", "DefaultValue": "0.5"}, {"Name": "must"}],
        "DataPathParameters": [{"Name": "path", "DefaultValue": {"DataStoreName": "store", "RelativePath": "/a/"}}],
    }
    values = values_of(served.workspace, interface, {"ParameterAssignments": {"rate": 2}})
    assert (values.text("rate"), values.path("path")) == ("2", Place("store", "a"))
    with pytest.raises(InvalidRequestError, match="'must' has no value"):
        values.text("must")
    with pytest.raises(InvalidRequestError, match="no parameter speed; it has must, rate"):
        values_of(served.workspace, interface, {"ParameterAssignments": {"speed": 2}})
    with pytest.raises(NotFoundError, match="dataset none"):
        values_of(
            served.workspace,
            {"DataPathParameterList": [{"Name": "data"}]},
            {"DataSetDefinitionValueAssignments": {"data": {"SavedDataSetReference": {"Id": "none"}}}},
        )


def test_data_sources(served: Served) -> None:
    """A path on a datastore is kept once for its content; a table of a database is refused."""
    path, body = "/DataSources", {"Name": "d", "DataStoreName": DEFAULT_DATASTORE, "PathOnDataStore": "a", "IdentifierHash": "h"}
    assert served.call("GET", "/pipelines/v1.0", f"{path}/Hash/h").status_code == 204
    made = served.call("POST", "/pipelines/v1.0", path, json=body).json()
    assert served.call("GET", "/pipelines/v1.0", f"{path}/Hash/h").json() == made
    assert served.call("GET", "/pipelines/v1.0", f"{path}/{made['Id']}").json() == made
    assert made["DataLocation"]["DataReference"]["AzureBlobReference"]["RelativePath"] == "a"
    assert served.call("GET", "/pipelines/v1.0", f"{path}/none").status_code == 404
    answer = served.call("POST", "/pipelines/v1.0", path, json={**body, "SqlTableName": "t"})
    assert (answer.status_code, "databases are not emulated" in answer.json()["Error"]["Message"]) == (400, True)
