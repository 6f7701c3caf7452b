"""A workspace whose control server stops at breakpoints and is killed there, with looks at what its pipeline runs left behind."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bankmlops import client
from bankmlops.local.backend import LocalBackend
from bankmlops.local.control import process as control_process
from bankmlops.local.pipelines.pipelines import Pipelines
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, DataSource, PipelineConfig, PipelineRun, PublishedPipeline, RunStatus
from support.breakpoints import FaultsFolder
from support.bundles import write_bundle
from support.waiting import wait_until

SERVER = "support.breakable_control_server"
TESTS = Path(__file__).parents[1]
_ROWS = "".join(
    f"{20 + number % 50},{('student', 'retired')[number % 2]},{('no', 'yes')[number % 3 > 1]}\n" for number in range(60)
)


class BreakablePipelines:
    """A workspace and its control server; `folder` has what is the test's own, its breakpoints among it."""

    def __init__(self, folder: Path, workspace: Path) -> None:
        self.folder = folder
        self.workspace = LocalWorkspace(workspace)
        self.backend = LocalBackend(self.workspace.folder)
        self.pipelines = Pipelines(self.workspace)
        self.breakpoints = FaultsFolder(folder)
        self.kills = 0

    # What a test does

    def publish(self, automl: AutoMLConfig | None = None) -> PublishedPipeline:
        """Publish a pipeline on a small table; `automl` may ask for other training than the usual."""
        (self.folder / "bank.csv").write_text("age,job,y\n" + _ROWS)
        dataset = self.backend.register_dataset("bank", DataSource(self.folder / "bank.csv", synthetic=True), "y")
        asked = replace(automl, dataset=dataset) if automl else AutoMLConfig(dataset=dataset, experiment_timeout_minutes=1)
        return self.backend.publish_pipeline(PipelineConfig("bank-training", asked, "bank"), "1")

    def trigger(self, pipeline: PublishedPipeline) -> str:
        """POST, and answer the run's id."""
        return client.trigger(pipeline.endpoint, self.backend.authorization_header(), "faults")

    def await_breakpoint(self, seconds: float = 60.0) -> int:
        """Wait until a process stands at the breakpoint, and answer its id."""
        wait_until(self.breakpoints.reached_by, seconds)
        return self.breakpoints.reached_by()

    def kill_server(self) -> None:
        """`kill -9` of the control server."""
        process = psutil.Process(self.pipelines.status().pid)
        process.kill()
        psutil.wait_procs([process], timeout=30)
        self.kills += 1

    def await_end(self, run_id: str, seconds: float = 120.0) -> PipelineRun:
        """Wait until the run has ended."""
        return wait(self.backend.get_pipeline_run, run_id, timeout_seconds=seconds, poll_seconds=0.1)

    def completed_steps(self, run_id: str) -> set[str]:
        """The steps whose result is recorded."""
        return {step.name for step in self.backend.get_pipeline_run(run_id).steps if step.status is RunStatus.COMPLETED}

    # What is left behind

    def trainings(self) -> list[str]:
        """The AutoML runs, and so what the pipelines trained."""
        return [run.id for run in self.backend.list_runs()]

    def mlflow_runs(self) -> list[tuple[str, str]]:
        """The name and status of each run of MLflow that is nobody's child."""
        return self._ask_mlflow(
            "SELECT name, status FROM runs WHERE lifecycle_stage = 'active' AND run_uuid NOT IN"
            " (SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId')"
        )

    def mlflow_runs_left_running(self) -> list[tuple[str, str]]:
        """Those that MLflow takes for running, children too."""
        return self._ask_mlflow("SELECT name, status FROM runs WHERE status = 'RUNNING'")

    def registered(self) -> list[tuple[str, str]]:
        """Each model version, and the AutoML run that it is of."""
        return self._ask_mlflow(
            "SELECT m.version, t.value FROM model_versions m JOIN model_version_tags t USING (name, version)"
            " WHERE t.key = 'bankmlops.run_id' ORDER BY m.version"
        )

    def processes(self) -> list[psutil.Process]:
        """What runs in the workspace besides the control server."""
        own = self.pipelines.status().pid
        return [process for process in self._family() if process.pid != own]

    def await_no_processes(self, seconds: float = 30.0) -> list[str]:
        """Who is left when all had the time to end: a training's process ends a little later than its run."""
        with suppress(AssertionError):
            wait_until(lambda: not self.processes(), seconds)
        return [" ".join(process.cmdline()) for process in self.processes()]

    def end(self) -> None:
        """Stop the server, and end what else is left."""
        self.breakpoints.clear()
        self.pipelines.down()
        for process in self._family():
            process.kill()

    def _family(self) -> list[psutil.Process]:
        folder = self.workspace.folder
        return [process for process in psutil.process_iter() if process.pid != os.getpid() and _works_in(process, folder)]

    def _ask_mlflow(self, question: str) -> list[tuple[str, str]]:
        path = self.workspace.folder / "mlflow" / "mlflow.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return [(str(one), str(other)) for one, other in connection.execute(question)]


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        marked = process.environ().get("BANKMLOPS_PROCESS_FOLDER", "").startswith(str(folder))
        return marked and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@contextmanager
def breakable_pipelines(
    folder: Path, workspace: Path | None = None, *, scripted: bool = True, **environment: str
) -> Iterator[BreakablePipelines]:
    """A world of its own below `folder`, where its workspace is too if none is named; with `scripted` it trains by script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_process, "MODULE", SERVER)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]))
        patch.setenv("FAULTS_FOLDER", str(folder))
        if scripted:
            patch.setenv("SCRIPTED_OUTPUTS", str(write_outputs(folder / "outputs")))
        for name, value in environment.items():
            patch.setenv(name, value)
        world = BreakablePipelines(folder, workspace or folder / "workspace")
        try:
            yield world
        finally:
            world.end()


def write_outputs(outputs: Path) -> Path:
    """What a training leaves, with the smallest model that there is."""
    import joblib
    from sklearn.dummy import DummyClassifier

    write_bundle(outputs / "bundle")
    joblib.dump(DummyClassifier().fit([[0], [1]], ["no", "yes"]), outputs / "model.pkl")
    (outputs / "leaderboard.csv").write_text("iteration,algorithm\n0,LogisticRegression\n")
    return outputs
