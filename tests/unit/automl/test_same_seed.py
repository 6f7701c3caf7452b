"""Two whole runs with the same seed: not the trials alone, but ensembles, calibration and the exported graph are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long]

RUN = """
import hashlib, json, sys
from pathlib import Path
from bankmlops.automl.run import run_automl
from unit.automl.tables import columns, config
from unit.automl.test_run import Told

table, outputs = columns(600, 2), Path(sys.argv[1])
asked = config(
    table,
    iterations=4,
    allowed_models=sys.argv[2:],
    max_concurrent_iterations=1,
    n_cross_validations=3,
    primary_metric="log_loss",
    enable_stack_ensemble=True,
    model_explainability=False,
)
trials = run_automl(table, asked, outputs, Told(), seconds=300.0).trials
told = [(trial.iteration, trial.algorithm, trial.metrics, trial.parameters) for trial in trials]
graph = hashlib.sha256((outputs / "bundle" / "model.onnx").read_bytes()).hexdigest()
print(json.dumps({"trials": told, "graph": graph}))
"""


@pytest.mark.parametrize(
    ("learners", "members", "is_calibrated"),
    [(("LogisticRegression", "LightGBM", "XGBoostClassifier"), 2, False), (("RandomForest",), 1, True)],
    ids=["a blend", "a calibration"],
)
def test_the_same_seed_is_the_same_model(tmp_path: Path, learners: tuple[str, ...], members: int, *, is_calibrated: bool) -> None:
    """With a number of iterations, one trial at a time and time enough, two runs are the same to the last digit and byte.

    That is leaderboard, weights, calibration and meta learner, and the graph of the winner, which is an ensemble.
    """
    first, second = (_run(tmp_path / hash_seed / "outputs", hash_seed, learners) for hash_seed in ("1", "2"))
    assert first == second
    (_, winner, _, ensemble), *_ = first["trials"]
    assert winner == "VotingEnsemble"
    assert len(json.loads(ensemble["ensemble_weights"])) >= members
    assert (ensemble["calibration"] != "none") is is_calibrated
    assert "StackEnsemble" in [algorithm for _, algorithm, *_ in first["trials"]]


def _run(outputs: Path, hash_seed: str, learners: tuple[str, ...]) -> Any:
    """What a run in a process of its own leaves, where Python orders its sets by `hash_seed`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", RUN, outputs, *learners], stdout=subprocess.PIPE, check=True, env=environment)
    return json.loads(done.stdout)
