"""Azure Resource Manager's datastores, data assets and jobs, as SDK v2 speaks to them; tests/e2e has the genuine one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from bankmlops.emulator.automl import automl_bridge
from bankmlops.emulator.automl.automl_request import parse_settings
from bankmlops.emulator.automl.training_data import dataset_file
from bankmlops.emulator.sdk_v2.tables import saved_dataset
from bankmlops.emulator.sdk_v2.tasks import settings_of
from bankmlops.emulator.storage.datasets import find_dataflow
from bankmlops.errors import InvalidRequestError, NotFoundError
from bankmlops.types import ColumnPurpose, FeaturizationMode
from support.scripted_backend import ScriptedBackend
from support.scripted_training import scripted_training
from support.served_emulator import Served

FOLDER = "azureml://datastores/workspaceblobstore/paths/LocalUpload/1/bank"
TABLE = """$schema: https://example.com/MLTable.schema.json
type: mltable
paths:
  - file: ./bank%20data.csv
transformations:
  - read_delimited:
      delimiter: ','
      encoding: utf8
      header: all_files_same_headers
"""
TASK = {
    "taskType": "Classification",
    "primaryMetric": "AUCWeighted",
    "targetColumnName": "y",
    "trainingData": {"jobInputType": "mltable", "uri": FOLDER},
    "limitSettings": {"timeout": "PT1H30M", "maxTrials": 5, "maxConcurrentTrials": 1},
}


@pytest.fixture
def backend(served: Served, tmp_path: Path) -> Iterator[ScriptedBackend]:
    with scripted_training(served.emulator, tmp_path) as backend:
        yield backend


def _upload(served: Served, name: str, text: str) -> None:
    container = served.call("GET", "", "/datastores/workspaceblobstore").json()["properties"]["containerName"]
    put = served.blob("PUT", f"/{container}/LocalUpload/1/bank/{name}", {"x-ms-blob-type": "BlockBlob"}, content=text.encode())
    assert put.status_code == 201


def _asset(served: Served, version: str = "1", **changes: object) -> Any:
    properties = {"dataType": "mltable", "dataUri": FOLDER + "/", "description": "bank", **changes}
    return served.call("PUT", "", f"/data/bank/versions/{version}", json={"properties": properties})


def _submit(served: Served, name: str, **changes: object) -> Any:
    properties = {"jobType": "AutoML", "experimentName": "bank", "taskDetails": TASK, "tags": {"team": "a"}, **changes}
    return served.call("PUT", "", f"/jobs/{name}", json={"properties": properties})


def _job(served: Served, name: str) -> dict[str, Any]:
    return served.call("GET", "", f"/jobs/{name}").json()["properties"]


def _names(served: Served, query: str = "") -> list[str]:
    return [each["name"] for each in served.call("GET", "", f"/jobs{query}").json()["value"]]


def test_datastores(served: Served) -> None:
    """The built-in ones are there, one is the default, and the key that opens the account is told to who asks for it alone."""
    listed = served.call("GET", "", "/datastores").json()["value"]
    assert [each["name"] for each in listed] == ["workspaceblobstore", "workspaceartifactstore"]
    assert served.call("GET", "", "/datastores?isDefault=true").json()["value"] == listed[:1]
    assert listed[0] == served.call("GET", "", "/datastores/workspaceblobstore").json()
    assert served.workspace.account_key not in json.dumps(listed)
    secrets = served.call("POST", "", "/datastores/workspaceblobstore/listSecrets", json={}).json()
    assert secrets == {"secretsType": "AccountKey", "key": served.workspace.account_key}
    assert served.call("GET", "", "/datastores/none").status_code == 404


def test_data_versions(served: Served) -> None:
    """Versions are the client's, the next number is the service's to say, and a version's path never changes."""
    assert served.call("GET", "", "/data/bank").status_code == 404
    made = _asset(served)
    assert (made.status_code, made.json()["id"]) == (201, f"{served.workspace.path}/data/bank/versions/1")
    assert _asset(served, "12").status_code == 201
    assert _asset(served, "final").status_code == 201
    container = served.call("GET", "", "/data/bank").json()["properties"]
    assert (container["latestVersion"], container["nextVersion"], container["dataType"]) == ("final", "13", "mltable")
    changed = _asset(served, description="better", tags={"a": "b"})
    assert (changed.status_code, changed.json()["properties"]["description"]) == (200, "better")
    assert "cannot be changed" in _asset(served, dataUri="azureml://datastores/other/paths/x").json()["error"]["message"]
    listed = served.call("GET", "", "/data/bank/versions").json()["value"]
    assert [each["name"] for each in listed] == ["final", "12", "1"]


