"""The AutoMLs of others in the environment that `make bench-automl-peers` makes; skipped where nobody has made it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy
import pandas
import psutil
import pytest
from sklearn.datasets import load_wine

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-automl-peers" / "bin" / "python"
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not PYTHON.exists(), reason="no environment of the peers; `make bench-automl-peers` makes it"),
]


@pytest.mark.parametrize("name", ["autogluon", "autogluon best", "h2o"])
def test_a_peer_answers(name: str, tmp_path: Path) -> None:
    """A peer fits the rows that it is given and answers each test row's probabilities; no server of it stays behind."""
    if name == "h2o" and not shutil.which("java"):
        pytest.skip("no Java")
    table = load_wine(as_frame=True).frame
    table["y"] = [f"class {code}" for code in table.pop("target")]
    table["note"] = [None if row % 9 == 0 else f"text {row % 5}" for row in range(len(table))]
    table[::2].to_parquet(tmp_path / "train.parquet", index=False)
    table[1::2].assign(y="").to_parquet(tmp_path / "test.parquet", index=False)
    words = [PYTHON, ROOT / "benchmarks" / "automl_peer.py", name, tmp_path, "--seconds", "15", "--seed", "1", "--cores", "2"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))
    probabilities = numpy.array(answer["probabilities"])
    assert sorted(answer["classes"]) == ["class 0", "class 1", "class 2"]
    assert probabilities.shape == (len(table[1::2]), 3)
    assert numpy.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    right = pandas.Series(answer["classes"])[probabilities.argmax(axis=1)].to_numpy() == table["y"][1::2].to_numpy()
    assert right.mean() > 0.8
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(process.info["cmdline"] or ())
    ]
