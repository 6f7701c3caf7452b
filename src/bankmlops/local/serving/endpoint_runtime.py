"""What serves an endpoint, whichever it is: a process of this machine or a container."""

from __future__ import annotations

from bankmlops.local.processes import ProcessIdentity, end_family, is_alive, kill_family
from bankmlops.local.serving.container_files import read_record
from bankmlops.local.serving.container_runtime import found_container
from bankmlops.local.serving.endpoint_files import EndpointFiles

_GRACE_SECONDS = 10.0


def runs(files: EndpointFiles, process: ProcessIdentity) -> bool:
    """Whether it is there, well or not."""
    container = found_container(read_record(files.folder))
    return container.exists() and container.is_running() if container else is_alive(process)


def end(files: EndpointFiles, process: ProcessIdentity) -> None:
    """Let what serves this folder finish what it was asked."""
    container = found_container(read_record(files.folder))
    if container:
        container.end(_GRACE_SECONDS)
    else:
        end_family(process, files.folder, _GRACE_SECONDS)


def kill(files: EndpointFiles) -> None:
    """End at once whatever serves, or served, this folder."""
    kill_family(files.folder)
    container = found_container(read_record(files.folder))
    if container:
        container.remove()
