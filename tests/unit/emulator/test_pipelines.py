"""Pipelines on the wire: modules, graphs, runs, published pipelines, endpoints and schedules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bankmlops.emulator.automl import automl_bridge, trial_model_jobs
from bankmlops.emulator.history import runs
from bankmlops.emulator.pipelines import pipeline_bridge, schedules
from bankmlops.emulator.pipelines.recurrence import check_recurrence, next_time
from bankmlops.emulator.state import Documents
from bankmlops.emulator.storage.blobs import BlobName
from bankmlops.errors import InvalidRequestError
from support.automl_requests import automl_module, graph, save_dataset
from support.scripted_backend import ScriptedBackend
from support.scripted_training import scripted_training
from support.served_emulator import Served

PIPELINES = "/pipelines/v1.0"
NODE = "537a151d"
UNKNOWN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def backend(served: Served, tmp_path: Path) -> Iterator[ScriptedBackend]:
    with scripted_training(served.emulator, tmp_path) as backend:
        yield backend


@pytest.fixture
def bank_graph(served: Served) -> dict[str, Any]:
    module = served.call("POST", PIPELINES, "/Modules", json=automl_module()).json()
    return graph(module["Id"], save_dataset(served))


def _submit(served: Served, bank_graph: dict[str, Any]) -> str:
    body = {"CreationInfo": {"RunSource": "SDK", "RunType": "SDK"}, "Graph": bank_graph, "GraphInterface": {"Parameters": []}}
    path = "/PipelineRuns/Unsubmitted/CreationInfoWithGraph?experimentName=bank"
    run = served.call("POST", PIPELINES, path, json=body).json()
    assert run["Status"]["StatusCode"] == "0"
    assert served.call("POST", PIPELINES, f"/PipelineRuns/Submit/{run['Id']}").status_code == 200
    return str(run["Id"])


def _publish(served: Served, bank_graph: dict[str, Any], name: str = "training") -> dict[str, Any]:
    body = {"Name": name, "Description": "a hash", "Version": "1", "Graph": bank_graph, "GraphInterface": {}}
    return dict(served.call("POST", PIPELINES, "/Pipelines/Create", json=body).json())


def _advance(served: Served) -> None:
    pipeline_bridge.advance(served.emulator)
    automl_bridge.advance(served.emulator)


def _codes(served: Served, run_id: str) -> tuple[str, str]:
    run = served.call("GET", PIPELINES, f"/PipelineRuns/{run_id}").json()
    node = served.call("POST", PIPELINES, f"/PipelineRuns/{run_id}/Graph/Node/StatusCode", json=[NODE]).json()
    return run["Status"]["StatusCode"], node


def test_data_types_are_made_once(served: Served) -> None:
    """The list is a bare array; a type that is there stays as it is."""
    assert served.call("GET", PIPELINES, "/DataTypes").json() == []
    for description in ("first", "second"):
        served.call("POST", PIPELINES, "/DataTypes", json={"Id": "AnyFile", "Name": "AnyFile", "Description": description})
    assert [each["Description"] for each in served.call("GET", PIPELINES, "/DataTypes").json()] == ["first"]


def test_a_module_is_found_by_its_content(served: Served) -> None:
    """204 for an unknown hash; afterwards the module with its interface, without the caller's cloud settings."""
    assert served.call("GET", PIPELINES, "/Modules/Hash/hash-of-AutoMLCloud").status_code == 204
    made = served.call("POST", PIPELINES, "/Modules", json=automl_module()).json()
    found = served.call("GET", PIPELINES, "/Modules/Hash/hash-of-AutoMLCloud").json()
    assert found == served.call("GET", PIPELINES, f"/Modules/{made['Id']}").json()
    assert found["Data"]["Id"] == made["Id"]
    assert "CloudSettings" not in found["Data"]
    assert [each["Name"] for each in found["Interface"]["Ports"]["Outputs"]] == [
        "metrics_data",
        "model_data",
        "_run_after_output",
    ]


def test_a_step_of_another_kind_is_refused(served: Served) -> None:
    """A pipeline with a step that can't be carried out is a 400 that names the step, before anything runs."""
    module = served.call("POST", PIPELINES, "/Modules", json=automl_module("escloud")).json()
    body = {"CreationInfo": {}, "Graph": graph(module["Id"], save_dataset(served))}
    answer = served.call("POST", PIPELINES, "/PipelineRuns/Unsubmitted/CreationInfoWithGraph?experimentName=bank", json=body)
    assert answer.status_code == 400
    assert "'automl_module' is a escloud step" in answer.json()["message"]


