"""Which old pipeline runs nobody needs any more, and what it takes to be rid of one: its results, its files, its records.

Needed are runs that have not ended, those that ended lately, the newest result of each step, which the next run may reuse, every
result of a pipeline that is at work, a run that made a model version that is still registered, and all whose files or results a
needed run took over.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import cast

from dbos import DBOS, WorkflowStatus

from bankmlops.backend import Backend
from bankmlops.errors import BackendUnavailableError, ConflictError, NotFoundError
from bankmlops.local.disk import disk_errors
from bankmlops.local.pipelines.documents import from_document
from bankmlops.local.pipelines.files import KIND
from bankmlops.local.pipelines.requests import RunRequest, StepResult, read_request
from bankmlops.local.pipelines.workflows import RUN_WORKFLOW, STEP_WORKFLOW
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import PrunedRuns

_AT_ONCE, _PAGE = 500, 200
_SLICE_SECONDS, _PAUSE_SECONDS, _LONGEST_SECONDS = 0.2, 0.05, 25.0
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_FILE_OF_RUN = re.compile(rf"file:{KIND}/([^/#]+)/")


@dataclass(frozen=True, slots=True)
class _OldRuns:
    """What nobody needed when it was looked for, oldest first, with its bytes, and how many as old are needed.

    Of every old run: the name of its pipeline, and the runs that it took results or files over from.
    """

    bytes_of: Mapping[str, int]
    kept: int
    pipeline_of: Mapping[str, str]
    sources: Mapping[str, set[str]]

    def needed_by(self, begun: Sequence[RunRequest]) -> frozenset[str]:
        """Those that runs which began since may go on from or reuse: all of the same pipelines, and what these took over."""
        names = {request.pipeline.name for request in begun}
        wanted = {request.resubmitted_from for request in begun}
        return _closed(wanted | {run_id for run_id, name in self.pipeline_of.items() if name in names}, self.sources)

    def pruned(self, run_ids: Sequence[str], left: int = 0) -> PrunedRuns:
        """The same as it is told, when these are deleted and so many are left for another call."""
        stayed = len(self.bytes_of) - len(run_ids) - left
        return PrunedRuns(tuple(run_ids), sum(self.bytes_of[run_id] for run_id in run_ids), self.kept + stayed)


class RunPruner:
    """Finds and deletes old runs. Whoever lets a run begin tells `heed` of it first."""

    def __init__(self, workspace: LocalWorkspace, backend: Callable[[], Backend]) -> None:
        self._workspace = workspace
        self._backend = backend
        self._at_work = threading.Lock()
        self._begun: list[RunRequest] = []

    def find(self, before: datetime) -> PrunedRuns:
        """The runs that ended before this moment and that nobody needs: the oldest, and at most 500 at once."""
        old = self._look(before)
        return old.pruned(tuple(old.bytes_of))

    def prune(self, before: datetime, alone: Callable[[], AbstractContextManager[None]]) -> PrunedRuns:
        """Delete them, for 25 seconds at most, in slices of a fraction of a second, each inside `alone`, where no run may begin.

        Runs may begin in between, and what they may need stays. Finding them counts, but one slice there is. Raises
        `ConflictError` where another call is at it, and what `alone` raises, unless some are deleted already.
        """
        if not self._at_work.acquire(blocking=False):
            raise ConflictError("old runs are being deleted already; try again when that has ended")
        deadline = time.monotonic() + _LONGEST_SECONDS
        try:
            with alone():
                self._begun = []
            return self._delete_all(self._look(before), alone, deadline)
        finally:
            self._at_work.release()

    def heed(self, request: RunRequest) -> None:
        """A run is about to begin."""
        if self._at_work.locked():
            self._begun.append(request)

    def _delete_all(self, old: _OldRuns, alone: Callable[[], AbstractContextManager[None]], deadline: float) -> PrunedRuns:
        left, gone = deque(old.bytes_of), list[str]()
        while left:
            with ExitStack() as inside:
                try:
                    inside.enter_context(alone())
                except BackendUnavailableError:
                    if gone:
                        break
                    raise
                gone += self._delete_some(left, old.needed_by(self._begun))
            if time.monotonic() >= deadline:
                break
            time.sleep(_PAUSE_SECONDS)  # a lock is not fair: whoever waits for it has to have the time to take it
        return old.pruned(gone, len(left))

    def _delete_some(self, left: deque[str], needed: frozenset[str]) -> Iterator[str]:
        """As many as a slice has time for, one at least."""
        deadline = time.monotonic() + _SLICE_SECONDS
        while left:
            run_id = left.popleft()
            if run_id not in needed:
                self._delete(run_id)
                yield run_id
            if time.monotonic() >= deadline:
                return

    def _delete(self, run_id: str) -> None:
        """The engine's records last, so that what a crash cuts off is found again."""
        with self._workspace.database() as database:
            database.execute("DELETE FROM pipeline_results WHERE run_id = ?", (run_id,))
        folder = self._folder(run_id)
        with disk_errors(folder):
            shutil.rmtree(folder, ignore_errors=not folder.exists())
        DBOS.delete_workflow(run_id, delete_children=True)

    def _look(self, before: datetime) -> _OldRuns:
        found = DBOS.list_workflows(
            name=RUN_WORKFLOW, status=_ENDED, completed_before=before.isoformat(), load_input=False, load_output=False
        )
        old = [run.workflow_id for run in found]
        if not old:
            return _OldRuns({}, 0, {}, {})
        pipeline_of, sources, wanted = self._read(frozenset(old))
        needed = _closed(wanted, sources)
        unneeded = [run_id for run_id in old if run_id in sources and run_id not in needed][:_AT_ONCE]
        return _OldRuns({run_id: _bytes_in(self._folder(run_id)) for run_id in unneeded}, len(needed), pipeline_of, sources)

    def _folder(self, run_id: str) -> Path:
        return self._workspace.path_of(KIND, run_id)

    def _read(self, old: frozenset[str]) -> tuple[dict[str, str], dict[str, set[str]], set[str]]:
        """Of the `old` runs the pipelines and what they took over; and all that any run needs."""
        pipeline_of, sources = dict[str, str](), dict[str, set[str]]()
        wanted, busy = set[str](), set[str]()
        for page in _pages():
            results = _results_of(page)
            for run in page:
                request = read_request(run.input["args"][0] if run.input else {})
                taken = set().union(*(_sources_of(result) for result in results[run.workflow_id]))
                if run.workflow_id in old:
                    pipeline_of[run.workflow_id], sources[run.workflow_id] = request.pipeline.name, taken
                    wanted |= {run.workflow_id} if self._made_a_model(results[run.workflow_id]) else set()
                else:
                    wanted |= taken
                if run.status not in _ENDED:
                    wanted.add(request.resubmitted_from)
                    busy.add(request.pipeline.name)
        return pipeline_of, sources, wanted | self._with_results(busy)

    def _with_results(self, busy: set[str]) -> set[str]:
        """The runs with the newest result of a step, and those with any result of a pipeline that is at work."""
        with self._workspace.database() as database:
            rows = database.execute("SELECT run_id, pipeline, step FROM pipeline_results ORDER BY created DESC").fetchall()
        newest = {(row["pipeline"], row["step"]): row["run_id"] for row in reversed(rows)}
        return {*newest.values(), *(row["run_id"] for row in rows if row["pipeline"] in busy)}

    def _made_a_model(self, results: Sequence[StepResult]) -> bool:
        return any(self._is_registered(result) for result in results if "model_version" in result.outputs)

    def _is_registered(self, result: StepResult) -> bool:
        try:
            self._backend().get_model(result.outputs["model_name"], result.outputs["model_version"])
        except NotFoundError:
            return False
        return True


