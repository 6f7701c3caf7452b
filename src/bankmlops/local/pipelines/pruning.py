"""Which old pipeline runs nobody needs any more, and what it takes to be rid of one: its results, its files, its records.

Needed are runs that have not ended, those that ended lately, the newest result of each step, which the next run may reuse, every
result of a pipeline that is at work, a run that made a model version that is still registered, and all whose files or results a
needed run took over.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import cast

from dbos import DBOS, WorkflowStatus

from bankmlops.backend import Backend
from bankmlops.errors import NotFoundError
from bankmlops.local.disk import disk_errors
from bankmlops.local.pipelines.documents import from_document
from bankmlops.local.pipelines.files import KIND
from bankmlops.local.pipelines.requests import StepResult, read_request
from bankmlops.local.pipelines.workflows import RUN_WORKFLOW, STEP_WORKFLOW
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import PrunedRuns

_AT_ONCE, _PAGE = 500, 200
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_FILE_OF_RUN = re.compile(rf"file:{KIND}/([^/#]+)/")


class RunPruner:
    """Finds and deletes old runs. Whoever deletes has to see to it that no run begins meanwhile."""

    def __init__(self, workspace: LocalWorkspace, backend: Callable[[], Backend]) -> None:
        self._workspace = workspace
        self._backend = backend

    def find(self, before: datetime) -> PrunedRuns:
        """The runs that ended before this moment and that nobody needs: the oldest, and at most 500 at once."""
        found = DBOS.list_workflows(
            name=RUN_WORKFLOW, status=_ENDED, completed_before=before.isoformat(), load_input=False, load_output=False
        )
        old = [run.workflow_id for run in found]
        needed = self._needed(frozenset(old)) if old else frozenset()
        unneeded = tuple(run_id for run_id in old if run_id not in needed)[:_AT_ONCE]
        return PrunedRuns(unneeded, sum(_bytes_in(self._folder(run_id)) for run_id in unneeded), len(needed))

    def delete(self, runs: PrunedRuns) -> None:
        """The engine's records last, so that what a crash cuts off is found again."""
        for run_id in runs.run_ids:
            with self._workspace.database() as database:
                database.execute("DELETE FROM pipeline_results WHERE run_id = ?", (run_id,))
            folder = self._folder(run_id)
            with disk_errors(folder):
                shutil.rmtree(folder, ignore_errors=not folder.exists())
            DBOS.delete_workflow(run_id, delete_children=True)

    def _folder(self, run_id: str) -> Path:
        return self._workspace.path_of(KIND, run_id)

    def _needed(self, old: frozenset[str]) -> frozenset[str]:
        """Those of the `old` runs that have to stay."""
        sources: dict[str, set[str]] = {run_id: set() for run_id in old}
        wanted, busy = set[str](), set[str]()
        for page in _pages():
            results = _results_of(page)
            for run in page:
                taken = set().union(*(_sources_of(result) for result in results[run.workflow_id]))
                if run.workflow_id in old:
                    sources[run.workflow_id] = taken
                    wanted |= {run.workflow_id} if self._made_a_model(results[run.workflow_id]) else set()
                else:
                    wanted |= taken
                if run.status not in _ENDED:
                    request = read_request(run.input["args"][0] if run.input else {})
                    wanted.add(request.resubmitted_from)
                    busy.add(request.pipeline.name)
        return _closed(wanted | self._with_results(busy), sources)

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


def _closed(wanted: set[str], sources: dict[str, set[str]]) -> frozenset[str]:
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
