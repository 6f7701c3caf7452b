"""AutoML on the wire, and how a run of the backend becomes a run of Azure's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankmlops.automl.network.library import missing_packages
from bankmlops.emulator.automl import automl_bridge, automl_jobs
from bankmlops.emulator.history import runs
from bankmlops.errors import InvalidRequestError
from bankmlops.types import Dataset, DataSource
from support.automl_requests import TABLE, data_prep, parent_run, save_dataset
from support.scripted_backend import ScriptedBackend
from support.scripted_training import scripted_training
from support.served_emulator import Served

JASMINE = "/jasmine/v1.0"
HISTORY = "/history/v1.0"


@pytest.fixture
def backend(served: Served, tmp_path: Path) -> Iterator[ScriptedBackend]:
    with scripted_training(served.emulator, tmp_path) as backend:
        yield backend


@pytest.fixture
def dataset_id(served: Served) -> str:
    return save_dataset(served)


def _post(served: Served, path: str, body: object = None) -> object:
    experiment = served.call("POST", HISTORY, "/experiments/bank").json()["experimentId"]
    return served.call("POST", JASMINE, f"/experimentids/{experiment}{path}", json=body)


def _start(served: Served, dataset_id: str, **changes: object) -> str:
    run_id = _post(served, "/run", parent_run(dataset_id, **changes)).json()
    assert _post(served, f"/runs/{run_id}/submitSnapshotRun").json() == {"runId": run_id}
    return str(run_id)


def _run(served: Served, run_id: str) -> dict[str, object]:
    return served.call("GET", HISTORY, f"/experiments/bank/runs/{run_id}").json()


def test_a_good_request_is_valid(served: Served, dataset_id: str) -> None:
    """Validation answers 204, also to a pipeline's step, which names no data yet."""
    assert _post(served, "/validation", parent_run(dataset_id)).status_code == 204
    step = {name: value for name, value in parent_run(dataset_id).items() if name != "dataPrepJsonString"}
    assert _post(served, "/validation", step).status_code == 204


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_type": "regression"}, "'regression' is not emulated"),
        ({"primary_metric": "spearman"}, "'spearman' is unknown"),
        ({"whitelist_models": ["KNN"]}, "none is emulated"),
        ({"label_column_name": None}, "label_column_name is missing"),
        ({"weight_column_name": "age"}, "weight_column_name is not emulated"),
    ],
)
def test_a_bad_request_is_told_why(served: Served, dataset_id: str, changes: dict[str, object], words: str) -> None:
    """Validation answers 200 with an error, which the SDK raises; `run` answers 400 with the same words."""
    body = parent_run(dataset_id, **changes)
    answer = _post(served, "/validation", body)
    assert answer.status_code == 200
    assert words in answer.json()["error"]["details"][0]["message"]
    refused = _post(served, "/run", body)
    assert (refused.status_code, words in refused.text) == (400, True)


def test_a_lost_dataset(served: Served, dataset_id: str) -> None:
    """A dataset that the workspace does not have is an error before anything is trained."""
    body = {**parent_run(dataset_id), "dataPrepJsonString": data_prep("11111111-2222-4333-8444-555555555555")}
    assert "11111111" in _post(served, "/validation", body).json()["error"]["message"]
    assert _post(served, "/run", body).status_code == 404


