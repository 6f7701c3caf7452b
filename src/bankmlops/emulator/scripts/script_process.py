"""The process of one script run: its folder from the snapshot, Azure's variables in its environment, its log, its end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bankmlops.emulator.history import runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.launch import FAMILY
from bankmlops.emulator.process_group import GRACE_SECONDS, end_group
from bankmlops.emulator.scripts import script_wrapper
from bankmlops.emulator.scripts.script_data import Input, Output
from bankmlops.emulator.scripts.script_files import bring
from bankmlops.emulator.scripts.script_jobs import ScriptJob
from bankmlops.emulator.scripts.script_request import REFERENCE, ScriptRequest, parse_script_request
from bankmlops.emulator.scripts.snapshots import lay_out_snapshot
from bankmlops.emulator.storage.dataflows import lone_file
from bankmlops.emulator.storage.datasets import find_dataflow
from bankmlops.emulator.surroundings import wire_variables
from bankmlops.emulator.web import tokens
from bankmlops.errors import InvalidRequestError

MAX_LOG_BYTES = 8 << 20
_GIVEN = "inputs"
_LEFT = "left"
_MODULE = "bankmlops.emulator.scripts.script_start"
_KEPT = ("LANG", "LC_ALL", "TMPDIR", "SSL_CERT_DIR", FAMILY)


class ScriptProcess:
    """A running script, and its group."""

    def __init__(self, workspace: WorkspaceState, job: ScriptJob) -> None:
        """Lay the snapshot out and start. Raises `InvalidRequestError`, `NotFoundError`. The calling thread must live on."""
        self.started = time.monotonic()
        self.request = parse_script_request(dict(job.configuration), job.run_id)
        self.home = workspace.emulator.folder / "scripts" / workspace.id / job.run_id
        self.root = self.home / "wd"
        self.log = self.home / "std_log.txt"
        shutil.rmtree(self.home, ignore_errors=True)
        try:
            self._lay_out(workspace, job)
            self._process = self._start(_order(workspace, self.request, self.root, self.home), _environment(workspace, job, self))
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise
        self._pump = threading.Thread(target=_copy, args=(self._process.stdout, self.log), name=f"log-{job.run_id}", daemon=True)
        self._pump.start()

    def output_path(self, output: Output) -> Path:
        """Where the script leaves an output."""
        return self.root / output.value(str(self.home / _LEFT))

    def _lay_out(self, workspace: WorkspaceState, job: ScriptJob) -> None:
        self.root.mkdir(parents=True, mode=0o700)
        lay_out_snapshot(workspace, job.snapshot_id, self.root)
        for each in self.request.inputs:
            if each.place:
                bring(workspace, each.place, self.home / _GIVEN / each.name)
        for output in self.request.outputs:
            path = self.output_path(output)
            (path if output.is_made else path.parent).mkdir(parents=True, exist_ok=True)

    @property
    def is_overdue(self) -> bool:
        """Whether it has run for longer than it may."""
        return time.monotonic() - self.started > self.request.seconds

    def exit_code(self) -> int | None:
        """The script's exit code, -N where signal N ended it; None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._pump.join(GRACE_SECONDS)
        return code

    def stop(self) -> None:
        """Ask the group to end, and end it after `GRACE_SECONDS`. Idempotent."""
        end_group(self._process, self._pump)

    def remove(self) -> None:
        """End what is left of it, and take its folder away."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def _start(self, order: Mapping[str, Any], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.root,
            env=dict(environment),
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(json.dumps(order).encode())
        return process


def _fetched(workspace: WorkspaceState, given: Input) -> tuple[str, str]:
    """A dataset that comes as a folder: its id, and the name of its only file, which the script gets in the folder's place."""
    return given.dataset_id, lone_file(find_dataflow(workspace, given.dataset_id))


def _order(workspace: WorkspaceState, request: ScriptRequest, root: Path, home: Path) -> dict[str, Any]:
    """What `script_start` reads: the words to run, whether the last is a shell's line, the datasets to fetch into folders."""
    folders = {str(home / _GIVEN / each.name): _fetched(workspace, each) for each in request.fetched}
    return {"words": _words(request, root, home), "isCommand": bool(request.command), "folders": folders}


