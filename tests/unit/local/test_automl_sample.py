"""A run on a sample says so: on its tags, here and in MLflow, and in its report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bankmlops.datasets import synthesize
from bankmlops.local.datasets import Datasets
from bankmlops.local.training.automl_records import AutoMLRecords
from bankmlops.local.training.automl_runs import AutoMLRuns
from bankmlops.local.training.mlflow_runs import open_store
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import AutoMLConfig, DataSource, RunStatus

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROWS, SAMPLE = 3000, 500
_WORKER = f"""
import sys
from bankmlops.automl import sampling
sampling.FEWEST_ROWS = sampling.ROWS_A_MINUTE = {SAMPLE}
from bankmlops.local.training.automl_worker import main
sys.exit(main())
"""


def test_the_sample_is_recorded(tmp_path: Path) -> None:
    """The number of rows of the sample is a tag of the run, of its MLflow run too, and the report states both numbers."""
    workspace = LocalWorkspace(tmp_path / "workspace")
    synthesize(tmp_path / "bank.csv", ROWS, 7)
    dataset = Datasets(workspace).register("bank", DataSource(tmp_path / "bank.csv", synthetic=True), "y")
    config = AutoMLConfig(dataset, experiment_timeout_minutes=0.9, iterations=1, allowed_models=("LightGBM",))
    AutoMLRecords(workspace).add("AutoML_sample", config, {})
    words = [sys.executable, "-c", _WORKER, str(workspace.folder), "AutoML_sample"]
    subprocess.run(words, check=True, timeout=180)
    runs = AutoMLRuns(workspace, Datasets(workspace))
    run = runs.get("AutoML_sample")
    assert run.status is RunStatus.COMPLETED, run.error
    assert run.tags["sampled_rows"] == str(SAMPLE)
    client = open_store(workspace)
    (experiment,) = client.search_experiments(filter_string=f"name = '{config.experiment_name}'")
    assert str(SAMPLE) in {found.data.tags.get("sampled_rows") for found in client.search_runs([experiment.experiment_id])}
    report = (runs.folder("AutoML_sample") / "outputs" / "report.html").read_text()
    assert f"Trained on a stratified sample: {SAMPLE} of the {ROWS:,} rows." in report
