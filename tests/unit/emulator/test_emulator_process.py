"""The emulator as a process: started, found again, stopped, killed, and run for one command."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from bankmlops.emulator import launch
from bankmlops.emulator.home import Home, Running
from bankmlops.emulator.launch import Options
from bankmlops.emulator.surroundings import client_environment
from bankmlops.emulator.web.certificates import prepare_certificates
from bankmlops.errors import BackendUnavailableError
from support.command_line import CommandLine

pytestmark = pytest.mark.slow

WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
# A client that knows nothing of the emulator: Azure's names, the environment's proxy and bundle, a managed identity's token.
CLIENT = """
import json, os, ssl, sys, urllib.request
def get(url, **headers):
    return json.loads(urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30).read())
token = get(os.environ["MSI_ENDPOINT"] + "?resource=https://management.azure.com/")["access_token"]
url = "https://management.azure.com" + sys.argv[1]
print(get(url, Authorization="Bearer " + token)["properties"]["workspaceId"])
"""


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path, {"BANKMLOPS_EMULATOR": str(tmp_path / "home"), "HOME": str(tmp_path / "user")})
    yield command_line
    launch.stop(Home(tmp_path / "home"))
    command_line.end_processes()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    launch.stop(home)


def _variables(home: Home, running: Running) -> dict[str, str]:
    return client_environment(home, running, os.environ)


def _workspace_id(variables: dict[str, str]) -> str:
    """The id of the workspace, as a client sees it that has these variables."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, WORKSPACE], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _gone(pid: int, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_start_use_stop(command_line: CommandLine) -> None:
    """A started emulator serves Azure's names to a client of its environment, is found by the other commands, and stops whole."""
    started = command_line.json("emulator", "start")
    assert _workspace_id(command_line.json("emulator", "env"))
    status = command_line.json("emulator", "status")
    assert (status["running"], status["pid"], status["workspaces"]) == (True, started["pid"], 1)
    assert command_line.json("emulator", "stop") == {"stopped": True}
    assert _gone(started["pid"])
    asked = command_line("emulator", "status", "--json")
    assert (asked.returncode, json.loads(asked.stdout)["running"]) == (3, False)
    assert command_line("emulator", "env").returncode == 3
    assert command_line.processes() == []


def test_start_and_stop_again(home: Home) -> None:
    """Each may be said twice: the emulator that runs is answered, and where none runs there is nothing to stop."""
    started = launch.start(home, Options())
    assert launch.start(home, Options()) == started
    assert launch.stop(home)
    assert not launch.stop(home)
    assert home.find() is None


