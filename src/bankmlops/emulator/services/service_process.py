"""The process behind one service: started on a socket of its own, asked whether it is well, ended with all that it started."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.process_group import GRACE_SECONDS, end_group
from bankmlops.emulator.services import service_log
from bankmlops.emulator.services.deployments import IMAGE, folder_of, log_of
from bankmlops.emulator.services.service_files import lay_out, model_folder
from bankmlops.emulator.state import Document

HOST = "127.0.0.1"
HEALTH_SECONDS = 0.5
_MODULE = "bankmlops.emulator.services.inference_server"
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_DIR", "BANKMLOPS_EMULATOR_FAMILY")
_SERVER = "azureml_inference_server_http."
_COMPLAINT = re.compile(r"[\w.]*(Error|Exception)\b.*|.*(does not have a|Failed to import).*")


class ServiceProcess:
    """A running process of Microsoft's inference server, and its group."""

    def __init__(self, workspace: WorkspaceState, service: Document, generation: str) -> None:
        """Lay the files out and start. Raises what `lay_out` raises. The calling thread must live as long as the process."""
        self.generation = generation
        self.started = time.monotonic()
        self.is_healthy = False
        self.log = log_of(workspace, service["name"])
        folder_of(workspace, service["name"]).mkdir(parents=True, exist_ok=True, mode=0o700)
        root = lay_out(workspace, service[IMAGE], folder_of(workspace, service["name"]))
        environment = _environment(workspace, service, root)
        with socket.socket() as listener:
            listener.bind((HOST, 0))
            self.port: int = listener.getsockname()[1]
            self._process = _start(listener, root, environment)
        assert self._process.stdout is not None  # noqa: S101
        arguments = (self._process.stdout, self.log)
        self._pump = threading.Thread(target=service_log.copy, args=arguments, name=f"log-{service['name']}", daemon=True)
        self._pump.start()

    @property
    def has_ended(self) -> bool:
        """Whether the server is gone."""
        return self._process.poll() is not None

    def answers(self) -> bool:
        """Whether the health check says that all is well."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=HEALTH_SECONDS)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def complaint(self) -> str:
        """The last line of the log that looks like a reason to have ended; the user's own before the server's word on it."""
        self._pump.join(GRACE_SECONDS)
        lines = [line.strip() for line in service_log.tail(self.log, 200).splitlines() if line.strip()]
        complaints = [line for line in lines if _COMPLAINT.fullmatch(line)]
        own = [line for line in complaints if not line.startswith(_SERVER)]
        return [*(lines[-1:] or ["it ended without a word"]), *complaints[-1:], *own[-1:]][-1]

    def stop(self) -> None:
        """Ask the group to end, and end it after `GRACE_SECONDS`. Idempotent."""
        end_group(self._process, self._pump)


def _start(listener: socket.socket, root: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    descriptor = listener.fileno()
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(descriptor), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=root,
        env=dict(environment),
        pass_fds=(descriptor,),
        start_new_session=True,
    )


def _environment(workspace: WorkspaceState, service: Document, root: Path) -> dict[str, str]:
    """What Azure sets in the container, what the user's environment defines, and nothing of the emulator's own."""
    image: Mapping[str, Any] = service[IMAGE]
    defined = (image.get("environment") or {}).get("environmentVariables") or {}
    cores = float((service.get("containerResourceRequirements") or {}).get("cpu") or 1.0)
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        **{str(name): str(value) for name, value in defined.items()},
        "HOME": str(root.parent),
        "PYTHONPATH": str(root),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(max(1, round(cores))),
        "AML_APP_ROOT": str(root),
        "AZUREML_MODEL_DIR": str(model_folder(workspace, image, root)),
        "SERVICE_NAME": str(service["name"]),
        "WORKSPACE_NAME": workspace.name,
    }