def test_validation_data_that_can_not_serve(
    served: Served, backend: ScriptedBackend, dataset_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails in its set-up, which the SDK prints, and not after it without a word."""
    register = backend.register_dataset

    def only_training(name: str, source: DataSource, label_column: str) -> Dataset:
        if name.endswith(other):
            raise InvalidRequestError("39 rows; at least 50 would serve")
        return register(name, source, label_column)

    other = save_dataset(served, "data/other.parquet")
    monkeypatch.setattr(backend, "register_dataset", only_training)
    both = json.dumps({"training_data": {"datasetId": dataset_id}, "validation_data": {"datasetId": other}})
    run_id = _post(served, "/run", {**parent_run(dataset_id), "dataPrepJsonString": both.replace('"', '\\"')}).json()
    _post(served, f"/runs/{run_id}/submitSnapshotRun")
    automl_bridge.advance(served.emulator)
    run = _run(served, run_id)
    assert (run["status"], run["properties"]["errors"]) == ("Failed", "Setup iteration failed: 39 rows; at least 50 would serve")


def test_a_run_waits_until_it_is_started(served: Served, backend: ScriptedBackend, dataset_id: str) -> None:
    """`run` alone makes a run with AutoML's properties, and nothing is trained."""
    run_id = _post(served, "/run", parent_run(dataset_id)).json()
    automl_bridge.advance(served.emulator)
    run = _run(served, run_id)
    assert (run["status"], run["runType"], backend.runs) == ("NotStarted", "automl", {})
    assert json.loads(run["properties"]["AMLSettingsJsonString"])["label_column_name"] == "y"
    assert run["properties"]["num_iterations"] == "1000"


def test_the_run_as_it_goes(served: Served, backend: ScriptedBackend, dataset_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set-up, children in the order in which they end, their metrics, progress, the best child and its files."""
    monkeypatch.setattr(served.emulator, "time_scale", 0.01)
    run_id = _start(served, dataset_id)
    assert "ProblemInfoJsonString" not in _run(served, run_id)["properties"]
    automl_bridge.advance(served.emulator)
    assert backend.configs[backend.last].experiment_timeout_minutes == pytest.approx(0.2)
    assert json.loads(_run(served, run_id)["properties"]["ProblemInfoJsonString"])["dataset_samples"] == TABLE.num_rows

    backend.start("trial 2, best AUC_weighted 0.9")
    backend.add_child(2, "LightGBM", 0.9)
    automl_bridge.advance(served.emulator)
    run = _run(served, run_id)
    assert run["status"] == run["tags"]["_aml_system_automl_status"] == "Running"
    assert run["properties"]["bankmlops.experiment_timeout_minutes"] == "0.2"
    assert run["tags"]["bankmlops.progress"] == "trial 2, best AUC_weighted 0.9"
    first = _run(served, f"{run_id}_0")
    assert (first["status"], first["parentRunId"], first["properties"]["run_algorithm"]) == ("Completed", run_id, "LightGBM")

    backend.add_child(0, "VotingEnsemble", 0.95)
    backend.complete()
    automl_bridge.advance(served.emulator)
    run = _run(served, run_id)
    assert run["status"] == run["tags"]["_aml_system_automl_status"] == "Completed"
    assert (run["tags"]["automl_best_child_run_id"], run["tags"]["iterations"]) == (f"{run_id}_1", "2")
    best = _run(served, f"{run_id}_1")
    for each in (run, first, best):
        assert each["startTimeUtc"] <= each["endTimeUtc"]
    assert run["createdUtc"] <= run["startTimeUtc"]
    assert (best["properties"]["runTemplate"], best["properties"]["iteration"]) == ("automl_child", "1")
    metric = served.call("POST", "/metric/v2.0", f"/runs/{run_id}_1/full", json={"metricName": "AUC_weighted"}).json()
    assert metric["value"][0]["data"] == {"AUC_weighted": 0.95}
    assert automl_jobs.find_job(served.emulator, run_id).backend_run_id == backend.last
    assert run_id not in [job.run_id for job in automl_jobs.active_jobs(served.emulator)]


def test_the_files_of_a_run(served: Served, backend: ScriptedBackend, dataset_id: str) -> None:
    """The best child has model, scoring script and conda file; the parent has the guardrails and the log."""
    run_id = _start(served, dataset_id)
    automl_bridge.advance(served.emulator)
    backend.start()
    backend.add_child(0, "LightGBM", 0.9)
    backend.complete()
    automl_bridge.advance(served.emulator)

    def paths(owner: str) -> list[str]:
        listed = served.call("GET", "/artifact/v2.0", f"/artifacts/ExperimentRun/dcid.{owner}").json()["value"]
        return sorted(each["path"] for each in listed)

    def content(owner: str, path: str) -> bytes:
        return served.call("GET", "/artifact/v2.0", f"/artifacts/content/ExperimentRun/dcid.{owner}/{path}").content

    names = ("conda_env_v_1_0_0.yml", "env_dependencies.json", "model.pkl", "scoring_file_v_1_0_0.py", "scoring_file_v_2_0_0.py")
    assert paths(f"{run_id}_0") == [f"outputs/{name}" for name in names]
    assert paths(run_id) == ["logs/worker.log", "outputs/verifier_results.json"]
    assert content(f"{run_id}_0", "outputs/model.pkl") == backend.files["outputs/model.pkl"]
    faults = json.loads(content(run_id, "outputs/verifier_results.json"))["faults"]
    assert [fault["result"] for fault in faults] == ["passed", "done", "passed"]


def test_what_is_passed_over(served: Served, backend: ScriptedBackend, dataset_id: str) -> None:
    """What the request asks for and the emulator does without is said in the run's warnings, and nothing else is."""
    run_id = _start(served, dataset_id, enable_dnn=True, test_size=0.1, whitelist_models=["KNN", "LightGBM"])
    automl_bridge.advance(served.emulator)
    details = served.call("GET", HISTORY, f"/experiments/bank/runs/{run_id}/details").json()
    told = [warning["message"] for warning in details["warnings"]]
    assert told == [
        *(["enable_dnn without bankmlops[deep] is not emulated, and is passed over"] if missing_packages() else []),
        "test_size is not emulated, and is passed over",
        "allowed_models: KNN is not emulated, and is left out",
    ]
    assert backend.configs[backend.last].allowed_models == ("LightGBM",)
    assert backend.configs[backend.last].enable_dnn is not bool(missing_packages())


def test_a_failed_run(served: Served, backend: ScriptedBackend, dataset_id: str) -> None:
    """The backend's reason is the run's error, and what the SDK prints."""
    run_id = _start(served, dataset_id)
    automl_bridge.advance(served.emulator)
    backend.fail("no trial finished")
    automl_bridge.advance(served.emulator)
    run = _run(served, run_id)
    assert (run["status"], run["error"]["error"]["message"]) == ("Failed", "no trial finished")
    assert run["properties"]["errors"] == "no trial finished"


def test_one_bad_run_leaves_the_others_alone(served: Served, backend: ScriptedBackend, dataset_id: str) -> None:
    """A label that is not in the table fails its run; the next run goes on."""
    bad, good = _start(served, dataset_id, label_column_name="nobody"), _start(served, dataset_id)
    automl_bridge.advance(served.emulator)
    assert "'nobody' is not in the dataset" in _run(served, bad)["error"]["error"]["message"]
    assert _run(served, bad)["properties"]["errors"].startswith("Setup iteration failed: ")
    assert _run(served, good)["status"] == "Running"


@pytest.mark.parametrize("begun", [False, True])
def test_cancel(served: Served, backend: ScriptedBackend, dataset_id: str, begun: bool) -> None:
    """A run that is cancelled ends as Canceled, whether it was begun or not; a second cancel is a conflict."""
    run_id = _start(served, dataset_id)
    if begun:
        automl_bridge.advance(served.emulator)
    assert _post(served, f"/cancelrun/{run_id}").status_code == 200
    automl_bridge.advance(served.emulator)
    assert _run(served, run_id)["status"] == "Canceled"
    assert [str(run.status) for run in backend.runs.values()] == (["Canceled"] if begun else [])
    assert _post(served, f"/cancelrun/{run_id}").status_code == 409


def test_a_run_is_found_again(served: Served, backend: ScriptedBackend, dataset_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An emulator that was killed before it wrote down the backend's run id takes up that very run."""
    run_id = _start(served, dataset_id)
    automl_bridge.advance(served.emulator)
    job = automl_jobs.find_job(served.emulator, run_id)
    automl_jobs.change_job(served.emulator, job, backend_run_id="")
    monkeypatch.setattr(automl_bridge, "_THIS_PROCESS", "another")
    backend.start()
    automl_bridge.advance(served.emulator)
    assert list(backend.runs) == ["local-0"]
    assert automl_jobs.find_job(served.emulator, run_id).backend_run_id == "local-0"


def test_a_run_begins_anew(served: Served, backend: ScriptedBackend, dataset_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training that ended together with the emulator is begun once more; children that were shown stay, new ones follow."""
    run_id = _start(served, dataset_id)
    automl_bridge.advance(served.emulator)
    backend.start()
    backend.add_child(0, "LightGBM", 0.9)
    automl_bridge.advance(served.emulator)
    backend.fail("the training process died")
    monkeypatch.setattr(automl_bridge, "_THIS_PROCESS", "another")
    automl_bridge.advance(served.emulator)
    automl_bridge.advance(served.emulator)
    assert list(backend.runs) == ["local-0", "local-1"]
    backend.start()
    backend.add_child(0, "RandomForest", 0.8)
    backend.complete()
    automl_bridge.advance(served.emulator)
    assert runs.get_run(served.workspace, run_id)["tags"]["automl_best_child_run_id"] == f"{run_id}_1"


def test_stopping_ends_the_training(served: Served, backend: ScriptedBackend, dataset_id: str) -> None:
    """An emulator that stops leaves no training behind, and the run waits for the next start."""
    run_id = _start(served, dataset_id)
    automl_bridge.advance(served.emulator)
    automl_bridge.interrupt(served.emulator)
    assert str(backend.runs["local-0"].status) == "Canceled"
    automl_bridge.advance(served.emulator)
    assert list(backend.runs) == ["local-0", "local-1"]
    assert _run(served, run_id)["status"] == "Running"


def test_runs_wait_for_their_turn(
    served: Served, backend: ScriptedBackend, dataset_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many train at once; the next begins when one ends, and one that waits can be cancelled."""
    monkeypatch.setattr(automl_bridge, "MAXIMUM_TRAININGS", 1)
    first, second, third = (_start(served, dataset_id) for _ in range(3))
    automl_bridge.advance(served.emulator)
    assert [_run(served, each)["status"] for each in (first, second)] == ["Running", "NotStarted"]
    _post(served, f"/cancelrun/{second}")
    backend.fail("too short")
    automl_bridge.advance(served.emulator)
    automl_bridge.advance(served.emulator)
    assert [_run(served, each)["status"] for each in (first, second, third)] == ["Failed", "Canceled", "Running"]