def test_parameters_are_refused(served: Served, bank_graph: dict[str, Any]) -> None:
    """An assignment that an AutoML step would not obey is a 400, not silence."""
    pipeline = _publish(served, bank_graph)
    body = {"ExperimentName": "bank", "ParameterAssignments": {"rows": "5"}}
    answer = served.call("POST", PIPELINES, f"/PipelineRuns/PipelineSubmit/{pipeline['Id']}", json=body)
    assert (answer.status_code, "rows" in answer.text) == (400, True)


def test_a_pipeline_run_as_it_goes(served: Served, bank_graph: dict[str, Any], backend: ScriptedBackend) -> None:
    """The step's run is AutoML's parent; codes follow it; metrics and model come out in the datastore."""
    run_id = _submit(served, bank_graph)
    assert _codes(served, run_id) == ("0", "0")
    _advance(served)
    assert _codes(served, run_id) == ("1", "2")
    [step] = served.call("GET", "/history/v1.0", f"/experiments/bank/runs/{run_id}/children").json()["value"]
    assert (step["runType"], step["name"], step["rootRunId"]) == ("azureml.StepRun", "automl_module", run_id)
    assert (step["tags"]["azureml.nodeid"], step["tags"]["azureml.pipeline"]) == (NODE, run_id)
    assert served.call("GET", PIPELINES, f"/PipelineRuns/{run_id}/PipelineRunOutputs/metrics_output").status_code == 404

    backend.start()
    backend.add_child(0, "LightGBM", 0.9)
    backend.complete()
    _advance(served)
    _advance(served)
    assert _codes(served, run_id) == ("3", "4")
    assert _output(served, run_id, "best_model_output") == backend.files["outputs/model.pkl"]
    assert json.loads(_output(served, run_id, "metrics_output")) == {f"{step['runId']}_0": {"AUC_weighted": [0.9]}}
    assert _output(served, run_id, "model_data") == backend.files["outputs/model.pkl"]
    outputs = served.call("POST", PIPELINES, f"/PipelineRuns/{run_id}/Outputs", json=[NODE]).json()
    assert sorted(outputs) == ["metrics_data", "model_data"]
    log = served.call("POST", PIPELINES, f"/PipelineRuns/{run_id}/Graph/Shareable/STDOUT", json=[NODE])
    assert log.text == "iteration 0: LightGBM, AUC_weighted 0.9 in 1.500 s, Completed\nok\n"


def test_the_log_of_a_step_with_other_children(served: Served, bank_graph: dict[str, Any], backend: ScriptedBackend) -> None:
    """A child run that is no iteration, such as a script begins, is none of the log's lines."""
    run_id = _submit(served, bank_graph)
    _advance(served)
    [step] = served.call("GET", "/history/v1.0", f"/experiments/bank/runs/{run_id}/children").json()["value"]
    runs.upsert_run(served.workspace, "bank", f"{step['runId']}_child", {"parentRunId": step["runId"]})
    backend.start()
    backend.add_child(0, "LightGBM", 0.9)
    _advance(served)
    log = served.call("POST", PIPELINES, f"/PipelineRuns/{run_id}/Graph/Shareable/STDOUT", json=[NODE])
    assert log.status_code == 200
    assert [line.partition(":")[0] for line in log.text.splitlines() if "iteration" in line] == ["iteration 0"]


