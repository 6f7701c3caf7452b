"""What a person sees: results on stdout, progress on stderr, and nothing that steers the terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bankmlops.cli import progress
from bankmlops.cli.evidence import evidence_file
from bankmlops.cli.flow_report import FlowReport
from bankmlops.cli.output import plain
from bankmlops.cli.text import one_line
from bankmlops.errors import BackendUnavailableError
from bankmlops.evidence import Step
from bankmlops.types import EndpointKeys, PipelineRun, RunStatus, StepRun
from support.memory_backend import DONE, MemoryBackend

Command = Callable[..., Any]
RUNNING = replace(DONE, status=RunStatus.RUNNING, progress="trial 3, best accuracy 0.9012", fraction=0.42, ended=None)


def test_json_of_any_value() -> None:
    """Every kind of value that a backend answers has its JSON, and it is JSON that every parser reads."""
    value = plain({"run": DONE, "keys": EndpointKeys("a", "b"), "at": datetime(2026, 1, 1, tzinfo=UTC), "path": Path("x/y")})
    again = json.loads(json.dumps(value, allow_nan=False))
    assert again["run"]["status"] == "Completed"
    assert again["run"]["metrics"]["log_loss"] is None
    assert again["run"]["tags"] == {}
    assert (again["keys"]["primary"], again["at"], again["path"]) == ("a", "2026-01-01T00:00:00+00:00", "x/y")


def test_one_line() -> None:
    """A text becomes one line that can't move the cursor, and is bounded."""
    assert one_line("two\r\nlines \x1b]0;title\x07") == "two lines \N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}"
    assert len(one_line("x" * 10_000)) == 2000


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def _stderr_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    return stream


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar tells the share that is done, what the run says and the time that its budget leaves, and goes away."""
    terminal = _stderr_is_a_terminal(monkeypatch)
    with progress.watching("AutoML", 2.0) as on_change:
        on_change(RUNNING)
    shown = terminal.getvalue()
    for part in ("AutoML", "42%", "trial 3, best accuracy 0.9012", "left"):
        assert part in shown
    assert shown.rstrip("\r").endswith("\x1b[2K")  # the last line is erased


def test_a_bar_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline's bar is as long as its completed steps."""
    terminal = _stderr_is_a_terminal(monkeypatch)
    steps = (StepRun("prepare", RunStatus.COMPLETED), StepRun("automl", RunStatus.RUNNING))
    with progress.watching("pipeline") as on_change:
        on_change(PipelineRun("run-1", "nightly", RunStatus.RUNNING, steps))
    assert "50%" in terminal.getvalue()
    assert "automl, step 2 of 2" in terminal.getvalue()


def test_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a number is counted on a terminal."""
    terminal = _stderr_is_a_terminal(monkeypatch)
    with progress.counting("writing bank.csv", "rows") as on_progress:
        on_progress(500, 1000)
    assert "500 rows" in terminal.getvalue()
    assert "50%" in terminal.getvalue()


def test_lines_elsewhere(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stderr is no terminal there is a line at first, now and then, and at the end, and no control character."""
    now = iter([0.0, 1.0, 11.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.watching("AutoML", 2.0) as on_change:
        for number in range(3):
            on_change(replace(RUNNING, progress=f"trial {number}\x1b[2J"))
        on_change(replace(DONE, progress="done"))
    _, err = capfd.readouterr()
    assert err.splitlines() == [f"AutoML: trial {number}\N{REPLACEMENT CHARACTER}[2J" for number in (0, 2)] + ["AutoML: done"]


def test_the_flow_line_by_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Each step of the flow is a line on stdout with its seconds, and so is the whole."""
    with FlowReport(as_json=False, budgets={"AutoML": 1.0}) as report:
        report.step_started("AutoML")
        report.run_changed(RUNNING)
        report.step_finished(Step("AutoML", 58.512, ok=True), "LightGBM, accuracy 0.9")
        report.step_started("deploy")
        report.step_finished(Step("deploy", 1.0, ok=False), "")
    out, err = capfd.readouterr()
    first, second, total = out.splitlines()
    assert first.split() == ["✓", "AutoML", "58.5", "s", "LightGBM,", "accuracy", "0.9"]
    assert second.split() == ["✗", "deploy", "1.0", "s"]
    assert total.split()[:2] == ["✓", "total"]
    assert "trial 3" in err


def _fail_in(report: FlowReport) -> None:
    with report:
        report.step_started("deploy")
        report.step_finished(Step("deploy", 1.0, ok=False), "")
        raise ValueError("broken")


def test_the_flow_beside_json(capfd: pytest.CaptureFixture[str]) -> None:
    """Where stdout is for JSON the lines go to stderr, and a flow that failed says so in the last."""
    report = FlowReport(as_json=True, budgets={})
    with pytest.raises(ValueError, match="broken"):
        _fail_in(report)
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.split()[:2] for line in err.splitlines()] == [["✗", "deploy"], ["✗", "total"]]


def test_evidence_is_whole(tmp_path: Path) -> None:
    """Evidence takes the place of what was there at once, in a folder that is made, and leaves nothing beside it."""
    path = tmp_path / "build" / "e2e" / "local.json"
    with evidence_file(path) as write:
        assert not path.exists()
        write({"ok": True, "score": float("nan")})
    assert json.loads(path.read_text()) == {"ok": True, "score": None}
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(ValueError, match="broken"), evidence_file(path):
        raise ValueError("broken")
    assert list(path.parent.iterdir()) == [path]


def test_evidence_nowhere(tmp_path: Path) -> None:
    """Evidence that can't be written is an error before anything is run; without a path nothing is written."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendUnavailableError, match="--evidence"), evidence_file(tmp_path / "file" / "local.json"):
        pytest.fail("it began")
    with evidence_file(None) as write:
        write({})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_colours_are_for_terminals(command: Command, backend: MemoryBackend) -> None:
    """What goes into a pipe has neither colour nor a line that is broken or padded to a width."""
    backend.runs = [replace(DONE, id="AutoML_" + "x" * 300)]
    done = command("automl", "list")
    assert "\x1b" not in done.out
    assert "x" * 300 in done.out
    assert not [line for line in done.out.splitlines() if line.endswith(" ")]


@pytest.mark.slow
def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """`| head` ends a command quietly: no traceback, and no error code."""
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "bankmlops", "--workspace", tmp_path / "workspace", "data", "list"]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_colours_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal the same table has its colours."""
    control, terminal = pty.openpty()
    words = [sys.executable, "-m", "bankmlops", "--workspace", tmp_path / "workspace", "status"]
    environment = {**os.environ, "TERM": "xterm-256color"}
    done = subprocess.run(words, stdout=terminal, stderr=terminal, env=environment, check=False, timeout=60)
    os.close(terminal)
    shown = os.read(control, 65536).decode()
    os.close(control)
    assert done.returncode == 0
    assert "\x1b[1mworkspace" in shown
