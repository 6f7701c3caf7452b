"""Files that a command writes where a person said: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from bankmlops.datasets.whole_files import whole_file, write_errors


def write_page(path: Path, text: str) -> None:
    """Put the text into the file; its folder is made. Raises `BackendUnavailableError` where the disk refuses."""
    with write_errors(path), whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