def test_archived_data(served: Served) -> None:
    """What is archived is listed for who asks for it, a name as well as a version."""
    _asset(served)
    _asset(served, isArchived=True)
    assert served.call("GET", "", "/data/bank/versions").json()["value"] == []
    assert len(served.call("GET", "", "/data/bank/versions?listViewType=ArchivedOnly").json()["value"]) == 1
    assert len(served.call("GET", "", "/data?listViewType=All").json()["value"]) == 1
    assert served.call("PUT", "", "/data/bank", json={"properties": {"isArchived": True}}).json()["properties"]["isArchived"]
    assert served.call("GET", "", "/data").json()["value"] == []


@pytest.mark.parametrize(
    ("version", "changes", "words"),
    [
        ("1", {"dataType": "sql"}, "dataType 'sql' is unknown"),
        ("1", {"dataUri": ""}, "dataUri is missing"),
        ("1", {"dataUri": "x" * 5000}, "longer than"),
        ("a%20b", {}, "version 'a b'"),
    ],
)
def test_wrong_data(served: Served, version: str, changes: dict[str, object], words: str) -> None:
    """It is a 400 that says what is wrong."""
    refused = _asset(served, version, **changes)
    assert (refused.status_code, words in refused.json()["error"]["message"]) == (400, True), refused.text


def test_a_table_is_a_dataset(served: Served) -> None:
    """An MLTable's paths are as seen from its folder; the data asset, its folder and its blob's URL mean one saved dataset."""
    _upload(served, "MLTable", TABLE)
    _asset(served)
    container = served.call("GET", "", "/datastores/workspaceblobstore").json()["properties"]["containerName"]
    found = saved_dataset(served.workspace, FOLDER)
    dataflow = yaml.safe_load(json.loads(find_dataflow(served.workspace, found))["meta"]["RsDataflow"])
    assert dataflow["paths"] == [{"file": f"{FOLDER}/bank%2520data.csv"}]
    assert dataflow["transformations"][0]["read_delimited"]["encoding"] == "utf8"
    for uri in (f"{served.workspace.path}/data/bank/versions/1", "azureml:bank:1", f"{FOLDER}/"):
        assert saved_dataset(served.workspace, uri) == found
    url = f"https://{served.workspace.account}.blob.core.windows.net/{container}/LocalUpload/1/bank"
    assert find_dataflow(served.workspace, saved_dataset(served.workspace, url)).count("wasbs://") == 1


@pytest.mark.slow
def test_a_table_is_read(served: Served) -> None:
    """Microsoft's own reader makes rows of it."""
    _upload(served, "MLTable", TABLE.replace("%20", "-"))
    _upload(served, "bank-data.csv", "age,y\n20,no\n30,yes\n")
    with dataset_file(served.workspace, saved_dataset(served.workspace, FOLDER)) as file:
        assert pq.read_table(file).column("y").to_pylist() == ["no", "yes"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("paths: [", "is not YAML"),
        ("transformations: []", "names no paths"),
        ("paths: [./bank.csv]", "one of `file:`"),
        ("paths: [{file: ../other.csv}]", "is not in the table's folder"),
        ("paths: [{file: /etc/passwd}]", "is not in the table's folder"),
    ],
)
def test_a_wrong_table(served: Served, table: str, words: str) -> None:
    """It says what is wrong; a path never leads out of the table's folder."""
    _upload(served, "MLTable", table)
    with pytest.raises(InvalidRequestError, match=words):
        saved_dataset(served.workspace, FOLDER)


def test_no_table(served: Served) -> None:
    """A lost asset, a lost folder and an asset of another type are told from each other."""
    with pytest.raises(NotFoundError, match="has no file MLTable"):
        saved_dataset(served.workspace, FOLDER)
    with pytest.raises(NotFoundError, match="data asset bank:3"):
        saved_dataset(served.workspace, "azureml:bank:3")
    _asset(served, "3", dataType="uri_file")
    with pytest.raises(InvalidRequestError, match="is a uri_file"):
        saved_dataset(served.workspace, "azureml:bank:3")