def _pages() -> Iterator[Sequence[WorkflowStatus]]:
    """All runs, page by page."""
    for number in count():
        page = DBOS.list_workflows(name=RUN_WORKFLOW, limit=_PAGE, offset=number * _PAGE, load_output=False)
        if not page:
            return
        yield page


def _results_of(runs: Sequence[WorkflowStatus]) -> dict[str, list[StepResult]]:
    """The results of those steps of the runs that ended well."""
    results: dict[str, list[StepResult]] = {run.workflow_id: [] for run in runs}
    for step in DBOS.list_workflows(parent_workflow_id=list(results), name=STEP_WORKFLOW, status="SUCCESS", load_input=False):
        results[cast(str, step.parent_workflow_id)].append(from_document(StepResult, step.output))
    return results


def _sources_of(result: StepResult) -> set[str]:
    """The runs that a result, or a file among its outputs, is of."""
    return {result.reused_from, *(run_id for value in result.outputs.values() for run_id in _FILE_OF_RUN.findall(value))}


def _closed(wanted: set[str], sources: Mapping[str, set[str]]) -> frozenset[str]:
    """With all that these took over, and so on."""
    needed, left = set[str](), [run_id for run_id in wanted if run_id in sources]
    while left:
        run_id = left.pop()
        if run_id not in needed:
            needed.add(run_id)
            left += [source for source in sources[run_id] if source in sources]
    return frozenset(needed)


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
