"""The process that calls a user's function: `python -m bankmlops.local.pipelines.function_process FOLDER`. It imports little.

The function is called with its inputs as keyword arguments (a file as a `pathlib.Path`) in an empty folder, and answers a mapping
of its outputs: text, numbers, true or false, what JSON can hold, or the path of a file that it wrote in that folder.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankmlops.local.disk import write_private_json

MODULE = "bankmlops.local.pipelines.function_process"
CALL, RESULT, OUTPUTS = "call.json", "result.json", "outputs"
_MAXIMUM_CHARACTERS = 64 * 1024


def main() -> None:
    """Make the call that `call.json` describes, and write what came of it."""
    folder = Path(sys.argv[1])
    call = json.loads((folder / CALL).read_text(encoding="utf-8"))
    os.chdir(folder / OUTPUTS)
    try:
        result = _answer(call, folder / OUTPUTS)
    except Exception as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"[:_MAXIMUM_CHARACTERS]}
    write_private_json(folder / RESULT, result)


def _answer(call: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    sys.path.insert(0, call["source"])
    module, _, name = call["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    arguments = {name: Path(each["path"]) if "path" in each else each["value"] for name, each in call["inputs"].items()}
    answered = function(**arguments)
    given = {} if answered is None else dict(answered)
    missing = [name for name in call["outputs"] if name not in given]
    unknown = [name for name in given if name not in call["outputs"]]
    if missing or unknown:
        what = f"did not give {missing[0]!r}" if missing else f"gave {unknown[0]!r}, which is none of its outputs"
        raise TypeError(f"{name} {what}")
    files = {name: _relative(value, folder) for name, value in given.items() if isinstance(value, Path)}
    return {"values": {name: _text(value) for name, value in given.items() if name not in files}, "files": files}


def _relative(path: Path, folder: Path) -> str:
    inside = (folder / path).resolve()
    if not inside.is_file() or not inside.is_relative_to(folder.resolve()):
        raise ValueError(f"{path} is no file in the folder that the function was called in")
    return inside.relative_to(folder.resolve()).as_posix()


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) > _MAXIMUM_CHARACTERS:
        raise ValueError(f"an output has {len(text)} characters, and may have {_MAXIMUM_CHARACTERS}; write a file")
    return text


if __name__ == "__main__":
    main()
