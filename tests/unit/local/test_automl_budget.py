"""The budget is a contract: from the request to the logged model, on a table as large as Bank Marketing's."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sklearn.datasets import load_digits

from bankmlops.datasets import synthesize
from bankmlops.local.datasets import Datasets
from bankmlops.local.training.automl_runs import AutoMLRuns
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, DataSource, RunStatus

pytestmark = pytest.mark.slow

ROWS = 33_000


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> LocalWorkspace:
    return LocalWorkspace(tmp_path_factory.mktemp("budget") / "workspace")


@pytest.mark.parametrize("minutes", [0.5, pytest.param(1.0, marks=pytest.mark.long)])
def test_the_budget_is_kept(workspace: LocalWorkspace, tmp_path: Path, minutes: float) -> None:
    """A run ends Completed within its minutes, and 5 % or 5 s at most, with a model that beats the majority."""
    table = tmp_path / "bank.csv"
    synthesize(table, ROWS, 7)
    dataset = Datasets(workspace).register("bank", DataSource(table, synthetic=True), "y")
    runs = AutoMLRuns(workspace, Datasets(workspace))
    began = time.monotonic()
    run_id = runs.submit(AutoMLConfig(dataset=dataset, experiment_timeout_minutes=minutes, enable_early_stopping=False)).id
    run = wait(runs.get, run_id, timeout_seconds=300)
    took = time.monotonic() - began
    assert run.status is RunStatus.COMPLETED, run.error
    assert took <= max(minutes * 60 * 1.05, minutes * 60 + 5)
    assert run.trials >= 2
    assert run.metrics["AUC_weighted"] > 0.6


@pytest.mark.long
def test_the_budget_is_kept_with_many_classes_and_a_stack(workspace: LocalWorkspace, tmp_path: Path) -> None:
    """Ten classes, a tree a round for each, and a StackEnsemble besides take half a minute and no more."""
    digits = load_digits(as_frame=True).frame.astype({"target": str})
    table = tmp_path / "digits.csv"
    digits.assign(target="digit " + digits["target"]).to_csv(table, index=False)
    dataset = Datasets(workspace).register("digits", DataSource(table), "target")
    runs = AutoMLRuns(workspace, Datasets(workspace))
    asked = AutoMLConfig(dataset, experiment_timeout_minutes=0.5, enable_stack_ensemble=True, enable_early_stopping=False)
    began = time.monotonic()
    run_id = runs.submit(asked).id
    run = wait(runs.get, run_id, timeout_seconds=300)
    took = time.monotonic() - began
    assert run.status is RunStatus.COMPLETED, run.error
    assert took <= 35
    assert run.metrics["accuracy"] > 0.9
    assert "StackEnsemble" in [child.algorithm for child in runs.children(run_id)]
