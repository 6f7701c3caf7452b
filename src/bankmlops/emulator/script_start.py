"""Becomes a run's script, `python -m bankmlops.emulator.script_start PARENT`: what is to run is read from stdin, as JSON.

It first has the kernel end it with the emulator, and fetches the files of the datasets that the script gets as folders, with
Microsoft's own SDK and the run's own token.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from bankmlops.emulator.inference_server import end_with_parent


def main() -> None:
    """Fetch the inputs, and go on as the script."""
    end_with_parent(int(sys.argv[1]))
    order = json.load(sys.stdin)
    if order["folders"]:
        _fetch(order["folders"])
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execvp(order["words"][0], order["words"])  # noqa: S606 - the run's own words, by its own user


def _fetch(folders: Mapping[str, str]) -> None:
    from azureml.core import Dataset, Run

    workspace = Run.get_context(allow_offline=False).experiment.workspace
    for folder, dataset_id in folders.items():
        os.makedirs(folder, mode=0o700, exist_ok=True)
        Dataset.get_by_id(workspace, dataset_id).download(folder, overwrite=True)


if __name__ == "__main__":
    main()
