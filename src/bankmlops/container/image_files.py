"""The files that the scoring image is built from: its Dockerfile, its lock, and what of this package scores.

The image's tag is a digest of all of them, so an image that is there is the one that would be built.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import bankmlops

REPOSITORY = "bankmlops-scoring"
BASE_IMAGE = "python:3.11-slim"
LOCK = "requirements/scoring.txt"
USER = 10001
_HERE = Path(__file__).parent
_PACKAGE = Path(bankmlops.__file__).parent
_MODULES = ("__init__.py", "errors.py")
_ROOMS = ("features", "scoring", "types")


def image_name() -> str:
    """Repository and tag of the image that `write_context` describes."""
    digest = hashlib.sha256()
    for target, source in sorted(_files()):
        digest.update(f"{target}\0{hashlib.sha256(source.read_bytes()).hexdigest()}\n".encode())
    return f"{REPOSITORY}:{digest.hexdigest()[:16]}"


def write_context(folder: Path) -> None:
    """Copy the files into `folder`, readable for whoever the image's user is; a `wheelhouse` beside them is used by the build."""
    for target, source in _files():
        copy = folder / target
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _files() -> Iterator[tuple[str, Path]]:
    yield "Dockerfile", _HERE / "scoring.Dockerfile"
    yield LOCK, _HERE / "scoring.txt"
    for path in _sources():
        yield f"src/bankmlops/{path.relative_to(_PACKAGE).as_posix()}", path


def _sources() -> Iterator[Path]:
    yield from (_PACKAGE / name for name in _MODULES)
    for room in _ROOMS:
        yield from (path for path in (_PACKAGE / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
