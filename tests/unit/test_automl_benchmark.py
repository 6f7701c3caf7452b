"""The benchmark of AutoML as a person calls it: what is measured once is kept, and a system that fails ends nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WITH_ANOTHER_PYTHON = "import sys, automl_peers, automl; automl_peers.PYTHON = automl_peers.Path(sys.executable); automl.main()"
LEAVES_A_SERVER = """
import pathlib, subprocess, sys
server = subprocess.Popen(["sleep", "600"], start_new_session=True)
(pathlib.Path(__file__).parent / "server").write_text(str(server.pid))
print("a server is there")
sys.exit(3)
"""


def _call(
    *words: str, log: Path, program: tuple[str, ...] = (str(BENCHMARKS / "automl.py"),)
) -> subprocess.CompletedProcess[str]:
    return _run("--datasets", "wine", "--seconds", "5", "--log", str(log), *words, log=log, program=program)


def _run(*words: str, log: Path, program: tuple[str, ...] = (str(BENCHMARKS / "automl.py"),)) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, *words],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        cwd=log.parent,
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS), "OMP_NUM_THREADS": "1"},
    )


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_a_second_call_goes_on(tmp_path: Path) -> None:
    """Each finished split is a line of the log; a call for more splits measures those alone, and prints all."""
    log = tmp_path / "log.jsonl"
    first = _call("--systems", "lightgbm by hand", "--repeats", "1", log=log)
    assert first.returncode == 0, first.stderr
    (line,) = _lines(log)
    assert (line["dataset"], line["system"], line["repeat"]) == ("wine", "lightgbm by hand", 0)
    assert line["values"]["accuracy"] > 0.9
    second = _call("--systems", "lightgbm by hand", "--repeats", "2", log=log)
    assert "wine repeat 0" not in second.stdout
    assert "wine, 5 s each, 2 splits" in second.stdout
    assert [line["repeat"] for line in _lines(log)] == [0, 1]


def test_a_peer_that_fails(tmp_path: Path) -> None:
    """A peer's process that ends without an answer is told of and leaves no line; the other systems are measured."""
    log = tmp_path / "log.jsonl"
    program = ("-c", WITH_ANOTHER_PYTHON)
    done = _call("--systems", "autogluon,lightgbm by hand", "--repeats", "1", log=log, program=program)
    assert done.returncode == 0, done.stderr
    told = "autogluon        has no result and is tried again by the next call: ended with exit code 1: ModuleNotFoundError"
    assert told in done.stdout
    assert [line["system"] for line in _lines(log)] == ["lightgbm by hand"]


def test_the_servers_of_a_peer(tmp_path: Path) -> None:
    """What a peer started and left behind, in a session of its own, is ended with its process."""
    peer = tmp_path / "peer.py"
    peer.write_text(LEAVES_A_SERVER)
    name = "automl_peers._PROGRAM = automl_peers.Path(sys.argv.pop(1))"
    program = ("-c", WITH_ANOTHER_PYTHON.replace("automl.main()", f"{name}; automl.main()"), str(peer))
    done = _call("--systems", "autogluon", "--repeats", "1", log=tmp_path / "log.jsonl", program=program)
    assert "ended with exit code 3: a server is there" in done.stdout, done.stderr
    left = int((tmp_path / "server").read_text())
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_what_it_does_by_itself(tmp_path: Path) -> None:
    """Without options it is four tables, several splits of each, and its help says how long that takes."""
    log = tmp_path / "log.jsonl"
    told = _run("--help", log=log).stdout
    assert "three splits of each of four tables" in told
    assert "about 35\nminutes" in told
    printed = _run("--repeats", "0", "--log", str(log), log=log).stdout
    assert re.findall(r"; (\w+), 60 s each, 0 splits", printed) == ["bank", "breast_cancer", "wine", "digits"]


def test_a_table_that_is_unknown(tmp_path: Path) -> None:
    """A misspelt table is refused before anything is measured, with the names of those that there are."""
    done = _call("--datasets", "wine,iris", log=tmp_path / "log.jsonl")
    assert done.returncode == 2
    assert "'iris' is none of bank, breast_cancer, wine, digits" in done.stderr


def test_a_system_that_is_unknown(tmp_path: Path) -> None:
    """A misspelt system is refused before anything is measured, with the names of those that there are."""
    done = _call("--systems", "autoglu", log=tmp_path / "log.jsonl")
    assert done.returncode == 2
    assert "'autoglu' is none of bankmlops, bankmlops log_loss, flaml log_loss" in done.stderr
