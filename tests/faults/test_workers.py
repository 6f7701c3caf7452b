"""Workers on PostgreSQL: killed, stopped, asked to leave, and a database that goes away. Its runs end well all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest

from bankmlops.errors import BackendUnavailableError
from bankmlops.pipelines import Pipeline, Step
from bankmlops.types import RunStatus
from support import held_steps
from support.breakable_pipelines import BreakablePipelines, breakable_pipelines
from support.breakpoints import AFTER, BEFORE
from support.postgres import Cluster, postgres
from support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.system]

TAKE_OVER_SECONDS = 15.0
CANCEL_SECONDS = 15.0
GONE_SECONDS = 20.0
# Its own process ids and its own name: nobody there can end, or tell apart, a process of here.
_NAMESPACES = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
OTHER_MACHINE = (*_NAMESPACES, "sh", "-c", 'hostname elsewhere; exec "$@"', "sh")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres() as cluster:
        yield cluster


class World:
    """A workspace whose engine is on PostgreSQL, and workers that are processes of this test."""

    def __init__(self, pipelines: BreakablePipelines, url: str, stack: ExitStack) -> None:
        self.pipelines = pipelines
        self.url = url
        self._stack = stack
        self.workers: list[subprocess.Popen[str]] = []

    def start_worker(self, drain_seconds: float = 1.0, machine: Sequence[str] = ()) -> subprocess.Popen[str]:
        """A worker that has said that it takes steps; `machine` is the command that puts it on another."""
        worker_words = ["-m", "support.breakable_worker", str(self.pipelines.workspace.folder), str(drain_seconds)]
        words = [*machine, sys.executable, *worker_words]
        with self._log(len(self.workers)).open("w") as log:
            worker = self._stack.enter_context(subprocess.Popen(words, stderr=log, text=True))
        self._stack.callback(worker.kill)
        self.workers.append(worker)
        self.await_words(worker, "takes steps from")
        return worker

    def worker_of(self, pid: int) -> subprocess.Popen[str]:
        """The worker with this process id."""
        return next(worker for worker in self.workers if worker.pid == pid)

    def await_words(self, worker: subprocess.Popen[str], words: str) -> None:
        """Wait until a worker has logged these words."""
        log = self._log(self.workers.index(worker))
        wait_until(lambda: words in log.read_text())

    def _log(self, number: int) -> Path:
        return self.pipelines.folder / f"worker-{number}.log"

    def states(self) -> dict[int, str]:
        """The status of each worker that the database knows, by its process."""
        with psycopg.connect(self.url) as connection:
            return dict(connection.execute("SELECT pid, status FROM bankmlops.pipeline_workers").fetchall())

    def is_answered(self, run_id: str) -> bool:
        """Whether the control server tells how a run stands."""
        try:
            return bool(self.pipelines.backend.get_pipeline_run(run_id))
        except BackendUnavailableError:
            return False

    def ended_well(self, run_id: str) -> None:
        """The run has trained and registered once, and nothing is left of it."""
        run = self.pipelines.await_end(run_id)
        assert run.status is RunStatus.COMPLETED, run.error
        assert self.pipelines.trainings() == [run.outputs["automl_run_id"]]
        assert self.pipelines.registered() == [(run.outputs["model_version"], run.outputs["automl_run_id"])]
        assert self.pipelines.mlflow_runs_left_running() == []
        assert self.pipelines.await_no_processes() == []


@pytest.fixture
def world(tmp_path: Path, cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[World]:
    """On PostgreSQL; the control server leaves all steps to workers unless the test's name says that it is alone."""
    url = cluster.new_database()
    steps = "on" if "alone" in request.node.name else "off"
    environment = {"BANKMLOPS_DATABASE_URL": url, "BANKMLOPS_CONTROL_STEPS": steps}
    with breakable_pipelines(tmp_path, **environment) as pipelines, ExitStack() as stack:
        yield World(pipelines, url, stack)


def test_a_control_server_alone(world: World, cluster: Cluster) -> None:
    """Without a worker the control server carries out the steps; nobody but it has the password, which is in no log."""
    published = world.pipelines.publish()
    world.pipelines.breakpoints.set("submit_automl", AFTER)
    world.pipelines.pipelines.up()
    run_id = world.pipelines.trigger(published)
    world.pipelines.await_breakpoint()
    environments = ["\0".join(process.environ().values()) for process in world.pipelines.processes()]
    assert environments
    world.pipelines.breakpoints.clear()
    world.ended_well(run_id)
    status = world.pipelines.pipelines.status()
    files = [path for path in world.pipelines.workspace.folder.rglob("*") if path.is_file()]
    texts = [path.read_bytes().decode(errors="replace") for path in files]
    texts += [*environments, *psutil.Process(status.pid).cmdline(), repr(status)]
    secret = cluster.password.partition("/")[2]
    assert not [text for text in texts if secret in text]


