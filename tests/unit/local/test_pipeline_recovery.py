"""Workflows that the database takes for this process's, and that nobody carries out."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from bankmlops.local.pipelines.engine import RunRequest
from bankmlops.pipelines import from_config
from bankmlops.runs import wait
from bankmlops.types import RunStatus
from support.trainer import CONFIG, Trainer, launched
from support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_a_stray_is_taken_up(tmp_path: Path) -> None:
    """A run that could not record its end, since its disk was full, ends by itself, and its recorded steps don't run again."""
    trainer = Trainer()
    with launched(tmp_path / "dbos.sqlite", trainer) as engine:
        run_id = engine.start(str(uuid.uuid4()), RunRequest(from_config(CONFIG))).id
        ended = wait(engine.read, run_id, timeout_seconds=60, poll_seconds=0.1)
        with closing(sqlite3.connect(tmp_path / "dbos.sqlite", timeout=30)) as connection, connection:
            connection.execute(
                "UPDATE workflow_status SET status = 'PENDING', output = NULL, completed_at = NULL WHERE workflow_uuid = ?",
                (run_id,),
            )
        wait_until(lambda: engine.read(run_id).status is RunStatus.COMPLETED)
        assert engine.read(run_id).outputs == ended.outputs
        assert len(trainer.runs) == len(trainer.models) == 1
