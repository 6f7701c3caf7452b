"""Old pipeline runs on the real engine: which ones nobody needs, and what is left when they are gone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dbos import DBOS

from bankmlops.errors import BackendUnavailableError, ConflictError, NotFoundError
from bankmlops.local.pipelines import pruning
from bankmlops.local.pipelines.engine import PipelineEngine, RunRequest
from bankmlops.local.pipelines.sources import keep_sources
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Pipeline, Step
from bankmlops.runs import wait
from bankmlops.types import PipelineRun, PrunedRuns, RunStatus
from support.trainer import PIPELINE, Trainer, launched

pytestmark = pytest.mark.slow

SOURCE = """
import pathlib, time

def write(text):
    pathlib.Path("note.txt").write_text(text)
    return {"note": pathlib.Path("note.txt")}

def hold(note, marker):
    while not pathlib.Path(marker).exists():
        time.sleep(0.02)
"""


class Runs:
    """An engine with runs that write files."""

    def __init__(self, engine: PipelineEngine, trainer: Trainer, folder: Path) -> None:
        self.engine = engine
        self.trainer = trainer
        self.workspace = LocalWorkspace(folder / "workspace")
        self.folder = folder
        (folder / "steps.py").write_text(SOURCE)

    def step(self, name: str, function: str, inputs: dict[str, str], *outputs: str) -> Step:
        return Step(name, "function", inputs, outputs, function=f"steps:{function}", source=str(self.folder / "steps.py"))

    def start(self, pipeline: Pipeline) -> str:
        return self.engine.start(str(uuid.uuid4()), RunRequest(keep_sources(self.workspace, pipeline))).id

    def run(self, pipeline: Pipeline) -> str:
        run = self.end(self.start(pipeline))
        assert run.status is RunStatus.COMPLETED, run.error
        return run.id

    def write(self, name: str, text: str) -> str:
        """A run of a pipeline of one step, which writes a file."""
        return self.run(Pipeline(name, (self.step("write", "write", {"text": text}, "note"),)))

    def end(self, run_id: str) -> PipelineRun:
        return wait(self.engine.read, run_id, timeout_seconds=60, poll_seconds=0.05)

    def files(self, run_id: str) -> Path:
        return self.workspace.path_of("pipeline-runs", run_id)

    def results(self, run_id: str) -> int:
        with self.workspace.database() as database:
            found = database.execute("SELECT count(*) FROM pipeline_results WHERE run_id = ?", (run_id,)).fetchone()
        return int(found[0])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder, trainer = tmp_path_factory.mktemp("pruning"), Trainer()
    with launched(folder / "dbos.sqlite", trainer) as engine:
        yield Runs(engine, trainer, folder)


@pytest.fixture
def runs(shared: Runs) -> Runs:
    """Without the runs of the tests before."""
    with shared.workspace.database() as database:
        database.execute("DELETE FROM pipeline_results")
    shared.trainer.runs, shared.trainer.models = [], []
    shared.engine.prune(_now())
    return shared


def _look_up(name: str) -> Pipeline:
    """A pipeline that is done in no time."""
    return Pipeline(name, (Step("prepare", "prepare", {"dataset": "bank"}),))


def _now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def test_what_nobody_needs(runs: Runs) -> None:
    """Of a pipeline's runs the newest result stays and is reused; the others are found, then deleted with all that is of them."""
    first, second, third = (runs.write("notes", text) for text in ("a", "b", "c"))
    assert runs.engine.find_prunable(_now() - timedelta(days=1)) == PrunedRuns()
    found = runs.engine.find_prunable(_now())
    assert (found.run_ids, found.kept) == ((first, second), 1)
    assert found.bytes >= sum(path.stat().st_size for path in runs.files(first).rglob("note.txt")) > 0
    assert runs.engine.read(first).status is RunStatus.COMPLETED
    assert runs.engine.prune(_now()) == found
    for gone in (first, second):
        with pytest.raises(NotFoundError):
            runs.engine.read(gone)
        assert not runs.files(gone).exists()
        assert runs.results(gone) == 0
        assert DBOS.list_workflows(workflow_id_prefix=gone) == []
    assert runs.engine.read(runs.write("notes", "c")).steps[0].reused_from == third
    assert runs.engine.read(runs.write("notes", "a")).steps[0].reused_from == ""


def test_what_a_younger_run_took_over(runs: Runs) -> None:
    """A run whose result a younger one reused stays as long as that one."""
    first = runs.write("notes", "a")
    second = runs.write("notes", "b")
    before = datetime.now(UTC)
    time.sleep(1.1)  # DBOS keeps whole seconds
    assert runs.engine.read(runs.write("notes", "a")).steps[0].reused_from == first
    assert runs.engine.find_prunable(before) == PrunedRuns((), 0, 2)
    third = runs.write("notes", "c")
    assert runs.engine.prune(_now()).run_ids[:2] == (first, second)
    assert runs.engine.read(third)


def test_what_is_at_work(runs: Runs) -> None:
    """While a pipeline runs, none of its results goes; when it has ended they may."""
    first = runs.write("notes", "a")
    second = runs.write("notes", "b")
    marker = runs.folder / uuid.uuid4().hex
    write = runs.step("write", "write", {"text": "c"}, "note")
    hold = runs.step("hold", "hold", {"note": "${{ steps.write.outputs.note }}", "marker": str(marker)})
    held = runs.start(Pipeline("notes", (write, hold)))
    assert runs.engine.prune(_now()) == PrunedRuns((), 0, 2)
    marker.touch()
    assert runs.end(held).status is RunStatus.COMPLETED
    assert runs.engine.prune(_now()).run_ids == (first, second)


