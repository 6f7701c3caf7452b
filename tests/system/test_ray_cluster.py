"""AutoML on a Ray cluster of two machines: the same run as here, and what is lost with a process or a machine."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from bankmlops.automl import ray_executor
from bankmlops.automl.tasks import estimator_path, graph_path, read_result
from bankmlops.datasets import synthesize
from bankmlops.errors import ConflictError, InvalidRequestError
from bankmlops.local.backend import LocalBackend
from bankmlops.types import AutoMLConfig, ChildRun, DataSource, Engine, Run, RunStatus
from support.ray_clusters import (
    FIRST,
    ROWS,
    add_machine,
    endless_task,
    executor_on,
    fit_task,
    next_ended,
    trial_processes,
    two_machines,
)
from support.waiting import wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: bankmlops[ray]"),
]

SUPPORT = Path(__file__).parents[1] / "support"
RUN_SECONDS = 400.0
TRIALS = 5


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with two_machines() as cluster:
        yield cluster


@dataclass(frozen=True)
class Ended:
    """A run that lost one process on its way."""

    run: Run
    trials: Sequence[ChildRun]
    leaderboard: Sequence[ChildRun]
    artifacts: frozenset[str]
    rows: list[dict[str, str]]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> AutoMLConfig:
    folder = tmp_path_factory.mktemp("bank")
    synthesize(folder / "bank.csv", 8_000, 7)
    dataset = LocalBackend(folder / "workspace").register_dataset("bank", DataSource(folder / "bank.csv", synthetic=True), "y")
    return AutoMLConfig(
        dataset,
        experiment_timeout_minutes=10.0,
        iterations=TRIALS,
        n_cross_validations=3,
        max_concurrent_iterations=2,
        allowed_models=("LightGBM", "ExtremeRandomTrees"),
        model_explainability=False,
    )


@pytest.fixture(scope="module")
def backend(config: AutoMLConfig, tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    return LocalBackend(next(tmp_path_factory.getbasetemp().glob("bank*/workspace")))


@pytest.fixture(scope="module")
def on_the_cluster(cluster: Any, backend: LocalBackend, config: AutoMLConfig, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    asked = replace(config, engine=Engine.RAY, address=cluster.address)
    return _run_with_a_loss(backend, asked, trial_processes, tmp_path_factory.mktemp("ray"))


@pytest.fixture(scope="module")
def here(backend: LocalBackend, config: AutoMLConfig, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return _run_with_a_loss(backend, config, _forks, tmp_path_factory.mktemp("local"))


def test_a_lost_process_costs_a_run_on_the_cluster_one_trial(on_the_cluster: Ended) -> None:
    """Where a process of the cluster is killed in the midst of a trial, that trial alone fails, and the run has its winner."""
    _check_one_loss(on_the_cluster)


def test_a_lost_process_costs_a_run_here_one_trial(here: Ended) -> None:
    """The same is true of the processes of this machine."""
    _check_one_loss(here)


def test_both_engines_leave_the_same_kinds_of_things(on_the_cluster: Ended, here: Ended) -> None:
    """The leaderboard has the same columns, and the run the same files, wherever its trials were fitted."""
    assert on_the_cluster.artifacts == here.artifacts
    assert [list(row) for row in on_the_cluster.rows[:1]] == [list(row) for row in here.rows[:1]]
    for one, other in zip(on_the_cluster.leaderboard[:1], here.leaderboard[:1], strict=True):
        assert set(one.metrics) == set(other.metrics)
        assert one.score == pytest.approx(other.score, abs=0.05)


def test_a_canceled_run_leaves_no_task(cluster: Any, backend: LocalBackend, config: AutoMLConfig) -> None:
    """Canceling a run ends its tasks on the cluster too, though its process is killed."""
    run_id = backend.submit_automl(replace(config, engine=Engine.RAY, address=cluster.address, iterations=None)).id
    wait_until(lambda: trial_processes() or backend.get_run(run_id).status.is_final, 180)
    backend.cancel_run(run_id)
    assert backend.get_run(run_id).status is RunStatus.CANCELED
    wait_until(lambda: not trial_processes())


def test_from_a_machine_outside_the_cluster(tmp_path: Path) -> None:
    """Through Ray's client the same is true: a fit's result comes here, and a kill ends a process."""
    pytest.importorskip("grpc", reason="grpcio is not installed: ray[client]")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(SUPPORT.parent)}
    words = [sys.executable, str(SUPPORT / "ray_client_script.py"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_killed_task_is_not_heard_of_again(cluster: Any, tmp_path: Path) -> None:
    """Killing a task ends its process on the cluster, and the next is fitted and leaves its model here; then nothing is left."""
    with executor_on(cluster.address, tmp_path) as executor:
        assert executor.slots == 2
        executor.submit(endless_task("killed"))
        wait_until(trial_processes, 120)
        executor.kill(endless_task("killed"))
        wait_until(lambda: not trial_processes())
        assert executor.running == 0
        executor.submit(replace(fit_task("after"), threads=64))
        task, result = next_ended(executor)
        assert (task.name, result.error, result.probabilities.shape) == ("after", "", (ROWS, 2))
        assert min(path(tmp_path, task).stat().st_size for path in (estimator_path, graph_path)) > 100
        kept = read_result(tmp_path, task)
        assert kept is not None
        assert (kept.probabilities == result.probabilities).all()
        executor.submit(replace(fit_task("refused", fold=0), parameters={"C": -1.0}))
        assert "C" in next_ended(executor)[1].error
        executor.submit(endless_task("left"))
        wait_until(trial_processes, 120)
    assert not _connected()
    wait_until(lambda: not trial_processes())


def test_a_lost_machine_costs_its_tasks_alone(cluster: Any, tmp_path: Path) -> None:
    """What was fitted on a machine that is gone has the error that says so; the others go on."""
    third = add_machine(cluster)
    with executor_on(cluster.address, tmp_path) as executor:
        assert executor.slots == 3
        tasks = [endless_task(f"on machine {number}") for number in range(3)]
        for task in tasks:
            executor.submit(task)
        wait_until(lambda: len(trial_processes()) == 3, 120)
        cluster.remove_node(third, allow_graceful=False)
        lost, result = next_ended(executor)
        assert "its machine is gone" in result.error
        for task in tasks:
            executor.kill(task)
        executor.submit(fit_task("after the loss"))
        assert next_ended(executor)[1].error == ""
        assert lost.name in {task.name for task in tasks}


def test_other_packages_on_a_machine(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has another version of what writes the models is refused before a trial, by its address."""
    monkeypatch.setattr(ray_executor, "_version", lambda package: f"0 of {package}")
    with pytest.raises(
        InvalidRequestError, match=r"machine 127\.0\.0\.\d of the Ray cluster has bankmlops .*, and this one 0 of"
    ):
        executor_on(cluster.address, tmp_path).__enter__()
    assert not _connected()


