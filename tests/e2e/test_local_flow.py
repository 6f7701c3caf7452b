"""The whole flow on this machine, as `make local-e2e` runs it, with a short budget."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import CommandLine

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "examples" / "endpoint.py"

STEPS = [
    "authenticate",
    "register dataset",
    "AutoML",
    "register model",
    "deploy",
    "app insights and logs",
    "swagger",
    "score",
    "benchmark",
    "publish pipeline",
    "trigger pipeline",
]


@pytest.fixture(scope="module")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path_factory.mktemp("flow"))
    yield command_line
    command_line.end_processes()


@pytest.fixture(scope="module")
def table(command_line: CommandLine) -> Path:
    path = command_line.folder / "bank.csv"
    done = command_line("data", "synthesize", "--rows", "2000", "--seed", "3", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def flow(command_line: CommandLine) -> tuple[dict[str, Any], str]:
    """The evidence of a flow without any data of its own, and what it said on the way."""
    done = command_line(
        "e2e", "--offline", "--minutes", "0.25", "--pipeline-minutes", "0.15", "--requests", "100", "--evidence", "e2e.json"
    )
    assert done.returncode == 0, done.stderr
    return json.loads((command_line.folder / "e2e.json").read_text()), done.stdout + done.stderr


def test_every_step_passes(flow: tuple[dict[str, Any], str]) -> None:
    """The flow's steps are all there, each with its seconds, and all passed."""
    evidence, printed = flow
    assert evidence["ok"] is True
    assert [step["name"] for step in evidence["steps"]] == STEPS
    assert all(step["ok"] and step["seconds"] >= 0 for step in evidence["steps"])
    assert all(name in printed for name in STEPS)


def test_the_stand_in_is_announced(flow: tuple[dict[str, Any], str]) -> None:
    """Without data the flow runs on the synthetic stand-in, and says so in the evidence and aloud."""
    evidence, printed = flow
    assert evidence["synthetic"] is True
    assert "synthetic" in printed.lower()


def test_the_model_is_real(flow: tuple[dict[str, Any], str]) -> None:
    """The winner was trained, passed the parity gate, and answers with labels."""
    evidence, _ = flow
    assert 0.8 < evidence["automl"]["metrics"]["accuracy"] <= 1.0
    assert evidence["automl"]["trials"] >= 2
    assert evidence["model"]["parity"]["max_probability_difference"] <= 1e-4
    assert evidence["model"]["parity"]["rows"] == evidence["dataset"]["rows"]
    assert len(evidence["score"]["result"]) == 2
    assert set(evidence["score"]["result"]) <= {"yes", "no"}


def test_the_endpoint_was_loaded(flow: tuple[dict[str, Any], str]) -> None:
    """The benchmark sent what it was asked to, nothing failed, and the logs grew."""
    evidence, _ = flow
    assert evidence["benchmark"]["requests"] == 100
    assert evidence["benchmark"]["failed"] == 0
    assert evidence["benchmark"]["tool"]
    assert evidence["logs"]["lines"] > 0


def test_the_pipeline_was_triggered(flow: tuple[dict[str, Any], str]) -> None:
    """The published pipeline ran to its end when its REST endpoint was called."""
    evidence, _ = flow
    assert evidence["pipeline"]["status"] == "Completed"
    assert evidence["pipeline"]["run_id"]


def test_nothing_is_left_running(flow: tuple[dict[str, Any], str], command_line: CommandLine) -> None:
    """When the flow is over its endpoint and its control server are gone, and the state is its owner's alone."""
    assert command_line.processes() == []
    assert stat.S_IMODE(command_line.workspace.stat().st_mode) == 0o700


def test_run_again_and_keep(command_line: CommandLine, flow: tuple[dict[str, Any], str], table: Path) -> None:
    """A second flow, on a file, works in the same workspace, and `--keep` leaves the endpoint to be scored and deleted."""
    done = command_line(
        *("e2e", "--data", table, "--minutes", "0.1", "--pipeline-minutes", "0.1", "--requests", "20", "--keep"),
        *("--evidence", "again.json"),
    )
    assert done.returncode == 0, done.stderr
    evidence = json.loads((command_line.folder / "again.json").read_text())
    assert evidence["synthetic"] is False
    keys, told = (
        command_line.json("endpoints", "keys", evidence["endpoint"]["name"]),
        json.dumps(evidence) + done.stdout + done.stderr,
    )
    assert not [name for name in ("primary", "secondary") if keys[name] in told], "no key is in the evidence or in what was said"
    head = "".join(table.read_text().splitlines(keepends=True)[:4])
    scored = command_line.json("score", evidence["endpoint"]["name"], "-", stdin=head)
    assert len(scored["result"]) == 3
    _run_the_example(command_line, evidence["endpoint"])
    assert command_line("endpoints", "delete", evidence["endpoint"]["name"]).returncode == 0
    assert command_line("down").returncode == 0
    assert command_line.processes() == []


def _run_the_example(command_line: CommandLine, endpoint: dict[str, Any]) -> None:
    """The plain script of the README scores its two rows with a key, and says in a line that a wrong one opens nothing."""
    keys = command_line.json("endpoints", "keys", endpoint["name"])
    for key, code in ((keys["primary"], 0), ("wrong", 1)):
        done = subprocess.run(
            [sys.executable, "-I", EXAMPLE],
            env={"SCORING_URI": endpoint["scoring_uri"], "SCORING_KEY": key},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        said = ("'yes'" in done.stdout or "'no'" in done.stdout) if code == 0 else "answered 403" in done.stderr
        assert said, done.stdout + done.stderr


def test_ctrl_c_takes_all_down(command_line: CommandLine, flow: tuple[dict[str, Any], str], table: Path) -> None:
    """Ctrl-C in mid-training ends the flow with exit code 130, one line and no process."""
    process = command_line.start("e2e", "--data", table, "--minutes", "5", "--evidence", "stopped.json")
    deadline = time.monotonic() + 120
    while not any("automl_worker" in " ".join(other.cmdline()) for other in command_line.processes()):
        assert time.monotonic() < deadline, "the training did not start"
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    assert json.loads((command_line.folder / "stopped.json").read_text())["ok"] is False
    deadline = time.monotonic() + 60
    while command_line.processes():
        assert time.monotonic() < deadline, command_line.processes()
        time.sleep(0.2)
