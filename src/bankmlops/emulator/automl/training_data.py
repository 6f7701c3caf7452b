"""The table behind a dataset's id: the dataflow's paths are found among the blobs, and Microsoft's own reader does the rest."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from bankmlops.emulator.instance import BLOB_SUFFIX, WorkspaceState
from bankmlops.emulator.storage.blobs import Blob
from bankmlops.emulator.storage.dataflows import GLOB_SIGNS, parse_dataflow, paths_of
from bankmlops.emulator.storage.datasets import find_dataflow
from bankmlops.emulator.storage.datastores import get_datastore
from bankmlops.errors import InvalidRequestError, NotFoundError

READING_SECONDS = 600.0
DOWNLOAD_SECONDS = 600.0
MAX_DOWNLOAD_BYTES = 2 << 30
_SILENCE_SECONDS = 30.0
_DATASTORE_PATH = re.compile(r"azureml://.*?/?datastores/(?P<datastore>[^/]+)/paths/(?P<path>.*)", re.IGNORECASE)
_WASB_PATH = re.compile(rf"wasbs?://(?P<container>[^@]+)@(?P<account>[^.]+){re.escape(BLOB_SUFFIX)}/(?P<path>.*)")
_BLOB_ADDRESS = re.compile(
    rf"https?://(?P<account>[^./]+){re.escape(BLOB_SUFFIX)}/(?P<container>[^/?#]+)/(?P<path>[^?#]*)([?#].*)?"
)
_WEB_ADDRESS = re.compile(r"https?://\S+")
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")


@dataclass(slots=True)
class Budget:
    """What the downloads of one dataset may still take: bytes, and the time until `deadline` (of the monotonic clock)."""

    bytes_left: int = field(default_factory=lambda: MAX_DOWNLOAD_BYTES)
    deadline: float = field(default_factory=lambda: time.monotonic() + DOWNLOAD_SECONDS)

    @property
    def patience(self) -> float:
        """For how many seconds a server may be silent."""
        return max(0.001, min(_SILENCE_SECONDS, self.deadline - time.monotonic()))

    def take(self, size: int) -> None:
        """Count bytes that came. Raises `InvalidRequestError` where they are too many or too late."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise InvalidRequestError(f"the dataset's downloads have more than {MAX_DOWNLOAD_BYTES} bytes")
        if time.monotonic() > self.deadline:
            raise InvalidRequestError(f"the dataset's downloads took longer than {DOWNLOAD_SECONDS:g} s")