def test_another_ray_on_the_cluster(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster of another version of Ray is refused in a line that tells both."""
    monkeypatch.setattr("ray.__version__", "2.0.0")
    with pytest.raises(InvalidRequestError, match=r"needs the same Python and Ray as this machine: .*Ray: 2\.0\.0"):
        executor_on(cluster.address, tmp_path).__enter__()


def test_one_cluster_at_a_time(cluster: Any, tmp_path: Path) -> None:
    """A process that is connected to a cluster stays so, and is told."""
    with executor_on(cluster.address, tmp_path / "first"):
        with pytest.raises(ConflictError, match="connected to a Ray cluster already"):
            executor_on(cluster.address, tmp_path / "second").__enter__()
        assert _connected()


def test_what_answers_is_no_cluster(tmp_path: Path) -> None:
    """A server that is no Ray cluster is given up after a bounded time, in one line."""
    program = (
        "import socket, sys\n"
        "from pathlib import Path\n"
        "from bankmlops.automl import ray_cluster\n"
        "from bankmlops.errors import BackendUnavailableError\n"
        "ray_cluster.JOIN_SECONDS = 3.0\n"
        f"listening = socket.create_server(({FIRST!r}, 0))\n"
        "try:\n"
        f"    with ray_cluster.joined(f'{FIRST}:{{listening.getsockname()[1]}}'):\n"
        "        pass\n"
        "except BackendUnavailableError as error:\n"
        "    print(error, flush=True)\n"
        "    __import__('os')._exit(3)\n"
    )
    began = time.monotonic()
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 3, done.stderr
    assert "no Ray cluster could be joined at 127.0.0.2:" in done.stdout
    assert time.monotonic() - began < 60


def _connected() -> bool:
    import ray  # seconds, which no collection of tests should take

    return bool(ray.is_initialized())


def _run_with_a_loss(
    backend: LocalBackend, config: AutoMLConfig, at_work: Callable[[], list[psutil.Process]], folder: Path
) -> Ended:
    """Kill one process that is at work on a trial, and, should its trial have ended just then, another."""
    run_id = backend.submit_automl(config).id
    deadline, killed = time.monotonic() + RUN_SECONDS, 0.0
    while not backend.get_run(run_id).status.is_final:
        assert time.monotonic() < deadline
        failed = [trial for trial in backend.list_trials(run_id) if trial.status is RunStatus.FAILED]
        if not failed and time.monotonic() - killed > 3 and (found := at_work()):
            os.kill(found[0].pid, signal.SIGKILL)
            killed = time.monotonic()
        time.sleep(0.05)
    run = backend.get_run(run_id)
    assert run.status is RunStatus.COMPLETED, run.error
    copied = backend.download_artifact(run_id, "outputs/leaderboard.csv", folder)
    with copied.open(newline="") as file:
        rows = list(csv.DictReader(file))
    artifacts = frozenset(backend.list_artifacts(run_id))
    return Ended(run, backend.list_trials(run_id), backend.list_children(run_id), artifacts, rows)


def _forks() -> list[psutil.Process]:
    """The processes of this machine that are at work on a trial: the nursery's children."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if all("bankmlops.automl.nursery" in each.cmdline() for each in (process, process.parent())):
                found.append(process)
        except (psutil.Error, AttributeError):
            continue
    return found


def _check_one_loss(ended: Ended) -> None:
    failed = [trial for trial in ended.trials if trial.status is RunStatus.FAILED]
    assert ["its process died" in trial.error for trial in failed] == [True]
    assert len([trial for trial in ended.trials if not trial.algorithm.endswith("Ensemble")]) == TRIALS
    assert ended.leaderboard
    assert ended.run.best_algorithm
