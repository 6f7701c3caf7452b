"""The model servers of others in the environment that `make bench-peers` makes; skipped where nobody has made it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PYTHON = BENCHMARKS.parent / ".venv-scoring-peers" / "bin" / "python"
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not PYTHON.exists(), reason="no environment of the peers; `make bench-peers` makes it"),
]
ASK = """
import json, pathlib, sys
import peers
from small_model import train
folder = pathlib.Path(sys.argv[1])
bundle = train(folder, 5)
example = json.loads((bundle / "model.json").read_text())["input_example"]
for peer in peers.others(bundle, bundle.parent / "model.pkl", folder):
    with peers.serving(peer, json.dumps({"data": [example] * 2}).encode()) as server:
        print(peer.name, server.answer, flush=True)
"""


def test_each_answers() -> None:
    """Each server answers the two rows with two labels, the same as the others, and nothing of it stays behind."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:  # Ray makes sockets in it, whose paths must be short
        words = [sys.executable, "-c", ASK, folder]
        done = subprocess.run(words, capture_output=True, text=True, timeout=500, check=False, cwd=BENCHMARKS)
        left = [each for each in psutil.process_iter(["cmdline"]) if folder in " ".join(each.info["cmdline"] or ())]
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.partition(" [") for line in done.stdout.splitlines()]
    assert [name.partition(",")[0] for name, _, _ in lines] == [
        "BentoML", "LitServe", "MLServer", "Ray Serve", "mlflow models serve",
    ]  # fmt: skip
    (answer,) = {answer for _, _, answer in lines}
    assert answer in {"'no', 'no']", "'yes', 'yes']"}
    assert not left
