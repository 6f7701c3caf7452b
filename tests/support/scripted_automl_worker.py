"""The AutoML worker with a search that takes no time: its process, its records and what it writes to MLflow are the real ones.

`SCRIPTED_OUTPUTS` names the folder with the files of the winner; `SCRIPTED_SECONDS` is how long the search pretends to take.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bankmlops.automl.results import Listener, Outcome, Trial
from bankmlops.local.training import automl_worker
from bankmlops.types import AutoMLConfig, Parity, RunStatus

METRICS = {"accuracy": 0.9, "AUC_weighted": 0.93}
EXAMPLE = {"age": 20, "job": "student"}


def run_automl(
    _columns: Mapping[str, object], config: AutoMLConfig, outputs: Path, listener: Listener, **_more: object
) -> Outcome:
    """Two trials, of which the second failed, and files that were made before."""
    listener.progressed(0.1, "trial 0")
    time.sleep(float(os.environ.get("SCRIPTED_SECONDS", "0")))
    winner = Trial(0, "LogisticRegression", RunStatus.COMPLETED, METRICS[config.primary_metric], METRICS, {"C": "1.0"}, 0.1)
    listener.trial_ended(winner)
    listener.trial_ended(Trial(1, "LightGBM", RunStatus.FAILED, float("nan"), {}, {}, 0.1, "it blew up"))
    shutil.copytree(os.environ["SCRIPTED_OUTPUTS"], outputs, dirs_exist_ok=True)
    return Outcome((winner,), winner, Parity(1e-7, 0, 60), EXAMPLE)


class _Search:
    run_automl = staticmethod(run_automl)


if __name__ == "__main__":
    sys.modules["bankmlops.automl.run"] = _Search  # type: ignore[assignment]  # the real one imports what trains
    sys.exit(automl_worker.main())
