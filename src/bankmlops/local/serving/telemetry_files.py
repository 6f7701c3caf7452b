"""What an endpoint recorded while it was told to: requests, and inputs with answers, each in a file that is rotated once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bankmlops.local.disk import disk_errors
from bankmlops.local.serving.container_files import state_folder

NAMES = ("telemetry.1.jsonl", "telemetry.jsonl", "collected.1.jsonl", "collected.jsonl")


def copy_telemetry(folder: Path, to: Path) -> Sequence[Path]:
    """Copy what there is into the folder `to`, oldest first; `folder` is the endpoint's own."""
    copied = []
    with disk_errors(to):
        to.mkdir(parents=True, exist_ok=True)
        for name in reversed(NAMES):  # the newest first: one that is rotated meanwhile is copied twice, and not left out
            for source in (folder / name, state_folder(folder) / name):  # a container writes into a folder of its own
                with suppress(FileNotFoundError):
                    copied.append(Path(shutil.copyfile(source, to / name)))
    return tuple(reversed(copied))
