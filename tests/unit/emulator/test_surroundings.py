"""What a client's shell is told, and the config.json that is lent."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from bankmlops.emulator.home import Home, Running, default_folder
from bankmlops.emulator.instance import Addresses, Emulator
from bankmlops.emulator.surroundings import WITHHELD, client_environment, complete_environment, shell_lines
from bankmlops.emulator.web.proxy_settings import leads_to_emulator
from bankmlops.emulator.workspace_file import lent_workspace_file, named_subscriptions, workspace_config


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "a home")


@pytest.fixture
def running(home: Home) -> Running:
    home.make()
    Emulator(home.state).close()
    return Running(os.getpid(), 0.0, Addresses(1001, 1002, 1003), home.state, ephemeral=False, time_scale=1.0)


def test_a_shell_gets_what_was_meant(home: Home, running: Running) -> None:
    """The lines survive a real shell's eval, blanks, quotes and dollars included, and real credentials are gone from it."""
    environ = {"NO_PROXY": "it's $HOME;`date`", "AZURE_ML_TOKEN": "real", "HOME": "/somewhere", "PATH": os.environ["PATH"]}
    variables = client_environment(home, running, environ)
    program = f"{shell_lines(variables, environ)}\nenv -0"
    seen = subprocess.run(["sh", "-c", program], env=environ, capture_output=True, text=True, check=True).stdout
    found = dict(line.partition("=")[::2] for line in seen.split("\0") if line)
    assert {name: found[name] for name in variables} == variables
    assert "AZURE_ML_TOKEN" not in found
    assert found["HOME"] == "/somewhere"


def test_both_spellings_of_the_proxy(home: Home, running: Running) -> None:
    """The native reader reads the lower-case name alone, other programs the other."""
    variables = client_environment(home, running, {})
    assert variables["https_proxy"] == variables["HTTPS_PROXY"] == "http://127.0.0.1:1003"
    assert variables["SSL_CERT_FILE"] == variables["REQUESTS_CA_BUNDLE"]
    assert "HTTP_PROXY" not in variables
    assert "HOME" not in variables


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "127.0.0.1,localhost"),
        ("intern.example, 10.0.0.0/8", "127.0.0.1,localhost,intern.example,10.0.0.0/8"),
        ("*", "127.0.0.1,localhost"),
        (".azure.com,windows.net,core.windows.net,mine.example", "127.0.0.1,localhost,mine.example"),
        ("login.microsoftonline.com,localhost", "127.0.0.1,localhost"),
    ],
)
def test_no_exception_leads_to_the_real_cloud(home: Home, running: Running, before: str, after: str) -> None:
    """NO_PROXY keeps the user's entries but those that would lead Azure's names past the emulator."""
    variables = client_environment(home, running, {"no_proxy": before})
    assert variables["NO_PROXY"] == variables["no_proxy"] == after


def test_twice_is_as_once(home: Home, running: Running) -> None:
    """In a shell that has the variables already, the user's own proxy and exceptions are not forgotten."""
    environ = {"HTTPS_PROXY": "http://company:3128", "NO_PROXY": "intern.example", "AZUREML_ARM_SUBSCRIPTION": "mine"}
    once = {**environ, **client_environment(home, running, environ)}
    twice = {**once, **client_environment(home, running, once)}
    assert once == twice
    assert once["BANKMLOPS_EMULATOR_UPSTREAM"] == "http://company:3128"


def test_whether_it_is_emulated(home: Home, running: Running) -> None:
    """An environment leads to an emulator where its variables are set whole; its home alone, or another proxy, does not."""
    variables = client_environment(home, running, {})
    assert leads_to_emulator(variables)
    assert not leads_to_emulator({"BANKMLOPS_EMULATOR": str(home.folder)})
    assert not leads_to_emulator({**variables, "https_proxy": "http://company:3128"})


def test_a_workspace_of_ones_own_stays(home: Home, running: Running) -> None:
    """Where the SDK's three variables are set, they stay; a child never gets real credentials."""
    named = {"AZUREML_ARM_SUBSCRIPTION": "s", "AZUREML_ARM_RESOURCEGROUP": "g", "AZUREML_ARM_WORKSPACE_NAME": "w"}
    environ = {**named, **dict.fromkeys(WITHHELD, "real")}
    complete = complete_environment(home, running, environ)
    assert {name: complete[name] for name in named} == named
    assert not set(WITHHELD) & set(complete)
    default = complete_environment(home, running, {})
    assert [default[name] for name in named] == list(workspace_config().values())


def test_where_the_home_is() -> None:
    """Under XDG_STATE_HOME, or in the user's home."""
    assert default_folder({"XDG_STATE_HOME": "/x"}) == Path("/x/bankmlops/emulator")
    assert default_folder({"HOME": "/h"}) == Path("/h/.local/state/bankmlops/emulator")


def test_a_record_of_a_stranger(home: Home, running: Running) -> None:
    """A process that has only the number of the emulator's is not taken for it, and a damaged record is none."""
    home.write(running)
    assert home.read() == running
    assert home.find() is None
    (home.folder / "running.json").write_text("{")
    assert home.read() is None


def test_a_config_is_lent(tmp_path: Path) -> None:
    """Where the SDK would find no config.json one lies in the folder for as long as it is needed, and no longer."""
    folder = tmp_path / "empty"
    folder.mkdir()
    with lent_workspace_file(folder) as lent:
        assert lent is not None
        assert json.loads(lent.read_text()).items() >= workspace_config().items()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("place", ["config.json", ".azureml/config.json", "aml_config/config.json", "../config.json"])
def test_a_config_of_ones_own_is_taken(tmp_path: Path, place: str) -> None:
    """Where there is one, here or above, nothing is lent and it stays; its subscription is made known."""
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    own = folder / place
    own.parent.mkdir(exist_ok=True)
    own.write_text('{"subscription_id": "mine", "resource_group": "g", "workspace_name": "w"}')
    with lent_workspace_file(folder) as lent:
        assert lent is None
        assert named_subscriptions(folder, {"SUBSCRIPTION_ID": "other"}) == ["mine", "other"]
    assert own.exists()


def test_many_borrow_at_once(tmp_path: Path) -> None:
    """Commands that run in one folder at once share the loan: it is there until the last has ended, and then it is gone."""
    folder = tmp_path / "shared"
    folder.mkdir()
    missing: list[int] = []

    def borrow(number: int) -> None:
        for _ in range(20):
            with lent_workspace_file(folder) as lent:
                if lent is None or not json.loads(lent.read_text())["workspace_name"]:
                    missing.append(number)

    threads = [threading.Thread(target=borrow, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
    assert list(folder.iterdir()) == []


def test_a_loan_that_a_killed_command_left(tmp_path: Path) -> None:
    """It is taken over, and taken away at the end."""
    with lent_workspace_file(tmp_path) as lent:
        assert lent is not None
        left = lent.read_text()
    lent.parent.mkdir()
    lent.write_text(left)
    with lent_workspace_file(tmp_path) as taken_over:
        assert taken_over == lent
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_more(tmp_path: Path) -> None:
    """A folder of that name that the user has, with other files in it, stays."""
    (tmp_path / "aml_config").mkdir()
    (tmp_path / "aml_config" / "local.runconfig").write_text("x")
    with lent_workspace_file(tmp_path):
        pass
    assert [path.name for path in (tmp_path / "aml_config").iterdir()] == ["local.runconfig"]