def test_a_task_in_full() -> None:
    """Every setting that the backend knows arrives there, whichever way its name is spelt."""
    task = {
        **TASK,
        "primaryMetric": "average_precision_score_weighted",
        "positiveLabel": "yes",
        "nCrossValidations": {"mode": "Custom", "value": 4},
        "limitSettings": {
            "timeout": "P1DT1H",
            "trialTimeout": "PT90S",
            "exitScore": 0.9,
            "maxTrials": 7,
            "enableEarlyTermination": False,
        },
        "trainingSettings": {
            "allowedTrainingAlgorithms": ["logistic_regression", "LightGBM"],
            "blockedTrainingAlgorithms": ["RandomForest"],
            "enableStackEnsemble": False,
        },
        "featurizationSettings": {"mode": "Custom", "columnNameAndTypes": {"age": "Categorical"}},
    }
    request = parse_settings(settings_of(task, "cpu-cluster"))
    assert request.primary_metric == "average_precision_score_weighted"
    assert (request.asked_minutes, request.iteration_minutes, request.exit_score) == (1500, 1.5, 0.9)
    assert (request.iterations, request.cross_validations, request.early_stopping) == (6, 4, False)
    assert request.allowed_models == ("LogisticRegression", "LightGBM")
    assert request.blocked_models == ("RandomForest",)
    assert (request.voting_ensemble, request.stack_ensemble, request.positive_label) == (True, False, "yes")
    assert request.featurization.column_purposes == {"age": ColumnPurpose.CATEGORICAL}


def test_a_task_that_says_little() -> None:
    """What is left out has Azure's value."""
    request = parse_settings(settings_of({"taskType": "Classification", "targetColumnName": "y"}, "serverless"))
    assert (request.asked_minutes, request.iteration_minutes, request.iterations) == (360, 30, None)
    assert (request.primary_metric, request.voting_ensemble, request.stack_ensemble) == ("accuracy", True, True)
    assert request.featurization.mode is FeaturizationMode.AUTO
    off = settings_of({"taskType": "classification", "featurizationSettings": {"mode": "Off"}}, "serverless")
    assert json.loads(off)["featurization"] == "off"


def test_a_job_as_it_goes(served: Served, backend: ScriptedBackend) -> None:
    """From `NotStarted` to `Completed`; it is the run of run history, whose best trial SDK v2 gets by its name."""
    _upload(served, "MLTable", TABLE)
    submitted = _submit(served, "sweet_pen_1", displayName="bank", computeId=f"{served.workspace.path}/computes/cpu-cluster")
    assert (submitted.status_code, submitted.json()["properties"]["status"]) == (201, "NotStarted")
    automl_bridge.advance(served.emulator)
    assert backend.configs[backend.last].compute_target == "cpu-cluster"
    backend.start()
    backend.add_child(0, "LightGBM", 0.9)
    automl_bridge.advance(served.emulator)
    assert _job(served, "sweet_pen_1")["status"] == "Running"
    backend.complete()
    automl_bridge.advance(served.emulator)
    job = _job(served, "sweet_pen_1")
    assert (job["status"], job["displayName"], job["experimentName"]) == ("Completed", "bank", "bank")
    assert job["taskDetails"]["limitSettings"]["timeout"] == "PT1H30M"
    assert (job["tags"]["team"], job["tags"]["automl_best_child_run_id"]) == ("a", "sweet_pen_1_0")
    assert served.call("GET", "", "/jobs/sweet_pen_1_0").json()["properties"] is None
    history = "/history/v1.0"
    assert served.call("GET", history, "/runs/sweet_pen_1/details").json()["status"] == "Completed"
    assert [each["runId"] for each in served.call("GET", history, "/runs/sweet_pen_1/children").json()["value"]] == [
        "sweet_pen_1_0"
    ]
    data = served.call("POST", history, "/rundata", json={"runId": "sweet_pen_1_0"}).json()
    assert data["runMetadata"]["properties"]["run_algorithm"] == "LightGBM"


def test_a_cancelled_job(served: Served, backend: ScriptedBackend) -> None:
    """It is `CancelRequested` until the training has ended, then `Canceled`, and can't be cancelled again."""
    _upload(served, "MLTable", TABLE)
    _submit(served, "job")
    automl_bridge.advance(served.emulator)
    assert served.call("POST", "", "/jobs/job/cancel").status_code == 200
    assert _job(served, "job")["status"] == "CancelRequested"
    automl_bridge.advance(served.emulator)
    assert _job(served, "job")["status"] == "Canceled"
    assert served.call("POST", "", "/jobs/job/cancel").status_code == 409
    assert served.call("POST", "", "/jobs/none/cancel").status_code == 404