@contextmanager
def dataset_file(workspace: WorkspaceState, dataset_id: str) -> Iterator[Path]:
    """The dataset's rows as a Parquet file that is there inside the `with`.

    Raises `NotFoundError` for a dataset or a file that is lost, `InvalidRequestError` for one that can't be read as a table.
    """
    folder = workspace.emulator.folder / "reading" / secrets.token_hex(8)
    folder.mkdir(parents=True, mode=0o700)
    try:
        dataflow = parse_dataflow(find_dataflow(workspace, dataset_id))
        files: list[Path] = []
        budget = Budget()
        for address in paths_of(dataflow):
            files += _files(workspace, address, folder, len(files), budget)
        dataflow["paths"] = [{"pattern": f"file://{file}"} for file in files]
        yield _read(dataflow, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _files(workspace: WorkspaceState, address: str, folder: Path, number: int, budget: Budget) -> list[Path]:
    """The files that one address of the dataflow means, in `folder`, numbered from `number` on."""
    if _WEB_ADDRESS.fullmatch(address) and not _is_emulated(workspace, address):
        return [_download(address, folder / _file_name(_shown(address), number), budget)]
    account, container, path = locate(workspace, address)
    if not workspace.emulator.has_account(account):
        url = f"https://{account}{BLOB_SUFFIX}/{container}/{quote(path)}"
        return [_download(url, folder / _file_name(path, number), budget)]
    fixed = GLOB_SIGNS.split(path, maxsplit=1)[0]
    candidates = workspace.emulator.blobs.find(account, container, fixed)
    found = [blob for blob in candidates if blob.size and _is_meant(blob.name, path)]
    if not found:
        raise NotFoundError(f"the dataset's file {path} is not in container {container} of storage account {account}")
    return [_link(blob, folder / _file_name(blob.name, number + each)) for each, blob in enumerate(found)]


def _is_emulated(workspace: WorkspaceState, address: str) -> bool:
    blob = _BLOB_ADDRESS.fullmatch(address)
    return blob is not None and workspace.emulator.has_account(blob["account"])


def _download(url: str, file: Path, budget: Budget) -> Path:
    """A file of the web, or a public blob of the real cloud, such as Microsoft's samples read."""
    import httpx

    try:
        budget.take(0)
        with httpx.stream("GET", url, timeout=budget.patience, follow_redirects=True) as answer, file.open("xb") as target:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                budget.take(len(chunk))
                target.write(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Without its cause, which names the address with the signature or token that may be in its query.
        status = f"status {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        raise NotFoundError(f"the dataset's file {_shown(url)} is not the emulator's, and can't be read: {status}") from None
    except InvalidRequestError as error:
        raise InvalidRequestError(f"the dataset's file {_shown(url)} can't be read: {error}; upload what is needed") from error
    return file


def _shown(url: str) -> str:
    """An address without what may be secret in it: a password, and the signature or token of a query."""
    return re.sub(r"//[^/@]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])


def locate(workspace: WorkspaceState, address: str) -> tuple[str, str, str]:
    """The storage account, the container and the path that an address of a datastore or of blob storage means.

    Raises `NotFoundError` for an unknown datastore, `InvalidRequestError` for another kind of storage.
    """
    if match := _DATASTORE_PATH.fullmatch(address):
        section = get_datastore(workspace, match["datastore"])["azureStorageSection"]
        return section["accountName"], section["containerName"], unquote(match["path"]).lstrip("/")
    if match := _WASB_PATH.fullmatch(address) or _BLOB_ADDRESS.fullmatch(address):
        return match["account"], match["container"], unquote(match["path"])
    raise InvalidRequestError(f"the dataset's file {address} is not in blob storage, which is all that the emulator has")


def _is_meant(name: str, path: str) -> bool:
    if GLOB_SIGNS.search(path):
        return fnmatchcase(name, path)
    return name == path or not path or name.startswith(path.rstrip("/") + "/")


def _file_name(name: str, number: int) -> str:
    # No part of the name is the client's, but for the suffix that tells the reader about compression.
    suffix = Path(name).suffix
    return f"{number:06d}{suffix if suffix[1:].isalnum() else ''}"


def _link(blob: Blob, file: Path) -> Path:
    os.link(blob.path, file)
    return file


def _read(dataflow: dict[str, Any], folder: Path) -> Path:
    target = folder / "table.parquet"
    done = _run_reader(dataflow, folder, target)
    if done.returncode < 0:  # a crash of its native part, which another attempt seldom meets
        done = _run_reader(dataflow, folder, target)
    if done.returncode or not target.exists():
        lines = done.stderr.strip().splitlines() or [f"the reader died without a word, code {done.returncode}"]
        raise InvalidRequestError(f"the dataset can't be read as a table: {lines[-1]}")
    return target


def _run_reader(dataflow: dict[str, Any], folder: Path, target: Path) -> subprocess.CompletedProcess[str]:
    import yaml

    try:
        return subprocess.run(
            [sys.executable, "-P", "-m", "bankmlops.emulator.storage.dataset_reader", str(target)],
            input=yaml.safe_dump(dataflow, sort_keys=False),
            env={**{name: os.environ[name] for name in _KEPT if name in os.environ}, "HOME": str(folder)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=READING_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidRequestError(f"the dataset could not be read within {READING_SECONDS:.0f} s") from error
