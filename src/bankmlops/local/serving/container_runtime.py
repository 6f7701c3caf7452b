"""An endpoint in a container: unprivileged, bounded, with a root that nobody writes to, on this machine's loopback alone.

The engine keeps it running after the command that deployed it, and brings it back after a restart of its own. It is found again
by its name, which comes from the endpoint's folder.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bankmlops.container.image_files import USER
from bankmlops.errors import BackendUnavailableError, ConflictError, InvalidRequestError
from bankmlops.local.serving.container_engine import ContainerEngine
from bankmlops.local.serving.container_files import (
    RuntimeRecord,
    models_folder,
    open_to_container,
    service_folder,
    state_folder,
    write_record,
)
from bankmlops.local.serving.container_image import EngineImage
from bankmlops.types import DeploymentConfig, Runtime

ENDPOINT_LABEL = "bankmlops.endpoint"
WORKSPACE_LABEL = "bankmlops.workspace"
_PORT = 8080
_PROCESSES = 256
_TEMPORARY = "/tmp:rw,noexec,nosuid,nodev,size=16m"  # noqa: S108  # the container's own, in its memory
_LOG_DRIVERS = {"docker": "json-file", "podman": "k8s-file"}
_LOG_SIZE = "16m"
_STOP_SECONDS = 15.0
_TAKEN = ("port is already allocated", "address already in use")
_CANNOT_SERVE = ("range of cpus", "memory limit", "minimum memory")
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Container:
    """The container that a record names, asked through its engine."""

    engine: ContainerEngine
    record: RuntimeRecord

    def exists(self) -> bool:
        """Whether the engine knows it, running or not."""
        return self.engine.has_container(self.record.container)

    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._inspect("{{.State.Running}}") == "true"

    def runs_as_made(self) -> bool:
        """Whether it runs, and never ended since it was made."""
        return self._inspect("{{.State.Running}} {{.RestartCount}}") == "true 0"

    def log_lines(self, count: int) -> Sequence[str]:
        """The newest lines of its log, oldest first; none where it is gone."""
        if not self.exists():
            return ()
        return tuple(self.engine.log(self.record.container, count))

    def end(self, grace_seconds: float) -> None:
        """Let it finish what it was asked, and remove it (idempotent)."""
        if self.exists():
            with suppress(BackendUnavailableError):  # one that can't be stopped is removed all the same
                self.engine(
                    "stop", "--time", f"{grace_seconds:.0f}", self.record.container, seconds=grace_seconds + _STOP_SECONDS
                )
        self.remove()

    def remove(self) -> None:
        """End it at once, and remove it (idempotent). Raises `BackendUnavailableError` where its engine does not answer."""
        if self.exists():
            self.engine("rm", "--force", "--volumes", self.record.container)

    def _inspect(self, template: str) -> str:
        return self.engine("container", "inspect", "--format", template, self.record.container)


def found_container(record: RuntimeRecord) -> Container | None:
    """The container of an endpoint; None for a process."""
    return Container(ContainerEngine(record.engine), record) if record.container else None


def start_container(image: EngineImage, folder: Path, config: DeploymentConfig, reason: str) -> Container:
    """Start it detached, on a free port where none is asked for; what had its name before is gone.

    Raises `ConflictError` where the port that was asked for is taken, `InvalidRequestError` for limits that the engine refuses.
    """
    engine = image.engine
    open_to_container(folder)
    for _ in range(_TRIES):
        record = RuntimeRecord(Runtime.CONTAINER, reason, engine.command, container_name(folder), config.port or _free_port())
        write_record(folder, record)  # before the container is there, so that none is ever without one
        container = Container(engine, record)
        container.remove()
        try:
            engine(*_run_words(engine, folder, record, config), image.name)
        except BackendUnavailableError as error:
            if any(words in str(error).lower() for words in _TAKEN) and not config.port:
                continue
            raise _translated(error, config) from None
        return container
    raise BackendUnavailableError(f"{engine} found each of {_TRIES} free ports taken; try again")


def container_name(folder: Path) -> str:
    """The name of the container that serves an endpoint's folder: the same each time, and another in each workspace."""
    digest = hashlib.sha256(str(folder.parent).encode()).hexdigest()[:8]
    return f"bankmlops-{folder.name}-{digest}"


def _run_words(engine: ContainerEngine, folder: Path, record: RuntimeRecord, config: DeploymentConfig) -> Iterator[str]:
    yield from ("run", "--detach", "--name", record.container, "--restart", "unless-stopped")
    yield from ("--label", f"{ENDPOINT_LABEL}={config.name}", "--label", f"{WORKSPACE_LABEL}={folder.parent.parent}")
    yield from ("--publish", f"127.0.0.1:{record.port}:{_PORT}", *_user(engine))
    yield from ("--read-only", "--tmpfs", _TEMPORARY, "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    memory = f"{config.memory_gb * 1024:.0f}m"
    yield from ("--memory", memory, "--memory-swap", memory, "--cpus", f"{config.cpu_cores:g}", "--pids-limit", str(_PROCESSES))
    yield from ("--log-driver", _LOG_DRIVERS[engine.command], "--log-opt", f"max-size={_LOG_SIZE}")
    yield from ("--mount", _mount(service_folder(folder), "/service", "readonly"))
    yield from ("--mount", _mount(models_folder(folder), "/model", "readonly"))
    yield from ("--mount", _mount(state_folder(folder), "/state"))


def _user(engine: ContainerEngine) -> Sequence[str]:
    """Nobody's root: who deployed it, so that both can read what either wrote, or the image's own user where that was root."""
    if os.getuid() == 0:
        return ("--user", f"{USER}:{USER}")
    keep = ("--userns", "keep-id") if engine.command == "podman" else ()
    return (*keep, "--user", f"{os.getuid()}:{os.getgid()}")


def _mount(source: Path, target: str, *options: str) -> str:
    """A bind mount in the engine's comma-separated form, whatever the folder is called."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(["type=bind", f"source={source}", f"target={target}", *options])
    return line.getvalue()


def _free_port() -> int:
    """The engine would take another one each time that it starts; the endpoint's address has to stay."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _translated(error: BackendUnavailableError, config: DeploymentConfig) -> Exception:
    said = str(error).lower()
    if any(words in said for words in _TAKEN):
        return ConflictError(f"port {config.port} can't be listened on; choose another, or 0 for a free one")
    if any(words in said for words in _CANNOT_SERVE):
        limits = f"cpu_cores {config.cpu_cores:g} and memory_gb {config.memory_gb:g}"
        return InvalidRequestError(f"{limits} can't serve here: {error}")
    return error
