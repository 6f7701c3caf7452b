"""Scripts for Azure ML's SDK, unchanged, against the emulator: a whole sample, a crash in the middle, and what can go wrong."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.command_line import COMMAND, CommandLine

pytestmark = [pytest.mark.slow, pytest.mark.long]

SCRIPTS = Path(__file__).parent / "sdk_scripts"
SCALE = "0.01"  # of the 18 minutes that the sample asks for
STEPS = {
    "VotingEnsemble": "prefittedsoftvotingclassifier",
    "StackEnsemble": "stackensembleclassifier",
    "LightGBM": "lightgbm",
    "LogisticRegression": "logisticregression",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "bank.csv"
    assert CommandLine(path.parent)("data", "synthesize", "--rows", "800", "--seed", "5", path).returncode == 0
    return path


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line("emulator", "stop", "--state", tmp_path / "state")
    command_line.end_processes()


@pytest.fixture(scope="module")
def summary(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the sample learnt, run by one command in a folder of its own."""
    command_line = CommandLine(tmp_path_factory.mktemp("sample"))
    script = (sys.executable, SCRIPTS / "bank_marketing.py", table, "summary.json")
    done = command_line("emulator", "run", "--time-scale", SCALE, "--", *script, timeout=590)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    yield {**json.loads((command_line.folder / "summary.json").read_text()), "output": done.stdout}
    assert command_line.processes() == []


def test_the_script_knows_nothing_of_the_emulator() -> None:
    """The sample has no line about it: it would run in the cloud as it stands."""
    text = (SCRIPTS / "bank_marketing.py").read_text().lower()
    assert not [word for word in ("emulator", "bankmlops", "127.0.0.1", "localhost") if word in text]


def test_training(summary: dict[str, Any]) -> None:
    """AutoML really trained: children with metrics, the table of iterations, guardrails, and a model that predicts."""
    status, best = summary["run"]
    assert status == "Completed"
    assert best.startswith("AutoML_")
    assert "VotingEnsemble" in summary["algorithms"]
    assert 0.8 < summary["best_metrics"]["AUC_weighted"] <= 1
    assert summary["steps"] == ["datatransformer", STEPS[summary["best_algorithm"]]]
    assert set(summary["predicted"]) <= {"yes", "no"}
    assert "Class balancing detection" in summary["guardrails"]
    assert "ITER   PIPELINE" in summary["output"]


def test_serving(summary: dict[str, Any]) -> None:
    """ACI really served AutoML's own scoring script: either key scores, a wrong one does not, and the schema is the table's."""
    assert summary["model"] == ["bankmarketing", 1]
    for name in ("primary", "secondary", "sdk"):
        status, answer = summary["answers"][name]
        labels = json.loads(answer)["result"]
        assert (status, len(labels), set(labels) <= {"yes", "no"}) == (200, 3, True)
    assert summary["answers"]["wrong"][0] == 401
    assert summary["operations"] == ["RunMLService", "ServiceHealthCheck"]
    assert summary["definitions"] == ["ErrorResponse", "ServiceInput", "ServiceOutput"]
    assert {"age", "job", "euribor3m"} <= set(summary["input"])
    assert "y" not in summary["input"]


def test_watching(summary: dict[str, Any]) -> None:
    """Application Insights was turned on, the logs tell of each request, and hold no key."""
    assert summary["app_insights"] is True
    assert summary["logs"].count("POST /score 200") >= 3
    assert "POST /score 401" in summary["logs"]
    assert not [key for key in summary["keys"] if key in summary["logs"]]


def test_pipeline(summary: dict[str, Any]) -> None:
    """The step trained, its outputs were downloaded; the REST trigger ran the published pipeline, for who bears a token."""
    assert summary["pipeline"] == ["Finished", ["automl_module"]]
    assert summary["pipeline_metrics"][1] >= 1
    assert summary["pipeline_model_bytes"] > 1000
    assert (summary["triggered"], summary["unauthorized"]) == ("Finished", 401)


def test_killed_in_the_middle(command_line: CommandLine, table: Path) -> None:
    """The client ends, the emulator is killed while it trains; both come back, and the run, found by its id, completes."""
    state = command_line.folder / "state"
    start = ("emulator", "start", "--state", state, "--time-scale", SCALE)
    run = ("emulator", "run", "--state", state, "--", sys.executable)
    pid = command_line.json(*start)["pid"]
    submitted = command_line(*run, SCRIPTS / "submit.py", table)
    assert submitted.returncode == 0, submitted.stderr[-4000:]
    run_id = submitted.stdout.split()[-1]
    _until(lambda: _is_training(command_line))
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([process for process in psutil.process_iter() if process.pid == pid], timeout=30)
    assert command_line.json(*start)["pid"] != pid
    followed = command_line(*run, SCRIPTS / "follow.py", run_id)
    assert followed.returncode == 0, (followed.stdout + followed.stderr)[-4000:]
    word, status, best, algorithm, *steps = followed.stdout.splitlines()[-1].split()
    assert (word, status, best.startswith(f"{run_id}_")) == ("ended", "Completed", True)
    assert steps == ["datatransformer", STEPS[algorithm]]


def test_what_goes_wrong(command_line: CommandLine) -> None:
    """A failing init(), a taken name and a wrong key are what they are in the cloud; a 503 is overcome by the SDK's patience."""
    state = command_line.folder / "state"
    command_line.json("emulator", "start", "--state", state, "--ephemeral")
    command_line.environment["AZUREML_DEFAULT_503_BACKOFF"] = "1"  # the SDK's own pause, in seconds; else up to 10, doubled
    emulator = (*COMMAND, "emulator")
    done = command_line("emulator", "run", "--state", state, "--", sys.executable, SCRIPTS / "faults.py", *emulator)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    said = [line for line in done.stdout.splitlines() if ": " in line]
    expected = [
        "deployment: True",
        "state: Failed",
        "logs: True",
        "taken: True",
        "state: Healthy",
        "wrong key: 401",
        "score: {'result': [1]}",
        "patience: ['good']",
        "left: []",
    ]
    assert [line for line in said if line in expected] == expected, done.stdout


def _is_training(command_line: CommandLine) -> bool:
    return any("automl_worker" in " ".join(_words(process)) for process in command_line.processes())


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.1)
