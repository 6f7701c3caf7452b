"""One small, real model for the benchmarks that score: what AutoML finds on a synthetic table in a few seconds."""

from __future__ import annotations

from pathlib import Path

from bankmlops.automl import Trial
from bankmlops.automl.run import run_automl
from bankmlops.datasets import columns_of, read_table
from bankmlops.datasets.synthetic import synthesize
from bankmlops.types import AutoMLConfig, Dataset

TABLE_ROWS = 4000


class _Silent:
    def trial_ended(self, trial: Trial) -> None:
        """Nothing is shown."""

    def progressed(self, fraction: float, message: str) -> None:
        """Nothing is shown."""


def train(folder: Path, seconds: float) -> Path:
    """Train in `folder`, and answer the bundle's own folder; the pickle that it was exported from is beside it."""
    table = folder / "bank.csv"
    synthesize(table, TABLE_ROWS, 1)
    columns = columns_of(read_table(table))
    dataset = Dataset("bench", "1", TABLE_ROWS, tuple(columns), "y", "0" * 64)
    run_automl(columns, AutoMLConfig(dataset), folder / "outputs", _Silent(), seconds=seconds)
    return folder / "outputs" / "bundle"