def _words(request: ScriptRequest, root: Path, home: Path) -> list[str]:
    given, left = str(home / _GIVEN), str(home / _LEFT)
    if request.command:
        return [shutil.which("bash") or "/bin/sh", "-c", request.command_line(given, left)]
    if not (root / request.script).is_file():
        raise InvalidRequestError(f"the snapshot has no script {request.script}")
    return [
        sys.executable,
        script_wrapper.__file__,
        request.script,
        *(request.argument(word, given, left) for word in request.arguments),
    ]


def _environment(workspace: WorkspaceState, job: ScriptJob, process: ScriptProcess) -> dict[str, str]:
    """What Azure sets on a node, what the run asks for, and of the emulator's own variables those alone that a client needs."""
    home = process.home / "home"
    home.mkdir(mode=0o700)
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        **process.request.variables,
        **wire_variables(workspace.emulator.folder, workspace.emulator.addresses, os.environ, python_path=str(process.root)),
        **_run_variables(workspace, job),
        **_input_variables(process),
        **_output_variables(process),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "PYTHONUNBUFFERED": "1",
    }


def _run_variables(workspace: WorkspaceState, job: ScriptJob) -> dict[str, str]:
    """What `Run.get_context()` finds the run by: azureml-core, core/run.py, `_load_scope`."""
    base = workspace.emulator.base_url
    run = runs.get_run(workspace, job.run_id)
    return {
        "AZUREML_RUN_ID": job.run_id,
        "AZUREML_ROOT_RUN_ID": str(run["rootRunId"]),
        "AZUREML_ARM_SUBSCRIPTION": workspace.subscription_id,
        "AZUREML_ARM_RESOURCEGROUP": workspace.resource_group,
        "AZUREML_ARM_WORKSPACE_NAME": workspace.name,
        "AZUREML_ARM_PROJECT_NAME": job.experiment,
        "AZUREML_EXPERIMENT_ID": str(run["experimentId"]),
        "AZUREML_WORKSPACE_ID": workspace.id,
        "AZUREML_WORKSPACE_SCOPE": workspace.path,
        "AZUREML_EXPERIMENT_SCOPE": f"{workspace.path}/experiments/{job.experiment}",
        "AZUREML_SERVICE_ENDPOINT": base,
        "AZUREML_DISCOVERY_SERVICE_ENDPOINT": f"{base}/discovery",
        "AZUREML_RUN_TOKEN": tokens.issue(workspace.emulator, "https://ml.azure.com"),
        "AZUREML_RUN_TOKEN_EXPIRY": str(int(time.time()) + tokens.LIFETIME_SECONDS),
    }


def _input_variables(process: ScriptProcess) -> dict[str, str]:
    """What `run.input_datasets` is made of: azureml-core, core/run.py, `InputDatasets`; and the older variables of references."""
    inputs, folder = process.request.inputs, str(process.home / _GIVEN)
    values = {each.variable: each.value(folder) for each in inputs}
    references = {REFERENCE + name: each.value(folder) for each in inputs for name in (each.name, each.reference) if name}
    listed = ",".join(f"{each.variable}:{each.mechanism}" for each in inputs)
    return {**values, **references, "AZUREML_DATASET_ENVIRONMENT_VARS": listed} if inputs else {}


def _output_variables(process: ScriptProcess) -> dict[str, str]:
    """What `run.output_datasets` is made of: azureml-core, core/run.py, `OutputDatasets`."""
    values = {each.name: str(process.output_path(each)) for each in process.request.outputs}
    references = {REFERENCE + name: path for name, path in values.items()}
    return {**values, **references, "AZUREML_DATASET_FILE_OUTPUTS": ";".join(values)} if values else {}


def _copy(source: Iterable[bytes], log: Path) -> None:
    """Write the output until it ends; what goes beyond `MAX_LOG_BYTES` is read and dropped: nobody waits on a full pipe."""
    size = 0
    with log.open("ab", buffering=0) as file:
        for line in source:
            if size < MAX_LOG_BYTES:
                size += file.write(line[: MAX_LOG_BYTES - size])
                if size >= MAX_LOG_BYTES:
                    file.write(b"\n(the log is cut here: it has reached its bound)\n")