@pytest.mark.parametrize(
    ("assignment", "value", "advice"),
    [
        ("ParameterAssignments", {"rows": {"value": 5}}, "give a text or a number"),
        ("ParameterAssignments", ["rows"], "give an object"),
        ("DataPathAssignments", {"place": {"path": "a/b"}}, "DataStoreName"),
        ("DataPathAssignments", {"place": "a/b"}, "DataStoreName"),
        ("DataPathAssignments", {"place": {"DataStoreName": "store", "RelativePath": 5}}, "RelativePath"),
        ("DataSetDefinitionValueAssignments", {"data": "an-id"}, "SavedDataSetReference"),
        ("DataSetDefinitionValueAssignments", {"data": {"SavedDataSetReference": "an-id"}}, "SavedDataSetReference"),
    ],
)
def test_values_of_the_wrong_shape(served: Served, bank_graph: dict[str, Any], assignment: str, value: Any, advice: str) -> None:
    """They are a 400 that says which shape serves, for a run and for a schedule, which can be disabled all the same."""
    interface = {
        "Parameters": [{"Name": "rows", "DefaultValue": "1"}],
        "DataPathParameters": [{"Name": "place"}],
        "DataPathParameterList": [{"Name": "data"}],
    }
    body = {"Name": "training", "Version": "1", "Graph": bank_graph, "GraphInterface": interface}
    pipeline = served.call("POST", PIPELINES, "/Pipelines/Create", json=body).json()
    submission = {"ExperimentName": "bank", assignment: value}
    answer = served.call("POST", PIPELINES, f"/PipelineRuns/PipelineSubmit/{pipeline['Id']}", json=submission)
    assert (answer.status_code, advice in answer.json()["message"]) == (400, True)
    schedule = {
        "Name": "hourly",
        "PipelineId": pipeline["Id"],
        "Recurrence": {"Frequency": "Hour", "Interval": 1},
        "PipelineSubmissionInfo": submission,
    }
    answer = served.call("POST", PIPELINES, "/Schedules/Create", json=schedule)
    assert (answer.status_code, advice in answer.json()["message"]) == (400, True)
    good = {**schedule, "PipelineSubmissionInfo": {"ExperimentName": "bank"}}
    made = served.call("POST", PIPELINES, "/Schedules/Create", json=good).json()
    for status, code in (("0", 400), ("2", 200)):
        changed = {**made, "PipelineSubmissionInfo": submission, "EntityStatus": status}
        assert served.call("PUT", PIPELINES, f"/Schedules/{made['Id']}", json=changed).status_code == code


def _output(served: Served, run_id: str, name: str) -> bytes:
    answer = served.call("GET", PIPELINES, f"/PipelineRuns/{run_id}/PipelineRunOutputs/{name}").json()
    place = answer["DataLocation"]["DataReference"]["AzureBlobReference"]
    blob = served.emulator.blobs.get(BlobName(served.workspace.account, place["Container"], place["RelativePath"]))
    assert blob is not None
    return blob.path.read_bytes()


def test_a_failed_step_fails_the_run(served: Served, bank_graph: dict[str, Any], backend: ScriptedBackend) -> None:
    """The reason is the step's, with its name."""
    run_id = _submit(served, bank_graph)
    _advance(served)
    backend.fail("no trial finished")
    _advance(served)
    _advance(served)
    assert _codes(served, run_id) == ("2", "3")
    details = served.call("GET", "/history/v1.0", f"/experiments/bank/runs/{run_id}/details").json()
    assert details["error"]["error"]["message"] == "step automl_module: no trial finished"


@pytest.mark.parametrize("begun", [False, True])
def test_cancel(served: Served, bank_graph: dict[str, Any], backend: ScriptedBackend, begun: bool) -> None:
    """A pipeline run that is cancelled ends what it trains, and is Canceled."""
    run_id = _submit(served, bank_graph)
    if begun:
        _advance(served)
    assert served.call("DELETE", PIPELINES, f"/PipelineRuns/{run_id}/Execution").status_code == 200
    for _ in range(3):
        _advance(served)
    assert _codes(served, run_id)[0] == "4"
    assert [str(run.status) for run in backend.runs.values()] == (["Canceled"] if begun else [])


def test_the_rest_trigger(served: Served, bank_graph: dict[str, Any], backend: ScriptedBackend) -> None:
    """The endpoint of a published pipeline starts a run of its experiment, for who bears a token; a disabled one refuses."""
    pipeline = _publish(served, bank_graph)
    path = pipeline["Url"].removeprefix(served.emulator.base_url)
    body = {"ExperimentName": "triggered"}
    assert served.client.post(path, json=body).status_code == 401
    assert served.client.post(path, json=body, headers={"Authorization": "Bearer wrong"}).status_code == 401
    run = served.client.post(path, json=body, headers=served.authorization).json()
    assert (run["RunHistoryExperimentName"], run["PipelineId"]) == ("triggered", pipeline["Id"])
    assert [each["Id"] for each in served.call("GET", PIPELINES, f"/PipelineRuns/Pipeline/{pipeline['Id']}").json()] == [
        run["Id"]
    ]
    assert served.client.post(path, json={}, headers=served.authorization).status_code == 400
    assert served.call("PUT", PIPELINES, f"/Pipelines/{pipeline['Id']}/status", json="2").status_code == 200
    assert served.client.post(path, json=body, headers=served.authorization).status_code == 409


