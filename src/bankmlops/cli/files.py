"""Files that a command writes where a person said: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from bankmlops.datasets.whole_files import make_folder, whole_file, write_errors


def write_page(path: Path, text: str) -> None:
    """Put the text into the file; its folder is made. Raises `BackendUnavailableError` where the disk refuses."""
    with write_errors(path), whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_private_page(path: Path, text: str) -> None:
    """The same for its owner alone (0600); so is its folder (0700), if it is made. Raises the same."""
    with write_errors(path):
        make_folder(path.parent, 0o700)
        with whole_file(path) as partial:
            partial.chmod(0o600)
            partial.write_text(text, encoding="utf-8")
