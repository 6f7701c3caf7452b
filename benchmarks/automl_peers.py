"""The AutoMLs of others that `automl.py` compares: each split in a process of what `make bench-automl-peers` installs."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy
import pandas
from automl_systems import LABEL, Answer, FailedError, Predictor

from bankmlops.local.processes import MARK, kill_family

PEERS = ("autogluon", "autogluon best", "h2o")
PYTHON = Path(__file__).parents[1] / ".venv-automl-peers" / "bin" / "python"
_PROGRAM = Path(__file__).with_name("automl_peer.py")
_GRACE_SECONDS = 300.0  # to start, to overrun the budget, and to score
_SHOWN = 300


def peer(name: str) -> Predictor:
    """Fits and scores in a process of its own, with every core that this one may use."""

    def fit(features: pandas.DataFrame, labels: pandas.Series, test: pandas.DataFrame, seconds: float, seed: int) -> Answer:
        with tempfile.TemporaryDirectory(prefix="automl-peer-") as folder:
            features.assign(**{LABEL: labels}).to_parquet(Path(folder) / "train.parquet", index=False)
            test.assign(**{LABEL: ""}).to_parquet(Path(folder) / "test.parquet", index=False)
            _run(name, Path(folder), seconds, seed)
            document = json.loads((Path(folder) / "answer.json").read_text(encoding="utf-8"))
        return _answer(document)

    return fit


def require_environment() -> None:
    """Ends the benchmark before it begins where the peers are not installed."""
    if not PYTHON.exists():
        raise SystemExit("the AutoMLs of others are not installed; `make bench-automl-peers` installs them")


def _answer(document: dict[str, Any]) -> Answer:
    return Answer(numpy.array(document["probabilities"]), document["classes"], document["seconds"], document["versions"])


def _run(name: str, folder: Path, seconds: float, seed: int) -> None:
    cores = len(os.sched_getaffinity(0))
    words = [PYTHON, _PROGRAM, name, folder, "--seconds", seconds, "--seed", seed, "--cores", cores]
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DO_NOT_TRACK": "1", MARK: str(folder)},
        )
        try:
            code: int | None = process.wait(2 * seconds + _GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            kill_family(folder)  # the process and the servers that it started, also where it is gone itself
            process.wait(30)
    if code != 0:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
        raise FailedError(f"{'took too long' if code is None else f'ended with exit code {code}'}: {said[-1][:_SHOWN]}")
