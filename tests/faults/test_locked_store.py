"""MLflow's store locked for 20 s while a pipeline registers its model: the run waits, or fails and can be resubmitted."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from bankmlops.types import RunStatus
from support.breakable_pipelines import breakable_pipelines
from support.breakpoints import BEFORE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("BANKMLOPS_LONG_TESTS") != "1", reason="a minute: make test-faults"),
]

HELD_SECONDS = 20.0


def test_a_locked_store(tmp_path: Path) -> None:
    """The run ends well or says in one line that the store was locked, and its resubmission registers the one model."""
    with breakable_pipelines(tmp_path) as world:
        published = world.publish()
        world.breakpoints.set("register_model", BEFORE)
        world.pipelines.up()
        run_id = world.trigger(published)
        world.await_breakpoint(120)
        path = world.workspace.folder / "mlflow" / "mlflow.db"
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            world.breakpoints.clear()
            time.sleep(HELD_SECONDS)
            holder.execute("ROLLBACK")
        run = world.await_end(run_id)
        if run.status is RunStatus.FAILED:
            assert "locked" in run.error
            assert "\n" not in run.error
            run = world.await_end(world.backend.resubmit_pipeline_run(run_id).id)
        assert run.status is RunStatus.COMPLETED
        assert len(world.registered()) == len(world.trainings()) == 1
        assert world.await_no_processes() == []