def test_a_killed_worker(world: World, record_property: Callable[[str, object], None]) -> None:
    """`kill -9` of a worker that has a step: another takes it over within seconds, and what was done is not done again."""
    published = world.pipelines.publish()
    world.pipelines.pipelines.up()
    for _ in range(2):
        world.start_worker()
    world.pipelines.breakpoints.set("submit_automl", BEFORE)
    run_id = world.pipelines.trigger(published)
    victim = world.worker_of(world.pipelines.await_breakpoint())
    known = len(world.pipelines.breakpoints.calls())
    victim.kill()
    killed = time.monotonic()
    world.pipelines.breakpoints.clear()
    wait_until(lambda: len(world.pipelines.breakpoints.calls()) > known)
    seconds = time.monotonic() - killed
    record_property("take-over seconds", round(seconds, 1))
    assert seconds < TAKE_OVER_SECONDS
    world.ended_well(run_id)
    assert world.states()[victim.pid] == "Lost"
    assert set(world.states().values()) == {"Lost", "Alive"}


def test_a_worker_that_is_asked_to_leave(world: World) -> None:
    """SIGTERM: it takes no more, hands back what it can't finish in its time, and ends well; another goes on at once."""
    published = world.pipelines.publish()
    world.pipelines.pipelines.up()
    leaving = world.start_worker()
    world.pipelines.breakpoints.set("submit_automl", AFTER)
    run_id = world.pipelines.trigger(published)
    assert world.pipelines.await_breakpoint() == leaving.pid
    world.start_worker()
    leaving.send_signal(signal.SIGTERM)
    world.await_words(leaving, "takes no more steps")
    assert leaving.wait(30) == 0
    assert world.states()[leaving.pid] == "Left"
    world.pipelines.breakpoints.clear()
    world.ended_well(run_id)


def test_a_worker_that_stood_still(world: World) -> None:
    """A worker that was stopped for longer than its silence may last finds its step taken over when it wakes, and ends."""
    published = world.pipelines.publish()
    world.pipelines.pipelines.up()
    sleeper = world.start_worker()
    world.pipelines.breakpoints.set("submit_automl", AFTER)
    run_id = world.pipelines.trigger(published)
    assert world.pipelines.await_breakpoint() == sleeper.pid
    world.start_worker()
    sleeper.send_signal(signal.SIGSTOP)
    world.pipelines.breakpoints.clear()
    wait_until(lambda: world.states()[sleeper.pid] == "Lost")
    sleeper.send_signal(signal.SIGCONT)
    world.await_words(sleeper, "was taken for dead")
    assert sleeper.wait(30) == 1
    world.ended_well(run_id)


def test_cancel_of_a_step_that_was_just_taken(world: World) -> None:
    """A run that is canceled when a worker has just taken its first step does not go on; the worker's next run ends well."""
    published = world.pipelines.publish()
    world.pipelines.pipelines.up()
    worker = world.start_worker()
    world.pipelines.breakpoints.set("get_dataset", BEFORE)
    canceled = world.pipelines.trigger(published)
    assert world.pipelines.await_breakpoint() == worker.pid
    world.pipelines.backend.cancel_pipeline_run(canceled)
    world.pipelines.breakpoints.clear()
    world.ended_well(world.pipelines.trigger(published))
    run = world.pipelines.backend.get_pipeline_run(canceled)
    assert run.status is RunStatus.CANCELED
    assert {step.status for step in run.steps} <= {RunStatus.CANCELED, RunStatus.NOT_STARTED}