def test_the_jobs(served: Served, backend: ScriptedBackend) -> None:
    """They come newest first in pages; a tag or a type chooses, and one that is archived is listed for who asks for it."""
    _upload(served, "MLTable", TABLE)
    for number in range(3):
        _submit(served, f"job{number}", tags={"number": str(number)})
    assert _names(served) == ["job2", "job1", "job0"]
    first = served.call("GET", "", "/jobs?$top=2&api-version=2024").json()
    assert [each["name"] for each in first["value"]] == ["job2", "job1"]
    assert first["nextLink"].startswith(f"https://management.azure.com{served.workspace.path}/jobs?")
    assert _names(served, "?" + first["nextLink"].partition("?")[2]) == ["job0"]
    assert _names(served, "?tag=number=1") == ["job1"]
    assert _names(served, "?jobType=Command") == []
    assert _submit(served, "job1", isArchived=True, tags={"new": "1"}).status_code == 200
    assert _names(served) == ["job2", "job0"]
    assert _names(served, "?listViewType=ArchivedOnly&tag=new") == ["job1"]
    assert len(served.call("GET", "/history/v1.0", "/runs/job1").json()["tags"]) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"jobType": "Command"}, "type 'Command' is not emulated"),
        ({"taskDetails": {**TASK, "taskType": "Regression"}}, "task 'Regression' is not emulated"),
        ({"taskDetails": {**TASK, "trainingData": None}}, "trainingData is missing"),
        ({"taskDetails": {**TASK, "targetColumnName": None}}, "label_column_name is missing"),
        ({"taskDetails": {**TASK, "weightColumnName": "age"}}, "weight_column_name is not emulated"),
        ({"taskDetails": {**TASK, "limitSettings": {"timeout": "an hour"}}}, "ISO 8601"),
        ({"taskDetails": {**TASK, "trainingData": {"uri": "s3://bucket/table"}}}, "is not in blob storage"),
    ],
)
def test_a_job_that_can_not_be_done(served: Served, changes: dict[str, object], words: str) -> None:
    """It is a 400 that says why, and no job is left of it."""
    _upload(served, "MLTable", TABLE)
    refused = _submit(served, "job", **changes)
    assert (refused.status_code, words in refused.json()["error"]["message"]) == (400, True), refused.text
    assert served.call("GET", "", "/jobs/job").status_code == 404
    assert _names(served) == []


def test_the_metadata_of_a_blob(served: Served) -> None:
    """What a client sets it reads again with the properties, until the blob is written anew."""
    served.blob("PUT", "/c/file", {"x-ms-blob-type": "BlockBlob"}, content=b"1")
    assert served.blob("PUT", "/c/file?comp=metadata", {"x-ms-meta-upload_status": "completed"}).status_code == 200
    assert served.blob("HEAD", "/c/file").headers["x-ms-meta-upload_status"] == "completed"
    served.blob("PUT", "/c/file", {"x-ms-blob-type": "BlockBlob"}, content=b"2")
    assert "x-ms-meta-upload_status" not in served.blob("HEAD", "/c/file").headers
    assert served.blob("PUT", "/c/file?comp=metadata", {"x-ms-meta-a": "x" * 9000}).status_code == 400
    assert served.blob("PUT", "/c/none?comp=metadata", {"x-ms-meta-a": "b"}).status_code == 404


def test_discovery_over_tls(served: Served) -> None:
    """SDK v2, which sends no token without TLS, is led to the services under Azure Resource Manager's name; SDK v1 is not."""
    newer = served.call("GET", "", "?api-version=2024-10-01-preview").json()["properties"]["discoveryUrl"]
    older = served.call("GET", "", "?api-version=2020-01-01").json()["properties"]["discoveryUrl"]
    assert (newer, older) == ("https://management.azure.com/discovery", f"{served.emulator.base_url}/discovery")
    asked = served.client.get("/discovery", headers={"Host": "management.azure.com"}).json()
    assert set(asked.values()) == {"https://management.azure.com"}
    assert set(served.client.get("/discovery").json().values()) == {served.emulator.base_url}