def test_published_pipelines(served: Served, bank_graph: dict[str, Any]) -> None:
    """They are listed newest first, disabled ones only if asked for; what was published comes back unchanged."""
    first, second = _publish(served, bank_graph, "first"), _publish(served, bank_graph, "second")
    served.call("PUT", PIPELINES, f"/Pipelines/{first['Id']}/status", json="Disabled")
    assert [each["Name"] for each in served.call("GET", PIPELINES, "/Pipelines").json()] == ["second"]
    everything = served.call("GET", PIPELINES, "/Pipelines?activeOnly=False").json()
    assert [(each["Name"], each["EntityStatus"]) for each in everything] == [("second", "0"), ("first", "2")]
    assert served.call("GET", PIPELINES, f"/Pipelines/{second['Id']}").json()["Description"] == "a hash"
    kept = served.call("GET", PIPELINES, f"/Graphs/{second['GraphId']}").json()
    assert kept["ModuleNodes"] == bank_graph["ModuleNodes"]
    assert served.call("GET", PIPELINES, f"/Pipelines/{UNKNOWN}").status_code == 404


def test_pipeline_endpoints(served: Served, bank_graph: dict[str, Any], backend: ScriptedBackend) -> None:
    """A name and a URL for a pipeline that others can follow; a taken name is a conflict."""
    first, second = _publish(served, bank_graph, "first"), _publish(served, bank_graph, "second")
    body = {"Name": "endpoint", "PipelineId": first["Id"]}
    assert served.call("GET", PIPELINES, "/PipelineEndpoints/Name?Name=endpoint").status_code == 404
    made = served.call("POST", PIPELINES, "/PipelineEndpoints/Create", json=body).json()
    assert served.call("POST", PIPELINES, "/PipelineEndpoints/Create", json=body).status_code == 409
    assert served.call("GET", PIPELINES, "/PipelineEndpoints/Name?Name=endpoint").json() == made
    versions = [*made["PipelineVersionList"], {"Version": "1", "PipelineId": second["Id"]}]
    changed = {**made, "PipelineVersionList": versions, "DefaultVersion": "1"}
    served.call("PUT", PIPELINES, f"/PipelineEndpoints/{made['Id']}", json=changed)
    path = made["Url"].removeprefix(served.emulator.base_url)
    ask = {"json": {"ExperimentName": "bank"}, "headers": served.authorization}
    assert served.client.post(path, **ask).json()["PipelineId"] == second["Id"]
    assert served.client.post(f"{path}?pipelineVersion=0", **ask).json()["PipelineId"] == first["Id"]
    assert served.client.post(f"{path}?pipelineVersion=7", **ask).status_code == 404


def test_a_schedule_fires(served: Served, bank_graph: dict[str, Any], backend: ScriptedBackend) -> None:
    """One without a start time fires at once, and again when it is due; a disabled one does not."""
    pipeline = _publish(served, bank_graph)
    body = {
        "Name": "hourly",
        "PipelineId": pipeline["Id"],
        "ScheduleType": "0",
        "Recurrence": {"Frequency": "Hour", "Interval": 1},
        "PipelineSubmissionInfo": {"ExperimentName": "scheduled"},
    }
    schedule = served.call("POST", PIPELINES, "/Schedules/Create", json=body).json()
    runs_path = f"/PipelineRuns/Schedule/{schedule['Id']}"
    schedules.advance(served.emulator)
    schedules.advance(served.emulator)
    assert [each["RunHistoryExperimentName"] for each in served.call("GET", PIPELINES, runs_path).json()] == ["scheduled"]
    _make_due(served, schedule["Id"])
    schedules.advance(served.emulator)
    assert len(served.call("GET", PIPELINES, runs_path).json()) == 2
    disabled = served.call("PUT", PIPELINES, f"/Schedules/{schedule['Id']}", json={**schedule, "EntityStatus": "2"}).json()
    assert (disabled["EntityStatus"], disabled["ProvisioningStatus"]) == ("2", "0")
    assert served.call("GET", PIPELINES, "/Schedules").json() == []
    assert [each["Id"] for each in served.call("GET", PIPELINES, "/Schedules?activeOnly=False").json()] == [schedule["Id"]]
    _make_due(served, schedule["Id"])
    schedules.advance(served.emulator)
    assert len(served.call("GET", PIPELINES, runs_path).json()) == 2


def _make_due(served: Served, schedule_id: str) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
    Documents(served.emulator.store, "").update("schedule_clock", schedule_id, lambda clock: clock.update(due=past))