def test_what_made_a_model(runs: Runs) -> None:
    """A run stays while the version that it registered is there."""
    first, second = runs.run(PIPELINE), runs.run(PIPELINE)
    assert runs.engine.find_prunable(_now()) == PrunedRuns((), 0, 2)
    del runs.trainer.models[0]
    assert runs.engine.prune(_now()).run_ids == (first,)
    assert runs.engine.read(second)


def test_a_run_that_came_to_nothing(runs: Runs) -> None:
    """A run that failed leaves nothing that another needs."""
    failed = runs.end(runs.start(Pipeline("broken", (runs.step("write", "nobody", {"text": "a"}, "note"),))))
    assert failed.status is RunStatus.FAILED
    assert runs.files(failed.id).exists()
    assert runs.engine.prune(_now()).run_ids == (failed.id,)
    assert not runs.files(failed.id).exists()


def test_a_few_at_once(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call deletes so many and no more, the oldest first; older ones that stay are not in its way."""
    monkeypatch.setattr(pruning, "_AT_ONCE", 1)
    runs.run(PIPELINE)
    first, second, _ = (runs.write("notes", text) for text in ("a", "b", "c"))
    assert [runs.engine.prune(_now()).run_ids for _ in range(3)] == [(first,), (second,), ()]


def test_triggers_go_on(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """While many runs are being deleted others begin and end: each waits for a slice, not for all of them."""
    monkeypatch.setattr(pruning, "_SLICE_SECONDS", 0.0)
    old = [runs.start(_look_up("old")) for _ in range(20)]
    for run_id in old:
        runs.end(run_id)
    left: list[int] = []
    longest = 0.0
    with ThreadPoolExecutor(1) as threads:
        pruning_of_all = threads.submit(runs.engine.prune, _now())
        while not pruning_of_all.done():
            asked = time.monotonic()
            run_id = runs.start(_look_up("new"))
            longest = max(longest, time.monotonic() - asked)
            left.append(len(DBOS.list_workflows(workflow_ids=old, load_input=False, load_output=False)))
            assert runs.end(run_id).status is RunStatus.COMPLETED
    assert len(set(old) - set(pruning_of_all.result().run_ids)) == 1
    assert any(1 < number < len(old) for number in left)
    assert longest < 10


def test_no_time(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where finding the runs takes all the time that there is, each call still deletes some."""
    monkeypatch.setattr(pruning, "_SLICE_SECONDS", 0.0)
    monkeypatch.setattr(pruning, "_LONGEST_SECONDS", 0.0)
    first, second, _ = (runs.write("notes", text) for text in ("a", "b", "c"))
    assert [runs.engine.prune(_now()).run_ids for _ in range(3)] == [(first,), (second,), ()]


def test_others_that_keep_the_door(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that is not let in again says what is gone already; one that is not let in at all is refused."""
    monkeypatch.setattr(pruning, "_SLICE_SECONDS", 0.0)
    first, second, _ = (runs.write("notes", text) for text in ("a", "b", "c"))
    entrances = iter((True, True))

    @contextmanager
    def alone() -> Iterator[None]:
        if not next(entrances, False):
            raise BackendUnavailableError("too many ask at once")
        yield

    pruned = runs.engine._pruner.prune(_now(), alone)
    assert (pruned.run_ids, pruned.kept) == ((first,), 1)
    with pytest.raises(BackendUnavailableError, match="too many ask at once"):
        runs.engine._pruner.prune(_now(), alone)
    assert runs.engine.prune(_now()).run_ids == (second,)


def test_a_run_that_begins_meanwhile(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run may need that begins while others are deleted stays, with what that took over; the rest goes."""
    first, second, third = (runs.write("notes", text) for text in ("a", "b", "c"))
    other, _ = (runs.write("others", text) for text in ("a", "b"))
    look = runs.engine._pruner._look
    held = runs.folder / uuid.uuid4().hex

    def look_and_begin(before: datetime) -> object:
        found = look(before)
        write = runs.step("write", "write", {"text": "a"}, "note")
        hold = runs.step("hold", "hold", {"note": "${{ steps.write.outputs.note }}", "marker": str(held)})
        begun.append(runs.start(Pipeline("notes", (write, hold))))
        with pytest.raises(ConflictError, match="are being deleted already"):
            runs.engine.prune(before)
        return found

    begun: list[str] = []
    monkeypatch.setattr(runs.engine._pruner, "_look", look_and_begin)
    pruned = runs.engine.prune(_now())
    assert (pruned.run_ids, pruned.kept) == ((other,), 4)
    assert {run_id: runs.files(run_id).exists() for run_id in (first, second, third)} == dict.fromkeys(
        (first, second, third), True
    )
    held.touch()
    assert runs.end(begun[0]).steps[0].reused_from == first


def test_no_run_goes_on_from_one_that_is_gone(runs: Runs) -> None:
    """A resubmission whose run was deleted while it waited to be let in is refused, and does not begin anew in silence."""
    pipeline = keep_sources(runs.workspace, Pipeline("late", (runs.step("write", "write", {"text": "late"}, "note"),)))
    with pytest.raises(NotFoundError, match="no pipeline run has the id 'gone'"):
        runs.engine.start(str(uuid.uuid4()), RunRequest(pipeline, resubmitted_from="gone"))
