"""Processes that outlive who started them: real ones, told from strangers, and ended with their family."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bankmlops.local.processes import ProcessIdentity, end_family, is_alive, kill_family, own_identity, start_detached

pytestmark = pytest.mark.slow

PROGRAMS = {
    "parent_of_one": (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    ),
    "stubborn": (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)\n"
    ),
    "polite": (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('goodbye', flush=True), sys.exit()))\n"
        "print('ready', flush=True)\ntime.sleep(600)\n"
    ),
    "brief": "import os, sys\nprint(sys.argv[1:], os.getcwd())\nprint('gone wrong', file=sys.stderr)\n",
}
Start = Callable[..., ProcessIdentity]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "run"
    folder.mkdir()
    yield folder
    kill_family(folder)


@pytest.fixture
def start(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start one of the programs above, and wait until it wrote a line."""
    for name, program in PROGRAMS.items():
        (tmp_path / f"{name}.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def started(program: str, *arguments: str) -> ProcessIdentity:
        identity = start_detached(program, arguments, folder / "log", folder)
        _until(lambda: (folder / "log").read_text().endswith("\n"))
        return identity

    return started


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_output_goes_to_a_private_log(start: Start, folder: Path) -> None:
    """Both outputs are appended to a log that its owner alone can read; the process works in its folder."""
    identity = start("brief", "one", "two")
    _until(lambda: not is_alive(identity))
    _until(lambda: "gone wrong" in (folder / "log").read_text())
    assert f"['one', 'two'] {folder}" in (folder / "log").read_text()
    assert stat.S_IMODE((folder / "log").stat().st_mode) == 0o600


def test_an_ended_process_is_reaped(start: Start) -> None:
    """A process that ends while its starter lives leaves no zombie."""
    identity = start("brief")
    _until(lambda: not psutil.pid_exists(identity.pid))


def test_it_leads_a_session_of_its_own(start: Start) -> None:
    """A terminal's Ctrl-C can't reach it."""
    identity = start("polite")
    assert is_alive(identity)
    assert os.getsid(identity.pid) == identity.pid != os.getsid(0)


def test_it_has_no_password(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's database is for the control server and the workers; what else is started has the rest of the environment."""
    monkeypatch.setenv("BANKMLOPS_DATABASE_URL", "postgresql://bank:s3cr3t@db/bank")
    monkeypatch.setenv("PASSED_ON", "yes")
    environment = psutil.Process(start("polite").pid).environ()
    assert environment["PASSED_ON"] == "yes"
    assert "s3cr3t" not in str(environment)


def test_another_process_with_the_same_number(start: Start) -> None:
    """A process id that was used again is not the process that had it."""
    identity = start("polite")
    assert not is_alive(ProcessIdentity(identity.pid, identity.created - 60))
    assert not is_alive(ProcessIdentity(0, 0.0))
    end_family(ProcessIdentity(identity.pid, identity.created - 60), Path("/nowhere"), 1.0)
    assert is_alive(identity)


def test_own_identity_is_alive() -> None:
    """Who asks is alive."""
    assert is_alive(own_identity())


def test_the_family_ends(start: Start, folder: Path) -> None:
    """All that a process started ends with it, though it is in another session."""
    identity = start("parent_of_one")
    child = psutil.Process(int((folder / "log").read_text()))
    kill_family(folder)
    assert not is_alive(identity)
    _until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_orphans_are_found(start: Start, folder: Path) -> None:
    """The family is found though its head was killed before."""
    identity = start("parent_of_one")
    child = psutil.Process(int((folder / "log").read_text()))
    psutil.Process(identity.pid).kill()
    _until(lambda: not is_alive(identity))
    kill_family(folder)
    _until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_another_folders_family_stays(start: Start, tmp_path: Path) -> None:
    """A folder whose name begins alike has another family."""
    identity = start("polite")
    kill_family(tmp_path / "ru")
    kill_family(tmp_path / "run2")
    assert is_alive(identity)


def test_a_polite_process_may_say_goodbye(start: Start, folder: Path) -> None:
    """To end is first to ask."""
    identity = start("polite")
    end_family(identity, folder, 30.0)
    assert not is_alive(identity)
    assert "goodbye" in (folder / "log").read_text()


def test_a_stubborn_process_ends_too(start: Start, folder: Path) -> None:
    """Who does not listen is ended after the grace; ending twice is no error."""
    identity = start("stubborn")
    end_family(identity, folder, 0.2)
    assert not is_alive(identity)
    end_family(identity, folder, 0.2)