def test_the_shell_line(command_line: CommandLine) -> None:
    """`eval "$(bankmlops emulator env)"` makes a shell's commands speak to the emulator, and leaves HOME alone."""
    launch.start(Home(command_line.folder / "home"), Options(ephemeral=True))
    bankmlops = f"{shlex.quote(sys.executable)} -m bankmlops"
    program = f'eval "$({bankmlops} emulator env)"; {shlex.quote(sys.executable)} -c "$CLIENT" {WORKSPACE}; echo "$HOME"'
    environment = {**command_line.environment_of_commands(), "CLIENT": CLIENT}
    done = subprocess.run(["sh", "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == environment["HOME"]


def test_loopback_alone(home: Home) -> None:
    """Every port of its process listens on 127.0.0.1, and what it keeps is its owner's alone."""
    running = launch.start(home, Options())
    connections = psutil.Process(running.pid).net_connections("inet")
    assert [each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN] == ["127.0.0.1"] * 3
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (home.folder, home.state)} == {0o700}
    readable = [path.name for path in home.folder.glob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert readable == []


def test_kill_and_start_again(home: Home) -> None:
    """After `kill -9` a new start finds the state, on the same ports, so that a shell's old variables go on working."""
    started = launch.start(home, Options(time_scale=0.5))
    variables = _variables(home, started)
    before = _workspace_id(variables)
    os.kill(started.pid, signal.SIGKILL)
    assert _gone(started.pid)
    again = launch.start(home, Options(time_scale=0.5))
    assert again.pid != started.pid
    assert _workspace_id(variables) == before


def test_public_blobs(command_line: CommandLine, tmp_path: Path) -> None:
    """They are answered under Azure's own name and without a key; an emulator that runs already takes no other folder."""
    table = tmp_path / "public" / "samples" / "data" / "bank.csv"
    table.parent.mkdir(parents=True)
    table.write_text("age,y\n20,no\n")
    option = ("--public-blobs", tmp_path / "public")
    missing = command_line("emulator", "start", "--public-blobs", tmp_path / "none")
    assert (missing.returncode, "there is no such folder" in missing.stderr) == (2, True)
    started = command_line.json("emulator", "start", "--ephemeral", *option)
    address = "https://samples.blob.core.windows.net/data/bank.csv"
    read = f"import urllib.request as web; print(web.urlopen('{address}').read().decode())"
    done = command_line("emulator", "run", "--", sys.executable, "-c", read)
    assert (done.returncode, done.stdout.strip()) == (0, "age,y\n20,no"), done.stderr
    assert command_line.json("emulator", "start", "--ephemeral", *option)["pid"] == started["pid"]
    assert command_line("emulator", "start", "--ephemeral", "--public-blobs", table.parent).returncode == 4
    refused = command_line("emulator", "run", *option, "--", "true")
    assert (refused.returncode, "--public-blobs is the running emulator's" in refused.stderr) == (2, True)


def test_public_blobs_end_with_the_option(home: Home, tmp_path: Path) -> None:
    """An emulator that is started on the same state without the option answers for none of them."""
    table = tmp_path / "public" / "samples" / "data" / "bank.csv"
    table.parent.mkdir(parents=True)
    table.write_text("age,y\n20,no\n")
    answers = []
    for folder in (tmp_path / "public", None):
        base_url = launch.start(home, Options(public_blobs=folder)).addresses.base_url
        host = {"Host": "samples.blob.core.windows.net"}
        answers.append(httpx.get(f"{base_url}/data/bank.csv", headers=host, trust_env=False).text)
        launch.stop(home)
    assert answers[0] == "age,y\n20,no\n"
    assert "samples is not this emulator's" in answers[1]


def test_ephemeral_keeps_none(home: Home) -> None:
    """An ephemeral emulator's state is gone when it was stopped or killed, and the lasting one is not touched by it."""
    lasting = _secrets(launch.start(home, Options()))
    launch.stop(home)
    started = launch.start(home, Options(ephemeral=True))
    assert _secrets(started) != lasting
    launch.stop(home)
    assert not started.state.exists()
    killed = launch.start(home, Options(ephemeral=True))
    os.kill(killed.pid, signal.SIGKILL)
    assert _gone(killed.pid)
    assert _secrets(launch.start(home, Options())) == lasting
    assert not killed.state.exists()


def _secrets(running: Running) -> str:
    return (running.state / "secrets.json").read_text()


def test_options_that_cannot_serve(command_line: CommandLine) -> None:
    """A wrong option is one line and exit code 2; another emulator's options are a conflict that says what to do."""
    for words in (("--time-scale", "2"), ("--port", "80")):
        done = command_line("emulator", "start", *words)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    launch.start(Home(command_line.folder / "home"), Options())
    conflict = command_line("emulator", "start", "--ephemeral")
    assert conflict.returncode == 4
    assert "emulator stop" in conflict.stderr


def test_a_running_emulators_options(command_line: CommandLine) -> None:
    """`run` tells who gave it a running emulator's option how to get one of its own: by how the running one was named."""
    words = ("--time-scale", "0.5", "--", "true")
    named = command_line("emulator", "run", "--state", command_line.folder / "home", *words)
    command_line.environment["BANKMLOPS_EMULATOR"] = str(command_line.folder / "home")
    by_shell = command_line("emulator", "run", *words)
    assert (named.returncode, by_shell.returncode) == (2, 2)
    assert "leave --state out" in named.stderr
    assert "unset BANKMLOPS_EMULATOR" in by_shell.stderr


def test_a_port_that_is_taken(home: Home, tmp_path: Path) -> None:
    """It is one line that names the port, and no process is left."""
    other = Home(tmp_path / "other")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BackendUnavailableError, match=f"port {port} can't be used"):
            launch.start(other, Options(port=port))
    assert other.find() is None


def test_all_else_goes_to_the_network(home: Home, tmp_path: Path) -> None:
    """A host that is not Azure's is reached through the emulator's proxy as it would be without it."""
    files = prepare_certificates(tmp_path, {})
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.server, files.server_key)
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        proxy = _variables(home, launch.start(home, Options()))["HTTPS_PROXY"]
        trusting = ssl.create_default_context(cafile=str(files.bundle))
        with httpx.Client(proxy=proxy, verify=trusting, trust_env=False) as client:
            assert client.head(f"https://127.0.0.1:{server.server_port}/").headers["server"].startswith("SimpleHTTP")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_faults_from_the_command_line(command_line: CommandLine) -> None:
    """An armed fault meets the next requests, and status lists it until then."""
    running = launch.start(Home(command_line.folder / "home"), Options())
    assert command_line("emulator", "fault", "/discovery", "--status", "503").returncode == 0
    assert command_line.json("emulator", "status")["faults"][0]["route"] == "/discovery"
    url = f"{running.addresses.base_url}/discovery"
    assert [httpx.get(url, trust_env=False).status_code for _ in range(2)] == [503, 200]


