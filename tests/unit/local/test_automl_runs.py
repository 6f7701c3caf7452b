"""AutoML runs as processes: they outlive who submitted them, end when they are told to, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from mlflow.entities import Run as MLflowRun

from bankmlops.automl.algorithms import ALGORITHM_NAMES
from bankmlops.automl.devices import resolve_device
from bankmlops.automl.earlier import read_earlier, read_over_time
from bankmlops.datasets import synthesize
from bankmlops.errors import BackendUnavailableError, ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.datasets import Datasets
from bankmlops.local.processes import kill_family
from bankmlops.local.training import automl_runs
from bankmlops.local.training.automl_continuation import is_same_data
from bankmlops.local.training.automl_records import AutoMLRecords
from bankmlops.local.training.automl_runs import AutoMLRuns
from bankmlops.local.training.automl_worker import seconds_left
from bankmlops.local.training.mlflow_store import open_store
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, DataSource, Device, RunStatus

pytestmark = pytest.mark.slow
HEARD_OF_IT_SECONDS = 15.0


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWorkspace]:
    workspace = LocalWorkspace(tmp_path_factory.mktemp("runs") / "workspace")
    open_store(workspace)  # the seconds that it takes to make are not what these tests are about
    yield workspace
    try:
        _until(lambda: not _processes(workspace.folder))
    finally:
        for record in AutoMLRecords(workspace).newest(100):
            kill_family(workspace.path_of("automl", record.run.id))


@pytest.fixture(scope="module")
def runs(workspace: LocalWorkspace) -> AutoMLRuns:
    return AutoMLRuns(workspace, Datasets(workspace))


@pytest.fixture(scope="module")
def config(workspace: LocalWorkspace, tmp_path_factory: pytest.TempPathFactory) -> AutoMLConfig:
    table = tmp_path_factory.mktemp("data") / "bank.csv"
    synthesize(table, 300, 7)
    dataset = Datasets(workspace).register("bank", DataSource(table, synthetic=True), "y")
    return AutoMLConfig(
        dataset=dataset,
        experiment_name="runs",
        experiment_timeout_minutes=10.0,
        enable_early_stopping=False,
        tags={"team": "risk"},
    )


def _processes(folder: Path) -> list[psutil.Process]:
    """Every process that was started for a run of this workspace, or by one that was."""
    return [process for process in psutil.process_iter() if _is_of(process, folder)]


def _is_of(process: psutil.Process, folder: Path) -> bool:
    try:
        mark = process.environ().get("BANKMLOPS_PROCESS_FOLDER", "")
        return mark.startswith(str(folder)) and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid()
    except psutil.Error:
        return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _begin(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> str:
    """A run whose MLflow run is open too."""
    run_id = runs.submit(config).id
    _until(lambda: runs.get(run_id).status is RunStatus.RUNNING and _mlflow_status(workspace, run_id) == ["RUNNING"])
    return run_id


def _in_mlflow(workspace: LocalWorkspace, run_id: str) -> list[MLflowRun]:
    client = open_store(workspace)
    experiment = client.get_experiment_by_name("runs")
    query = f"tags.`bankmlops.run_id` = '{run_id}' AND attributes.run_name = '{run_id}'"
    return list(client.search_runs([experiment.experiment_id], query)) if experiment else []


def _mlflow_status(workspace: LocalWorkspace, run_id: str) -> list[str]:
    return [run.info.status for run in _in_mlflow(workspace, run_id)]


def test_submit(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """A submitted run answers at once, says that its data is synthetic, and cancel ends it with all that it started."""
    run = runs.submit(config)
    assert run.status in (RunStatus.NOT_STARTED, RunStatus.RUNNING)
    assert dict(run.tags) == {"team": "risk", "synthetic": "true"}
    assert run.id in [found.id for found in runs.list()]
    runs.cancel(run.id)
    runs.cancel(run.id)
    assert runs.get(run.id).status is RunStatus.CANCELED
    assert _processes(workspace.path_of("automl", run.id)) == []


def test_cancel(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """A run that is canceled while it trains ends in MLflow too."""
    run_id = _begin(workspace, runs, config)
    runs.cancel(run_id)
    assert _processes(workspace.path_of("automl", run_id)) == []
    assert _mlflow_status(workspace, run_id) == ["KILLED"]


def test_ended_on_another_machine(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """A cancel from a machine that sees none of the run's processes reaches them by the record: they end by themselves."""
    run_id = _begin(workspace, runs, config)
    AutoMLRecords(workspace).end(run_id, RunStatus.CANCELED)
    began = time.monotonic()
    _until(lambda: not _processes(workspace.path_of("automl", run_id)))
    assert time.monotonic() - began < HEARD_OF_IT_SECONDS
    assert runs.get(run_id).status is RunStatus.CANCELED


