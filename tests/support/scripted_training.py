"""The emulator's bridge with a scripted backend, for tests that train nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bankmlops.emulator.automl import automl_bridge, automl_jobs
from bankmlops.emulator.instance import Emulator, WorkspaceState
from bankmlops.emulator.pipelines import pipeline_jobs
from support.automl_requests import TABLE
from support.scripted_backend import ScriptedBackend


@contextmanager
def scripted_training(emulator: Emulator, folder: Path) -> Iterator[ScriptedBackend]:
    """Within it the emulator has this backend, and reads every dataset from a file at once; afterwards no job is left."""
    backend = ScriptedBackend()

    @contextmanager
    def dataset_file(workspace: WorkspaceState, dataset_id: str) -> Iterator[Path]:
        pq.write_table(TABLE, folder / "table.parquet")
        yield folder / "table.parquet"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emulator, "_backend", backend)
        patch.setattr(automl_bridge, "dataset_file", dataset_file)
        yield backend
    for job in automl_jobs.active_jobs(emulator):
        automl_jobs.finish_job(emulator, job)
    for pipeline in pipeline_jobs.active_jobs(emulator):
        pipeline_jobs.finish_job(emulator, pipeline)
