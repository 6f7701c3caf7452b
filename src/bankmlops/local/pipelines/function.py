"""The function step: a user's own function, called in a process of its own that is ended when its time is up.

`function_process` is that process; between them lie `call.json` and `result.json` in the step's folder.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankmlops.errors import RunFailedError
from bankmlops.local.disk import write_private_json
from bankmlops.local.pipelines.files import file_output, path_of, read_file_output
from bankmlops.local.pipelines.function_process import CALL, MODULE, RESULT
from bankmlops.local.pipelines.sources import source_folder
from bankmlops.local.pipelines.steps import Outputs, StepContext
from bankmlops.local.processes import ProcessIdentity, is_alive, kill_family, start_detached

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
_AT_ONCE = {"PYTHONUNBUFFERED": "1"}  # what it prints is in the log while it works, and before what it fails with
_POLL_SECONDS = 0.2
_MAXIMUM_LOG_BYTES = 64 * 1024 * 1024


def call_function(context: StepContext, _outputs: Outputs) -> Outputs:
    """Call the function anew; what an attempt before a crash still runs is ended first."""
    folder = context.folder.make()
    kill_family(folder)
    (folder / RESULT).unlink(missing_ok=True)
    outputs = context.folder.outputs()
    write_private_json(folder / CALL, _call(context))
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _AT_ONCE
    process = start_detached(MODULE, [str(folder)], context.folder.log, folder, environment)
    try:
        _follow(context, process)
    finally:
        kill_family(folder)
    return _read(context, folder / RESULT, outputs)


def _call(context: StepContext) -> Mapping[str, Any]:
    return {
        "source": str(source_folder(context.workspace, context.step.source)),
        "function": context.step.function,
        "inputs": {name: _argument(context, value) for name, value in context.inputs.items()},
        "outputs": list(context.step.outputs),
    }


def _argument(context: StepContext, value: Any) -> Mapping[str, Any]:
    file = read_file_output(value)
    return {"value": value} if file is None else {"path": str(path_of(context.workspace, file))}


def _follow(context: StepContext, process: ProcessIdentity) -> None:
    while is_alive(process):
        context.check()
        if context.folder.log.stat().st_size > _MAXIMUM_LOG_BYTES:
            raise RunFailedError(f"the function printed more than {_MAXIMUM_LOG_BYTES // 1024 // 1024} MiB and was ended")
        time.sleep(_POLL_SECONDS)


def _read(context: StepContext, result: Path, outputs: Path) -> Outputs:
    try:
        document = json.loads(result.read_text(encoding="utf-8"))
    except FileNotFoundError:
        last = next((line for line in reversed(context.folder.lines()) if line.strip()), "it was killed")
        raise RunFailedError(f"{context.step.function} ended without a result: {last.strip()}") from None
    if "error" in document:
        raise RunFailedError(f"{context.step.function}: {document['error']}")
    files = {name: str(file_output(context.workspace, outputs / path)) for name, path in document["files"].items()}
    return {**document["values"], **files}
