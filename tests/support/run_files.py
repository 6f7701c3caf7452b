"""A backend in memory whose runs have the files of a bundle's folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from support.memory_backend import MemoryBackend

BUNDLE = "outputs/bundle/"


class RunFiles(MemoryBackend):
    """Every run's `outputs/bundle` is this folder."""

    def __init__(self, bundle: Path) -> None:
        super().__init__()
        self._bundle = bundle

    def list_artifacts(self, run_id: str) -> Sequence[str]:
        return sorted(f"{BUNDLE}{path.name}" for path in self._bundle.iterdir())

    def download_artifact(self, run_id: str, path: str, to: Path) -> Path:
        return Path(shutil.copy(self._bundle / path.removeprefix(BUNDLE), to))
