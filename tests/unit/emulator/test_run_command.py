"""One command, its exit code and its signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bankmlops.emulator.scripts import run_command
from bankmlops.emulator.scripts.run_command import run_to_end
from bankmlops.errors import InvalidRequestError, NotFoundError

RUNNER = """
import os, sys
from bankmlops.emulator.scripts.run_command import run_to_end
sys.exit(run_to_end(sys.argv[1:], os.environ))
"""


@pytest.mark.parametrize(
    ("command", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)]
)
def test_the_exit_code_is_handed_back(command: str, code: int) -> None:
    """It is the command's own, or 128 and the number of the signal that ended it."""
    assert run_to_end(["sh", "-c", command], os.environ) == code


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    """It is one line that names it; and a file that can't be run is one too."""
    with pytest.raises(NotFoundError, match="no-such-command"):
        run_to_end(["no-such-command"], os.environ)
    file = tmp_path / "text"
    file.write_text("x")
    with pytest.raises(InvalidRequestError, match="text"):
        run_to_end([str(file)], os.environ)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_passed_on(tmp_path: Path, number: signal.Signals) -> None:
    """A signal to the runner reaches the command, whose own exit code counts, and the runner lives until then."""
    ready = tmp_path / "ready"
    script = f"trap 'exit 42' INT TERM HUP; touch {ready}; while :; do sleep 0.05; done"
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, "sh", "-c", script], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        runner.send_signal(number)
        assert runner.wait(30) == 42
    finally:
        runner.kill()
        runner.wait()


def test_a_signal_that_comes_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that arrives when the command has started and the runner does not wait yet is passed on too."""
    ready = tmp_path / "ready"
    start = run_command._start

    def start_and_signal(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        process = start(command, environment)
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr(run_command, "_start", start_and_signal)
    script = f"trap 'exit 42' TERM; touch {ready}; for each in $(seq 200); do sleep 0.05; done"
    assert run_to_end(["sh", "-c", script], os.environ) == 42


def test_the_command_hears_ctrl_c_as_usual() -> None:
    """The runner's own handling is not inherited: in the command SIGINT is not ignored and not blocked."""
    program = (
        "import signal, sys; usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler; "
        "sys.exit(0 if usual and not signal.pthread_sigmask(signal.SIG_BLOCK, []) else 1)"
    )
    assert run_to_end([sys.executable, "-c", program], os.environ) == 0


def test_handlers_are_put_back() -> None:
    """After the command the process answers signals as before."""
    before = signal.getsignal(signal.SIGTERM)
    run_to_end(["true"], os.environ)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
