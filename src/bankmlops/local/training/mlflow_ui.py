"""MLflow's own pages on the store of a workspace: `python -m bankmlops.local.training.mlflow_ui --workspace DIR [--port N]`.

They are served to this machine alone, need no network, and end with this process: Ctrl-C ends the server and all that it started.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from bankmlops.errors import BackendUnavailableError, BankMLOpsError, ConflictError, NotFoundError
from bankmlops.local.disk import disk_errors
from bankmlops.local.log_tail import last_lines
from bankmlops.local.loopback import OPTIONS
from bankmlops.local.shared import MLFLOW_VARIABLE, mlflow_server
from bankmlops.local.training.mlflow_links import announce_pages, first_page
from bankmlops.local.training.mlflow_store import silence, store_exists
from bankmlops.local.workspace import LocalWorkspace

_HOST = "127.0.0.1"
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.2


def main() -> int:
    """Serve until Ctrl-C or SIGTERM: exit code 0, at once where a server elsewhere has the pages.

    1 with one line on stderr where it could not start.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bankmlops.local.training.mlflow_ui", description="MLflow's pages on a workspace."
    )
    parser.add_argument("--workspace", type=Path, default=Path(".bankmlops"), help="the workspace's folder")
    parser.add_argument("--port", type=int, default=0, help="the port to serve on; a free one where none is given")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts this in the background has it ignored
    try:
        _serve(LocalWorkspace(arguments.workspace), arguments.port)
    except BankMLOpsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _serve(workspace: LocalWorkspace, wanted_port: int) -> None:
    if elsewhere := mlflow_server():
        print(f"{MLFLOW_VARIABLE} names the MLflow server: its pages are at {elsewhere}, and none are served here")  # noqa: T201
        return
    if not store_exists(workspace):
        raise NotFoundError(
            f"workspace {workspace.folder} has no MLflow store yet; the first AutoML run makes it: `make local-e2e`, "
            "or choose another folder with --workspace"
        )
    port = _free_port(wanted_port)
    log = workspace.folder_of("mlflow", "ui") / "server.log"
    server = _start(_command(workspace, port), log)
    try:
        url = f"http://{_HOST}:{port}"
        _wait_until_it_answers(server, url, log)
        announce_pages(workspace, url)
        print(f"MLflow shows {workspace.folder} at {url}{first_page(workspace)} (Ctrl-C ends it)", flush=True)  # noqa: T201
        server.wait()
        raise _ended(server, log)
    finally:
        _end(server)


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    silence()
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with disk_errors(log), log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=log.parent,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def _command(workspace: LocalWorkspace, port: int) -> Sequence[str]:
    """One worker, no job runner, and an answer to nobody but this machine's own names (against DNS rebinding)."""
    names = [f"{name}:{port}" for name in (_HOST, "localhost")]
    options = {
        "--backend-store-uri": workspace.mlflow_uri,
        "--default-artifact-root": workspace.mlflow_artifacts.as_uri(),
        "--host": _HOST,
        "--port": str(port),
        "--workers": "1",
        "--allowed-hosts": ",".join(names),
        "--cors-allowed-origins": ",".join(f"http://{name}" for name in names),
        "--uvicorn-opts": "--log-level warning",
    }
    words = [word for option in options.items() for word in option]
    return [sys.executable, "-P", "-m", "mlflow", "server", "--no-serve-artifacts", *words]


def _free_port(wanted: int) -> int:
    try:
        with socket.create_server((_HOST, wanted)) as probe:
            return int(probe.getsockname()[1])
    except (OSError, OverflowError):
        raise ConflictError(
            f"--port {wanted} can't be had on {_HOST}: it is taken, or not allowed; leave it out for a free one"
        ) from None


def _wait_until_it_answers(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise _ended(server, log)
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=5.0, **OPTIONS).is_success:
                return
        time.sleep(_POLL_SECONDS)
    raise BackendUnavailableError(f"MLflow's server did not answer at {url} within {_START_SECONDS:.0f} s; see {log}")


def _ended(server: subprocess.Popen[bytes], log: Path) -> BackendUnavailableError:
    last = next((line.strip() for line in reversed(last_lines(log, 20)) if line.strip()), "it wrote nothing")
    return BackendUnavailableError(f"MLflow's server ended with code {server.returncode}: {last}; see {log}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the whole session that the server leads."""
    for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(seconds)


if __name__ == "__main__":
    sys.exit(main())
