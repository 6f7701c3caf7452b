"""Marks the checks of a script by the SDK's calls that they prove, and runs them one after the other in one process.

Importing the SDK takes seconds, so a script holds many checks. They know nothing of an emulator.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from azureml.core import Workspace

Check = Callable[[Workspace], None]
_CHECKS: list[Check] = []


def sdk_call(*names: str) -> Callable[[Check], Check]:
    """The decorated check proves these calls, written "Class.method"; docs/sdk-coverage.md is made of them."""
    assert names, "name the calls"

    def register(check: Check) -> Check:
        _CHECKS.append(check)
        return check

    return register


def raised(call: Callable[[], object]) -> str:
    """The message of what the SDK raises."""
    try:
        call()
    except Exception as error:
        return str(error)
    raise AssertionError("nothing was raised")


def main() -> None:
    """Run all, or those named behind the first argument, which is a file for what became of each: "" or a traceback."""
    wanted = sys.argv[2:]
    workspace = Workspace.from_config()
    outcomes = {}
    for check in _CHECKS:
        if not wanted or check.__name__ in wanted:
            begun = time.monotonic()
            outcomes[check.__name__] = _outcome(check, workspace)
            sys.stderr.write(f"{check.__name__}: {time.monotonic() - begun:.1f} s\n")
            Path(sys.argv[1]).write_text(json.dumps(outcomes), "utf-8")


def _outcome(check: Check, workspace: Workspace) -> str:
    try:
        check(workspace)
    except Exception:
        return traceback.format_exc()
    return ""