def test_what_it_started_ends_with_it(home: Home) -> None:
    """A process that a killed emulator started is ended by the next command, whatever it is."""
    started = launch.start(home, Options())
    mark = {**os.environ, launch.FAMILY: str(home.folder)}
    child = subprocess.Popen(["sleep", "300"], env=mark)
    try:
        os.kill(started.pid, signal.SIGKILL)
        launch.stop(home)
        child.wait(30)
    finally:
        child.kill()
        child.wait()


def test_run_one_command(command_line: CommandLine) -> None:
    """The command has an emulator, a HOME and a config.json of its own, its exit code is handed back, and nothing is left."""
    program = f"{CLIENT}\nprint(os.environ['HOME']); print(os.path.exists('aml_config/config.json')); sys.exit(9)"
    before = set(os.listdir(command_line.folder))
    command_line.environment["BANKMLOPS_EMULATOR"] = ""
    done = command_line("emulator", "run", "--", sys.executable, "-c", program, WORKSPACE)
    assert done.returncode == 9, done.stderr
    workspace_id, home, lent = done.stdout.splitlines()
    assert workspace_id
    assert lent == "True"
    assert home != str(command_line.folder / "user")
    assert not Path(home).exists()
    assert set(os.listdir(command_line.folder)) - {"user"} == before - {"user"}
    assert command_line.processes() == []


def test_run_against_the_one_that_runs(command_line: CommandLine) -> None:
    """With --state the command meets the emulator that runs there, which goes on."""
    home = Home(command_line.folder / "home")
    started = launch.start(home, Options())
    known = _workspace_id(_variables(home, started))
    done = command_line("emulator", "run", "--", sys.executable, "-c", CLIENT, WORKSPACE)
    assert done.stdout.strip() == known, done.stderr
    assert home.find() == started
    launch.stop(home)
    refused = command_line("emulator", "run", "--", "true")
    assert (refused.returncode, "emulator start" in refused.stderr) == (3, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_end_of_run_is_the_end_of_all(command_line: CommandLine, number: signal.Signals) -> None:
    """Ctrl-C is passed on and all is taken down; even `kill -9` of the command leaves no emulator behind."""
    command_line.environment["BANKMLOPS_EMULATOR"] = ""
    ready = command_line.folder / "ready"
    script = f"trap 'exit 5' INT; env > {ready}.part; mv {ready}.part {ready}; while :; do sleep 0.05; done"
    process = command_line.start("emulator", "run", "--", "sh", "-c", script)
    deadline = time.monotonic() + 120
    while not ready.exists():
        assert time.monotonic() < deadline, "the command did not start"
        time.sleep(0.05)
    home = Path(dict(line.partition("=")[::2] for line in ready.read_text().splitlines())["BANKMLOPS_EMULATOR"])
    pid = int(json.loads((home / "running.json").read_text())["pid"])
    process.send_signal(number)
    _, printed = process.communicate(timeout=60) if number is signal.SIGINT else (None, "")
    process.wait(60)
    assert _gone(pid)
    if number is signal.SIGINT:
        assert process.returncode == 5, printed
        assert "Traceback" not in printed
        assert not home.exists()


def test_started_at_once(command_line: CommandLine) -> None:
    """Four starts at once in one home are one emulator."""
    started = [command_line.start("emulator", "start", "--json") for _ in range(4)]
    answers = [process.communicate(timeout=180)[0] for process in started]
    assert len({json.loads(answer)["pid"] for answer in answers}) == 1
