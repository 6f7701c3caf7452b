"""Becomes a run's script, `python -m bankmlops.emulator.scripts.script_start PARENT`: what is to run is read from stdin, as JSON.

It first has the kernel end it with the emulator, and fetches the files of the datasets that the script gets as folders, with
Microsoft's own SDK and the run's own token.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence

from bankmlops.emulator.services.inference_server import end_with_parent


def main() -> None:
    """Fetch the inputs, and go on as the script."""
    end_with_parent(int(sys.argv[1]))
    order = json.load(sys.stdin)
    files = _fetch(order["folders"]) if order["folders"] else {}
    words = [_with_files(word, files, shlex.quote if order["isCommand"] else str) for word in order["words"]]
    os.environ.update({name: files[value] for name, value in os.environ.items() if value in files})
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execvp(words[0], words)  # noqa: S606 - the run's own words, by its own user


def _with_files(word: str, files: Mapping[str, str], written: Callable[[str], str]) -> str:
    """The word with the files in the place of their folders, each path as it is `written` there."""
    for folder, file in files.items():
        word = re.sub(re.escape(written(folder)) + r"(?![\w/])", written(file).replace("\\", r"\\"), word)
    return word


def _fetch(folders: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Fetch the datasets into their folders. Azure hands over a dataset of one file as that file: those by their folders."""
    from azureml.core import Dataset, Run

    workspace = Run.get_context(allow_offline=False).experiment.workspace
    files = {}
    for folder, (dataset_id, lone) in folders.items():
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()):  # the SDK prints what it does
            fetched = Dataset.get_by_id(workspace, dataset_id).download(folder, overwrite=True)
        if fetched == [os.path.join(folder, lone)]:
            files[folder] = fetched[0]
    return files


if __name__ == "__main__":
    main()
