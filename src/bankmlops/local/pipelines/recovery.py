"""Puts workflows that nobody carries out any more back on their queue: those of a process that is gone, and this one's strays.

DBOS recovers workflows by the executor that had them, at its next launch or where somebody says which executor is gone; its own
fail-over belongs to a paid service. Both ways end in `dbos._recovery` (dbos 3.4), without a public name, and stay in this module:
`DBOS._recover_pending_workflows(executor_ids)` and, for one workflow, `_recover_workflow`. Their update asks for the status
PENDING and for the executor, so it may be made again and again, and a workflow's owner token (`owner_xid`) keeps a late writer
from recording anything. Queued again, a workflow goes on after its last recorded step.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dbos import DBOS
from dbos._recovery import _recover_workflow
from dbos._sys_db import GetPendingWorkflowsOutput

logger = logging.getLogger("bankmlops.pipelines")


def recover_executor(executor: str) -> int:
    """Put back what an executor that is gone was at; answers how many workflows."""
    handles: Sequence[object] = DBOS._recover_pending_workflows([executor])
    return len(handles)


class Strays:
    """The workflows that belong to this process by the database, and that no thread of it carries out.

    A database that takes no writes for a while (its disk is full) makes them: a workflow can record neither its next step nor
    that it failed, and its thread ends. Without this it would wait for the next start of its process.
    """

    def __init__(self, dbos: DBOS, executor: str) -> None:
        self._dbos = dbos
        self._executor = executor
        self._seen: frozenset[str] = frozenset()

    def look(self) -> Sequence[str]:
        """Put back those that were strays at the last look already: one that was just claimed has no thread yet."""
        pending = DBOS.list_workflows(status="PENDING", executor_id=self._executor, load_input=False, load_output=False)
        strays = frozenset(status.workflow_id for status in pending) - frozenset(self._dbos._active_workflows_set.activeList())
        lost = sorted(strays & self._seen)
        self._seen = strays - self._seen
        for workflow_id in lost:
            logger.warning("%s was cut off, and is taken up again", workflow_id)
            _recover_workflow(self._dbos, GetPendingWorkflowsOutput(workflow_id=workflow_id, shard_key=None), [self._executor])
        return lost