def test_a_schedule_on_a_datastore_is_refused(served: Served, bank_graph: dict[str, Any]) -> None:
    """What would never fire is not taken."""
    body = {"Name": "s", "PipelineId": _publish(served, bank_graph)["Id"], "ScheduleType": "1", "DataStoreTriggerInfo": {}}
    answer = served.call("POST", PIPELINES, "/Schedules/Create", json=body)
    assert (answer.status_code, "datastore" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("recurrence", "expected"),
    [
        ({"Frequency": "Minute", "Interval": 15}, "2026-03-04T10:30:00"),
        ({"Frequency": "4", "Interval": 15, "StartTime": "2026-03-04T10:05:00"}, "2026-03-04T10:20:00"),
        ({"Frequency": "Day", "Interval": 1, "Schedule": {"Hours": [18], "Minutes": [30]}}, "2026-03-04T18:30:00"),
        ({"Frequency": "Week", "Interval": 1, "Schedule": {"WeekDays": ["0", "Friday"]}}, "2026-03-06T10:00:00"),
        ({"Frequency": "Week", "Interval": 2, "Schedule": {"WeekDays": ["Monday"]}}, "2026-03-16T10:00:00"),
        ({"Frequency": "Month", "Interval": 1, "StartTime": "2026-01-31T09:00:00"}, "2026-03-31T09:00:00"),
        ({"Frequency": "Hour", "Interval": 1, "StartTime": "2027-01-01T00:55:00"}, "2027-01-01T00:55:00"),
    ],
)
def test_when_a_schedule_fires(recurrence: dict[str, Any], expected: str) -> None:
    """Made on Wednesday, 4 March 2026, at 10:00, and looked at a quarter of an hour later."""
    created = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
    check_recurrence(recurrence)
    assert next_time(recurrence, created, created.replace(minute=15)).isoformat() == f"{expected}+00:00"


@pytest.mark.parametrize(
    "recurrence",
    [
        {"Frequency": "Decade", "Interval": 1},
        {"Frequency": "Day", "Interval": 0},
        {"Frequency": "Day", "Interval": 1, "TimeZone": "Pacific Standard Time"},
        {"Frequency": "Hour", "Interval": 1, "Schedule": {"Minutes": [5]}},
        {"Frequency": "Day", "Interval": 1, "StartTime": "tomorrow"},
        {"Frequency": "Week", "Interval": 1, "Schedule": {"WeekDays": ["Someday"]}},
    ],
)
def test_a_wrong_recurrence(recurrence: dict[str, Any]) -> None:
    """A recurrence that is wrong, or that would not be followed, is refused."""
    with pytest.raises(InvalidRequestError):
        check_recurrence(recurrence)


def _graph_with(served: Served, training: dict[str, Any]) -> dict[str, Any]:
    """The graph of a step whose model output is to be this one."""
    module = automl_module()
    module["StructuredInterface"]["Outputs"][1]["TrainingOutput"] |= training
    made = served.call("POST", PIPELINES, "/Modules", json=module).json()
    return graph(made["Id"], save_dataset(served))


@pytest.mark.parametrize(
    ("training", "fitted"), [({"Metric": "AUC_weighted"}, None), ({"Iteration": 1}, None), ({"Iteration": 0}, 0), ({}, None)]
)
def test_the_model_that_is_asked_for(
    served: Served, backend: ScriptedBackend, training: dict[str, Any], fitted: int | None
) -> None:
    """The winner's model is there; the run waits for that of another iteration, and ends at once where it is cancelled."""
    run_id = _submit(served, _graph_with(served, training))
    _advance(served)
    backend.start()
    backend.add_child(0, "LightGBM", 0.8)
    backend.add_child(1, "LightGBM", 0.9)
    backend.complete()
    _advance(served)
    _advance(served)
    assert _codes(served, run_id)[0] == ("3" if fitted is None else "1")
    asked = trial_model_jobs.active_jobs(served.emulator)
    assert [job.number for job in asked] == ([] if fitted is None else [fitted])
    if fitted is not None:
        served.call("DELETE", PIPELINES, f"/PipelineRuns/{run_id}/Execution")
        _advance(served)
        assert _codes(served, run_id)[0] == "4"
    for job in asked:
        trial_model_jobs.finish_job(served.emulator, job)


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        ({"Iteration": 7}, "output model_data: there is no iteration 7; the last one is 0"),
        ({"Metric": "beauty"}, "output model_data: no iteration has the metric beauty; there are: AUC_weighted"),
    ],
)
def test_a_model_that_there_is_not(served: Served, backend: ScriptedBackend, training: dict[str, Any], reason: str) -> None:
    """The run fails, and says which there are."""
    run_id = _submit(served, _graph_with(served, training))
    _advance(served)
    backend.start()
    backend.add_child(0, "LightGBM", 0.8)
    backend.complete()
    _advance(served)
    _advance(served)
    details = served.call("GET", "/history/v1.0", f"/experiments/bank/runs/{run_id}/details").json()
    assert (details["status"], details["error"]["error"]["message"]) == ("Failed", f"step automl_module: {reason}")
