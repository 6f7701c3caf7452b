"""The workspace folder: private, shared by processes, and whole or refused."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from bankmlops.local.schema import SCRIPTS
from bankmlops.local.workspace import LocalWorkspace


@pytest.fixture
def workspace(tmp_path: Path) -> LocalWorkspace:
    return LocalWorkspace(tmp_path / "workspace")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nothing_is_touched_before_first_use(workspace: LocalWorkspace) -> None:
    """To name a workspace makes no folder."""
    assert not workspace.folder.exists()


def test_folders_are_private(workspace: LocalWorkspace) -> None:
    """The workspace and the folders of its things are for their owner alone."""
    workspace.prepare()
    made = workspace.folder_of("endpoints", "bank")
    assert {_mode(path) for path in (workspace.folder, made, made.parent)} == {0o700}
    assert made == workspace.path_of("endpoints", "bank") == workspace.folder / "endpoints" / "bank"


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".hidden", "x" * 300, "naïve", "a\nb"])
def test_a_name_stays_in_its_folder(workspace: LocalWorkspace, name: str) -> None:
    """Whatever a thing is called, its folder is one safe component below its kind, and another name's is another."""
    path = workspace.path_of("endpoints", name)
    assert path.parent == workspace.folder / "endpoints"
    assert path.name.isalnum()
    assert path != workspace.path_of("endpoints", name + "2")


def test_a_relative_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named from one folder is found when the process has moved on."""
    monkeypatch.chdir(tmp_path)
    assert LocalWorkspace(Path("there")).folder == tmp_path / "there"


def test_database_commits_or_undoes(workspace: LocalWorkspace) -> None:
    """A block's writes are kept when it ends, and undone when it raises."""
    insert = "INSERT INTO endpoints (name, model_name, model_version, tags, created) VALUES (?, 'm', '1', '{}', 'now')"
    with workspace.database() as database:
        database.execute(insert, ("kept",))

    def write_and_fail() -> None:
        with workspace.database() as database:
            database.execute(insert, ("undone",))
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    with workspace.database() as database:
        assert [row["name"] for row in database.execute("SELECT name FROM endpoints")] == ["kept"]


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    """A path that is a file is refused with one line that says what would serve."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidRequestError, match=r"file is a file; choose a folder with --workspace"):
        LocalWorkspace(file).prepare()


def test_a_folder_that_refuses(tmp_path: Path) -> None:
    """A folder that can't be made is one line that names it, and what to do."""
    impossible = Path("/proc/nothing/workspace")
    with pytest.raises(BackendUnavailableError, match=r"/proc/nothing.*--workspace"):
        LocalWorkspace(impossible).prepare()


def test_a_newer_workspace_is_refused(workspace: LocalWorkspace) -> None:
    """A workspace that a newer version made is left alone."""
    workspace.prepare()
    with closing(sqlite3.connect(workspace.folder / "state.db")) as database:
        database.execute(f"PRAGMA user_version = {len(SCRIPTS) + 1}")
    with pytest.raises(InvalidRequestError, match="newer bankmlops"):
        LocalWorkspace(workspace.folder).prepare()


def test_a_damaged_database_is_refused(workspace: LocalWorkspace) -> None:
    """A state.db that is none is named, not repaired."""
    workspace.folder.mkdir()
    (workspace.folder / "state.db").write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(InvalidRequestError, match=r"state\.db is damaged"):
        workspace.prepare()


def test_a_lock_excludes_threads(workspace: LocalWorkspace) -> None:
    """Who waits too long for a held lock gets one line that names it; released, it is free."""
    refused: list[str] = []

    def try_it() -> None:
        try:
            with workspace.lock("models", timeout_seconds=0.1):
                refused.append("")
        except BackendUnavailableError as error:
            refused.append(str(error))

    with workspace.lock("models"):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join(20)
    try_it()
    assert "models.lock" in refused[0]
    assert refused[1:] == [""]


@pytest.mark.slow
def test_a_lock_ends_with_its_process(workspace: LocalWorkspace) -> None:
    """A lock excludes other processes, and a process that is killed holds none."""
    program = (
        "import sys, time; from pathlib import Path; from bankmlops.local.workspace import LocalWorkspace\n"
        "with LocalWorkspace(Path(sys.argv[1])).lock('models'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, str(workspace.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BackendUnavailableError), workspace.lock("models", timeout_seconds=0.1):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with workspace.lock("models", timeout_seconds=10):
        pass


@pytest.mark.slow
def test_many_may_prepare_at_once(workspace: LocalWorkspace) -> None:
    """Processes that open a new workspace at the same time all get the same whole one."""
    program = (
        "import sys; from pathlib import Path; from bankmlops.local.workspace import LocalWorkspace\n"
        "with LocalWorkspace(Path(sys.argv[1])).database() as d: print(d.execute('PRAGMA user_version').fetchone()[0])"
    )
    command = [sys.executable, "-c", program, str(workspace.folder)]
    openers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [opener.communicate(timeout=60)[0].strip() for opener in openers] == [str(len(SCRIPTS))] * 4