def test_asked_to_end(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """A worker that gets SIGTERM, as at a shutdown, says that its run is canceled, and takes its processes with it."""
    run_id = _begin(workspace, runs, config)
    process = AutoMLRecords(workspace).read(run_id).process
    os.kill(process.pid, signal.SIGTERM)
    _until(lambda: runs.get(run_id).status.is_final)
    assert runs.get(run_id).status is RunStatus.CANCELED
    _until(lambda: not _processes(workspace.path_of("automl", run_id)))
    assert _mlflow_status(workspace, run_id) == ["KILLED"]


def test_one_thread_a_library(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """No library in the worker begins threads that wait in busy loops: beside other work these cost a run its budget."""
    run_id = _begin(workspace, runs, config)
    environment = psutil.Process(AutoMLRecords(workspace).read(run_id).process.pid).environ()
    runs.cancel(run_id)
    assert (environment["OMP_NUM_THREADS"], environment["OPENBLAS_NUM_THREADS"]) == ("1", "1")


def test_killed(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """A worker that is killed is found dead by whoever looks: the run failed, and nothing of it runs on."""
    run_id = _begin(workspace, runs, config)
    os.kill(AutoMLRecords(workspace).read(run_id).process.pid, signal.SIGKILL)
    _until(lambda: runs.get(run_id).status.is_final)
    run = runs.get(run_id)
    assert run.status is RunStatus.FAILED
    assert run.error.startswith("the training process died: ")
    _until(lambda: not _processes(workspace.path_of("automl", run_id)))
    assert _mlflow_status(workspace, run_id) == ["FAILED"]


def test_what_is_done_is_kept_and_gone_on_from(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """A canceled run keeps its trials; resumed, it fits only what is missing, and MLflow has one run of it, with every trial."""
    asked = replace(config, iterations=4, allowed_models=("LogisticRegression", "LightGBM"), n_cross_validations=3)
    run_id = runs.submit(asked).id
    _until(lambda: len(runs.children(run_id)) > 0)
    runs.cancel(run_id)
    kept = runs.children(run_id)
    assert (runs.get(run_id).status, len(kept) > 0) == (RunStatus.CANCELED, True)
    before = {path: path.stat().st_mtime_ns for path in runs.folder(run_id).glob("search/trial-*/result.json")}

    assert runs.resume(run_id).status in (RunStatus.NOT_STARTED, RunStatus.RUNNING)
    with pytest.raises(ConflictError, match="only one that was canceled or has failed"):
        runs.resume(run_id)
    run = wait(runs.get, run_id, timeout_seconds=180)
    assert run.status is RunStatus.COMPLETED, run.error
    assert {path: path.stat().st_mtime_ns for path in before} == before
    scores = {child.id: child.score for child in runs.children(run_id)}
    assert {child.id: child.score for child in kept if child.algorithm != "VotingEnsemble"}.items() <= scores.items()
    assert run.trials == 5  # with the ensemble
    assert _mlflow_status(workspace, run_id) == ["FINISHED"]


def test_more_time_for_an_ended_run(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig, tmp_path: Path) -> None:
    """A canceled run's trials are another run's start, whose tags show what its time bought; other data tries its best first."""
    asked = replace(config, allowed_models=("LogisticRegression",), n_cross_validations=2, model_explainability=False)
    run_id = runs.submit(asked).id
    _until(lambda: len(runs.children(run_id)) > 0)
    with pytest.raises(ConflictError, match="only one that has ended can be continued"):
        runs.continue_from(run_id, 1.0, None)
    runs.cancel(run_id)
    kept = runs.children(run_id)

    synthesize(tmp_path / "june.csv", 200, 9)
    june = Datasets(workspace).register("june", DataSource(tmp_path / "june.csv", synthetic=True), "y")
    same, other = (runs.continue_from(run_id, 0.1, data).id for data in (None, june))
    ended = [wait(runs.get, each, timeout_seconds=180) for each in (same, other)]
    assert [run.status for run in ended] == [RunStatus.COMPLETED] * 2, [run.error for run in ended]
    assert {child.iteration: child.score for child in kept}.items() <= {
        child.iteration: child.score for child in runs.children(same)
    }.items()
    tags = ended[0].tags
    assert (tags["continues"], tags["score.before"]) == (run_id, f"{kept[0].score:.6f}")
    assert float(tags["score.after"]) >= float(tags["score.before"])
    assert float(tags["seconds.after"]) > float(tags["seconds.before"]) >= 0
    assert "What the extra time bought" in (runs.folder(same) / "outputs" / "report.html").read_text()
    assert "score.before" not in ended[1].tags, "it would be of other rows"
    began = read_earlier(runs.folder(other))
    assert (began.progress, began.seconds) == ((), read_earlier(runs.folder(same)).seconds)
    first = min(runs.children(other), key=lambda child: child.iteration)
    assert first.parameters == kept[0].parameters


def test_more_time_counts_what_was_worked(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """Neither the night until somebody saw that a run was killed nor the pause before it was resumed are time that it had."""
    asked = replace(config, allowed_models=("LightGBM",), n_cross_validations=2, enable_early_stopping=False)
    run_id = runs.submit(asked).id

    def kill_after(trials: int) -> None:
        _until(lambda: len(runs.children(run_id)) >= trials)
        os.kill(AutoMLRecords(workspace).read(run_id).process.pid, signal.SIGKILL)
        _until(lambda: runs.get(run_id).status.is_final)

    kill_after(1)
    runs.resume(run_id)
    kill_after(len(runs.children(run_id)) + 1)
    with workspace.database() as database:  # seen to have ended a day later
        database.execute("UPDATE automl_runs SET ended = ? WHERE id = ?", ("2200-01-01T00:00:00+00:00", run_id))
    worked = read_over_time(runs.folder(run_id) / "search")
    continued = runs.continue_from(run_id, 0.05, None)
    runs.cancel(continued.id)
    began = read_earlier(runs.folder(continued.id))
    assert (began.seconds, began.progress) == worked
    times = [seconds for seconds, _ in began.progress]
    assert 0 < times[0] <= times[-1] <= began.seconds < 120
    assert times == sorted(times)


def test_more_time_after_a_good_enough_score(runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """What ended the earlier run, a score that was good enough or its count of trials, does not end this one."""
    asked = replace(config, allowed_models=("LogisticRegression",), n_cross_validations=2, model_explainability=False)
    run_id = runs.submit(replace(asked, experiment_exit_score=0.1, iterations=50)).id
    ended = wait(runs.get, run_id, timeout_seconds=180)
    assert (ended.status, ended.trials) == (RunStatus.COMPLETED, 2), ended.error  # with the ensemble
    more = runs.continue_from(run_id, 10.0, None).id
    _until(lambda: len(runs.children(more)) > 1 or runs.get(more).status.is_final)
    assert not runs.get(more).status.is_final, runs.get(more)
    runs.cancel(more)
    assert [child.algorithm for child in runs.children(more)[:2]] == ["LogisticRegression"] * 2


def test_a_larger_sample_is_other_data(config: AutoMLConfig) -> None:
    """More minutes look at more rows of a large table, so scores of both are not of the same rows."""
    shorter = replace(config, experiment_timeout_minutes=0.5)
    assert is_same_data(config, shorter)
    large = replace(config.dataset, rows=10**6)
    assert not is_same_data(replace(config, dataset=large), replace(shorter, dataset=large))
    assert not is_same_data(config, replace(config, dataset=replace(config.dataset, sha256="0" * 64)))


@pytest.mark.parametrize("end", [RunStatus.COMPLETED, RunStatus.FAILED])
def test_more_time_however_it_ended(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig, end: RunStatus) -> None:
    """What a completed run, or one whose process was killed, had tried is not fitted again."""
    iterations, learner = (
        (1, "LogisticRegression") if end is RunStatus.COMPLETED else (None, "LightGBM")
    )  # which ends, or goes on
    asked = replace(config, allowed_models=(learner,), n_cross_validations=2, iterations=iterations)
    run_id = runs.submit(replace(asked, model_explainability=False)).id
    _until(lambda: len(runs.children(run_id)) > 0)
    if end is RunStatus.FAILED:
        os.kill(AutoMLRecords(workspace).read(run_id).process.pid, signal.SIGKILL)
    _until(lambda: runs.get(run_id).status.is_final)
    assert runs.get(run_id).status is end, runs.get(run_id).error
    fitted = {path.parent.name: path.read_bytes() for path in runs.folder(run_id).glob("search/trial-*/result.json")}
    kept = {child.iteration: child.score for child in runs.children(run_id) if child.algorithm == learner}

    ended = wait(runs.get, runs.continue_from(run_id, 0.05, None).id, timeout_seconds=180)
    assert ended.status is RunStatus.COMPLETED, ended.error
    assert ended.tags["continues"] == run_id
    (logged,) = _in_mlflow(workspace, ended.id)
    assert logged.data.params["device"] == resolve_device(Device.AUTO, (learner,))
    assert kept.items() <= {child.iteration: child.score for child in runs.children(ended.id)}.items()
    folder = runs.folder(ended.id) / "search"
    assert {name: (folder / name / "result.json").read_bytes() for name in fitted} == fitted


def test_a_run_whose_gpu_is_gone(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """It is continued on what there is now."""
    records = AutoMLRecords(workspace)
    records.add("AutoML_on_a_gpu", replace(config, device=Device.CUDA), {})
    records.end("AutoML_on_a_gpu", RunStatus.CANCELED)
    workspace.folder_of("automl", "AutoML_on_a_gpu")
    continued = runs.continue_from("AutoML_on_a_gpu", 1.0, None)
    runs.cancel(continued.id)
    assert records.read(continued.id).config.device is resolve_device(Device.AUTO, ALGORITHM_NAMES)


def test_a_failure_is_one_line(workspace: LocalWorkspace, runs: AutoMLRuns, tmp_path: Path) -> None:
    """A dataset whose file was written over fails the run with one line that names the file; the log has no traceback."""
    synthesize(tmp_path / "other.csv", 300, 8)
    dataset = Datasets(workspace).register("damaged", DataSource(tmp_path / "other.csv"), "y")
    Datasets(workspace).parquet(dataset).write_bytes(b"no parquet")
    run = wait(runs.get, runs.submit(AutoMLConfig(dataset=dataset, experiment_name="runs")).id, timeout_seconds=180)
    assert run.status is RunStatus.FAILED
    assert "data.parquet is damaged" in run.error
    assert "\n" not in run.error
    assert "Traceback" not in (runs.folder(run.id) / "logs" / "worker.log").read_text()


def test_refusals_start_nothing(workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig) -> None:
    """An unknown dataset, another content, a bad name or field: refused before a run is there."""
    before = len(runs.list())
    with pytest.raises(InvalidRequestError, match=r"device cuda: .*LogisticRegression can't use a GPU"):
        runs.submit(replace(config, device=Device.CUDA, allowed_models=("LogisticRegression",)))
    with pytest.raises(NotFoundError, match="nobody"):
        runs.submit(replace(config, dataset=replace(config.dataset, name="nobody")))
    for changed in (
        replace(config, dataset=replace(config.dataset, sha256="other")),
        replace(config, experiment_name="no/name"),
        replace(config, primary_metric="beauty"),
        replace(config, device=Device.CUDA),  # which no learner of this run has a build for
    ):
        with pytest.raises(InvalidRequestError):
            runs.submit(changed)
    assert len(runs.list()) == before


def test_a_run_that_can_not_start_is_forgotten(
    workspace: LocalWorkspace, runs: AutoMLRuns, config: AutoMLConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the worker can't be started, no run and no folder stays."""

    def refuse(*_arguments: object) -> None:
        raise BackendUnavailableError("no more processes")

    before = sorted((workspace.folder / "automl").glob("*"))
    monkeypatch.setattr(automl_runs, "start_detached", refuse)
    with pytest.raises(BackendUnavailableError, match="no more processes"):
        runs.submit(config)
    assert sorted((workspace.folder / "automl").glob("*")) == before


def test_files(runs: AutoMLRuns, config: AutoMLConfig, tmp_path: Path) -> None:
    """A run's files are its owner's alone; each can be had by its path, and a path that is none of them can not."""
    run_id = runs.submit(replace(config, experiment_timeout_minutes=0.001)).id
    wait(runs.get, run_id, timeout_seconds=180)
    paths = runs.artifacts(run_id)
    assert "logs/worker.log" in paths
    assert {stat.S_IMODE((runs.folder(run_id) / path).stat().st_mode) for path in paths} == {0o600}
    assert runs.download(run_id, "logs/worker.log", tmp_path / "to") == tmp_path / "to" / "worker.log"
    for path in ("../../state.db", "/etc/passwd", "outputs", ""):
        with pytest.raises(NotFoundError):
            runs.download(run_id, path, tmp_path)


@pytest.mark.parametrize(
    ("minutes", "spent", "left"),
    [
        (1.0, 1.5, 56.5),
        (10.0, 0.5, 597.5),
        (10.0, 500.0, 98.0),
        (1.0, 57.0, 3.0),
        (0.1, 1.5, 3.0),
        (0.1, 60.0, 3.0),
        (0.05, 9.0, 1.5),
    ],
)
def test_the_budget_counts_from_the_request(
    workspace: LocalWorkspace, config: AutoMLConfig, minutes: float, spent: float, left: float
) -> None:
    """The search may use what is left since the run was asked for, but for MLflow's share, and 3 s or half of it at least."""
    records = AutoMLRecords(workspace)
    records.add(f"AutoML_budget_{minutes}_{spent}", replace(config, experiment_timeout_minutes=minutes), {})
    record = records.read(f"AutoML_budget_{minutes}_{spent}")
    now = datetime.fromisoformat(record.created) + timedelta(seconds=spent)
    assert seconds_left(record, now.astimezone(UTC)) == pytest.approx(left)
    records.remove(record.run.id)