def test_cancel_on_another_machine(tmp_path: Path, cluster: Cluster, record_property: Callable[[str, object], None]) -> None:
    """A cancel ends what a worker elsewhere trains and calls, whose processes the control server can't see; the worker stays."""
    if subprocess.run([*OTHER_MACHINE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make namespaces of process ids")
    environment = {
        "BANKMLOPS_DATABASE_URL": cluster.new_database(),
        "BANKMLOPS_CONTROL_STEPS": "off",
        "BANKMLOPS_SHARED_WORKSPACE": "1",
        "SEES_NO_PROCESSES": "1",
        "SCRIPTED_SECONDS": "600",
    }
    with breakable_pipelines(tmp_path, **environment) as pipelines, ExitStack() as stack:
        world = World(pipelines, environment["BANKMLOPS_DATABASE_URL"], stack)
        pipelines.publish()
        pipelines.pipelines.up()
        worker = world.start_worker(machine=OTHER_MACHINE)
        run_id = pipelines.backend.submit_pipeline(_held_pipeline(tmp_path)).id
        wait_until(lambda: (tmp_path / "begun").exists() and _trains(pipelines), 60)
        asked = time.monotonic()
        pipelines.backend.cancel_pipeline_run(run_id)
        assert pipelines.await_no_processes(CANCEL_SECONDS) == []
        record_property("seconds to end", round(time.monotonic() - asked, 1))
        ended = pipelines.backend.get_pipeline_run(run_id)
        assert ended.status is RunStatus.CANCELED
        assert {step.status for step in ended.steps} == {RunStatus.CANCELED}
        assert [run.status for run in pipelines.backend.list_runs()] == [RunStatus.CANCELED]
        (tmp_path / "hold-call").unlink()
        again = pipelines.backend.submit_pipeline(_calls(tmp_path, "call")).id
        assert pipelines.await_end(again).status is RunStatus.COMPLETED
        assert worker.poll() is None
        assert set(world.states().values()) == {"Alive"}


def _held_pipeline(folder: Path) -> Pipeline:
    """A training and a call, side by side, that go on until somebody ends them."""
    (folder / "hold-call").touch()
    train = Step("train", "automl", {"dataset": "bank", "experiment_timeout_minutes": 10.0})
    return Pipeline("held", (train, *_calls(folder, "call").steps))


def _calls(folder: Path, name: str) -> Pipeline:
    source = str(Path(held_steps.__file__))
    inputs = {"folder": str(folder), "name": name}
    return Pipeline("calls", (Step(name, "function", inputs, ("done",), function="held_steps:work", source=source),))


def _trains(pipelines: BreakablePipelines) -> bool:
    return [run.progress for run in pipelines.backend.list_runs()] == ["trial 0"]


def test_a_control_server_that_is_killed(world: World) -> None:
    """While it is gone a worker finishes the step that it has; the next server goes on after that one, and keeps the worker."""
    published = world.pipelines.publish()
    world.pipelines.pipelines.up()
    worker = world.start_worker()
    world.pipelines.breakpoints.set("submit_automl", AFTER)
    run_id = world.pipelines.trigger(published)
    assert world.pipelines.await_breakpoint() == worker.pid
    known = len(world.pipelines.breakpoints.calls())
    world.pipelines.kill_server()
    world.pipelines.breakpoints.clear()
    wait_until(lambda: [run.status for run in world.pipelines.backend.list_runs()] == [RunStatus.COMPLETED], 60)
    world.pipelines.pipelines.up()
    world.ended_well(run_id)
    assert "submit_automl" not in [call.operation for call in world.pipelines.breakpoints.calls()[known:]]
    assert worker.poll() is None
    assert set(world.states().values()) == {"Alive"}


def test_a_database_that_goes_away(world: World, cluster: Cluster) -> None:
    """Gone for 20 s while a run trains: a trigger is refused with the reason, the run ends well, and no worker is lost."""
    published = world.pipelines.publish()
    world.pipelines.pipelines.up()
    world.start_worker()
    world.pipelines.breakpoints.set("submit_automl", AFTER)
    run_id = world.pipelines.trigger(published)
    world.pipelines.await_breakpoint()
    cluster.stop()
    gone = time.monotonic()
    try:
        world.pipelines.breakpoints.clear()
        time.sleep(3)
        with pytest.raises(BackendUnavailableError, match=r"PostgreSQL at 127\.0\.0\.1") as refusal:
            world.pipelines.trigger(published)
        assert "\n" not in str(refusal.value)
        assert cluster.password not in str(refusal.value)
        time.sleep(max(0.0, GONE_SECONDS - (time.monotonic() - gone)))
    finally:
        cluster.start()
    wait_until(lambda: world.is_answered(run_id))
    world.ended_well(run_id)
    assert set(world.states().values()) == {"Alive"}


def test_two_control_servers_on_one_database(world: World, tmp_path: Path) -> None:
    """The second, of another workspace, refuses to start; when the first was killed, the second may."""
    (tmp_path / "other").mkdir()
    other = BreakablePipelines(tmp_path / "other", tmp_path / "other" / "workspace")
    world.pipelines.pipelines.up()
    with pytest.raises(BackendUnavailableError, match="another control server works on PostgreSQL at"):
        other.pipelines.up()
    world.pipelines.kill_server()
    try:
        other.pipelines.up()
    finally:
        other.end()
