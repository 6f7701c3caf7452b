"""Which runtime is taken and why, where the engine is a script that answers as engines do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bankmlops.container.image_files import image_name
from bankmlops.errors import BackendUnavailableError
from bankmlops.local.serving import container_engine, container_image
from bankmlops.local.serving.container_choice import choose_runtime
from bankmlops.local.serving.container_engine import ContainerEngine, find_engine, run_bounded
from bankmlops.local.serving.container_image import Patience
from bankmlops.types import Runtime
from support.engine import wait_until

Script = Callable[..., Mapping[str, str]]
ANSWERS = """case "$1" in
version) echo 99.1 ;;
images) if [ "$3" = there ]; then echo 1234; fi ;;
*) echo "no $1 today" >&2; exit 1 ;;
esac"""


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes an engine of a few lines of shell; answers the settings in which it alone is found."""

    def write(body: str, name: str = "docker", **settings: str) -> Mapping[str, str]:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin", **settings}

    return write


def test_process_asks_nobody(script: Script, tmp_path: Path) -> None:
    """A process that is asked for is taken without a look at any engine."""
    environ = script(f"touch {tmp_path}/asked; exit 1")
    assert choose_runtime(Runtime.PROCESS, environ) == choose_runtime(Runtime.PROCESS, {})
    assert choose_runtime(Runtime.PROCESS, environ).image is None
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("body", ["exit 1", "echo 'Cannot connect to the daemon' >&2; exit 1"])
def test_no_engine_answers(script: Script, body: str) -> None:
    """Where no engine answers `auto` takes a process and says why; a container that is asked for is refused in one line."""
    environ = {**script(body), "BANKMLOPS_CONTAINER_ENGINE": "docker"}
    choice = choose_runtime(Runtime.AUTO, environ)
    assert (choice.image, choice.reason) == (None, "no container engine answers (docker)")
    with pytest.raises(BackendUnavailableError, match=r"no container engine answers.*--runtime process"):
        choose_runtime(Runtime.CONTAINER, environ)


def test_no_engine_is_there() -> None:
    """Where there is no engine's command at all it is the same."""
    assert choose_runtime(Runtime.AUTO, {"PATH": "/nowhere"}).reason == "no container engine answers (neither docker nor podman)"


def test_engine_forbidden(script: Script) -> None:
    """The setting `none` has nobody look for an engine."""
    environ = script(ANSWERS, BANKMLOPS_CONTAINER_ENGINE="none")
    assert find_engine(environ) is None
    assert "forbids" in choose_runtime(Runtime.AUTO, environ).reason


def test_image_is_there(script: Script) -> None:
    """An engine that has the image gives a container, unasked, with the reason."""
    environ = script(ANSWERS.replace("= there", f"= {image_name()}"))
    choice = choose_runtime(Runtime.AUTO, environ)
    assert choice.image
    assert (choice.image.name, choice.image.engine.version) == (image_name(), "99.1")
    assert choice.reason == "docker 99.1 answers, and has the scoring image"
    assert choose_runtime(Runtime.CONTAINER, environ).reason == ""


def test_image_cannot_be_had(script: Script) -> None:
    """Where neither image nor base is there or comes, `auto` takes a process and quotes the engine; a container is refused."""
    environ = script(ANSWERS)
    choice = choose_runtime(Runtime.AUTO, environ)
    assert choice.image is None
    assert "docker 99.1 answers" in choice.reason
    assert "no pull today" in choice.reason
    with pytest.raises(BackendUnavailableError, match="no pull today"):
        choose_runtime(Runtime.CONTAINER, environ)


def test_podman_where_docker_is_silent(script: Script) -> None:
    """Of two commands the one that answers is the engine."""
    script("exit 1")
    engine = find_engine(script("echo 5.4", "podman"))
    assert engine
    assert str(engine) == "podman 5.4"


def test_probe_is_bounded(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that hangs is no engine, after the probe's time, and what it started is ended."""
    monkeypatch.setattr(container_engine, "PROBE_SECONDS", 0.3)
    environ = script(f"sleep 60 & echo $! > {tmp_path}/pid; wait", BANKMLOPS_CONTAINER_ENGINE="docker")
    began = time.monotonic()
    assert find_engine(environ) is None
    assert time.monotonic() - began < 10
    wait_until(lambda: not _runs(int((tmp_path / "pid").read_text())))


def test_build_is_bounded(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base image that comes too slowly makes `auto` take a process, in the time that it may take."""
    monkeypatch.setattr("bankmlops.local.serving.container_choice.QUICK", Patience(pull=0.3, total=0.5))
    environ = script(ANSWERS.replace("*)", "pull) sleep 60 ;; *)"))
    began = time.monotonic()
    assert "pull did not end within 0.3 s" in choose_runtime(Runtime.AUTO, environ).reason
    assert time.monotonic() - began < 10


def test_limits_of_auto() -> None:
    """What `auto` may wait for is what its rule says."""
    assert container_engine.PROBE_SECONDS == 5.0
    assert Patience(pull=20.0, total=90.0) == container_image.QUICK


def test_engines_words(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an engine complains of is one line: its last, without the hint where help can be had."""
    environ = script("printf 'first\\nError: it is full\\nSee '\\''docker run --help'\\''.\\n' >&2; exit 125")
    with pytest.raises(BackendUnavailableError, match=r"docker run: Error: it is full$"):
        ContainerEngine("docker", environment=environ)("run")


def test_bounded_output() -> None:
    """A command gives its exit code and both outputs."""
    assert run_bounded(["sh", "-c", "echo out; echo err >&2; exit 3"], 10.0) == (3, "out\n", "err\n")


def test_a_warning_is_no_answer(script: Script) -> None:
    """What an engine warns of is not taken for an image or a container."""
    engine = ContainerEngine("docker", environment=script("echo 'level=warning' >&2"))
    assert not engine.has_image("image:1")
    assert not engine.has_container("bank")


def _runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()
