"""Where the data comes from: what you name, what the environment names, the cache, a checked download, or a stand-in, loudly."""

from __future__ import annotations

import hashlib
import logging
import time
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

from bankmlops.datasets.progress import Progress, silent
from bankmlops.datasets.reading import read_errors
from bankmlops.datasets.synthetic import synthesize
from bankmlops.datasets.whole_files import whole_file, write_errors
from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from bankmlops.types import DataSource

PUBLIC_URL = "https://automlsamplenotebookdata.blob.core.windows.net/automl-sample-notebook-data/bankmarketing_train.csv"
PUBLIC_SHA256 = "8486deac8524001363f4257f3ece9cb6126beac8070b6b4b8c6e63713217a502"
FILE_NAME = "bankmarketing_train.csv"
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
SYNTHETIC_ROWS = 32_950
SYNTHETIC_SEED = 42
MAXIMUM_BYTES = 64 << 20
CONNECT_SECONDS = 10.0
DOWNLOAD_SECONDS = 120.0
CHUNK_BYTES = 1 << 16

logger = logging.getLogger("bankmlops")


def find_source(
    data: Path | None,
    environ: Mapping[str, str],
    cache: Path,
    *,
    url: str = PUBLIC_URL,
    sha256: str = PUBLIC_SHA256,
    on_progress: Progress = silent,
) -> DataSource:
    """The table to use, in this order: `data`; `BANKMLOPS_DATA` (a file or a folder); the file in `cache`; a download of `url`
    into it, whose SHA-256 must be `sha256`; a synthetic stand-in, announced by a warning.

    `BANKMLOPS_OFFLINE=1` leaves the download out. `on_progress` takes the bytes read and the total (0: unknown). Raises
    `InvalidRequestError` where what was named is not there, `BackendUnavailableError` where `cache` can't be written.
    """
    if data is not None:
        return DataSource(_named(data, "--data"), description="named by --data")
    if environ.get("BANKMLOPS_DATA"):
        return DataSource(_named(Path(environ["BANKMLOPS_DATA"]), "BANKMLOPS_DATA"), description="named by BANKMLOPS_DATA")
    cached = cache / FILE_NAME
    if _is_public_file(cached, sha256):
        return DataSource(cached, description="the cached public file")
    return _downloaded(cached, url, sha256, environ, on_progress) or _stand_in(cache)


def _named(path: Path, option: str) -> Path:
    with read_errors(path):
        path = _with_home(path, option)
        if path.is_dir():
            return _only_table(path, option)
        if not path.exists():
            raise InvalidRequestError(f"{option} {path}: no such file or folder; a CSV or Parquet file would serve")
    return path


def _with_home(path: Path, option: str) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InvalidRequestError(f"{option} {path}: no such user; a CSV or Parquet file would serve") from error


def _only_table(folder: Path, option: str) -> Path:
    if (folder / FILE_NAME).is_file():
        return folder / FILE_NAME
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(tables) == 1:
        return tables[0]
    found = "no CSV or Parquet file" if not tables else f"{len(tables)} tables ({', '.join(path.name for path in tables[:5])})"
    raise InvalidRequestError(f"{option} {folder}: {found}; name one file, or a folder that holds {FILE_NAME}")


def _downloaded(cached: Path, url: str, sha256: str, environ: Mapping[str, str], on_progress: Progress) -> DataSource | None:
    if environ.get("BANKMLOPS_OFFLINE") == "1":
        logger.warning("BANKMLOPS_OFFLINE is set: the public file is not downloaded")
        return None
    try:
        download(url, cached, sha256, on_progress=on_progress)
    except BackendUnavailableError as error:
        logger.warning("%s", error)
        return None
    return DataSource(cached, description="downloaded from its public address")


def download(
    url: str,
    to: Path,
    sha256: str,
    *,
    maximum_bytes: int = MAXIMUM_BYTES,
    on_progress: Progress = silent,
) -> None:
    """Fetch `url` into the file `to`, whole and with this SHA-256, or not at all. Raises `BackendUnavailableError`."""
    with write_errors(to), whole_file(to) as partial:
        try:
            found = _fetch(url, partial, maximum_bytes, on_progress)
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise BackendUnavailableError(f"{url}: not downloaded ({reason})") from error
        if found != sha256:
            raise BackendUnavailableError(f"{url}: the download has SHA-256 {found} where {sha256} was expected")


def _fetch(url: str, to: Path, maximum_bytes: int, on_progress: Progress) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("an http or https address would serve")
    digest = hashlib.sha256()
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as response, to.open("wb") as file:  # noqa: S310 - http alone, as checked
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while chunk := response.read1(CHUNK_BYTES):  # what is there: a slow server still meets the deadline
            done += len(chunk)
            if done > maximum_bytes:
                raise ValueError(f"more than {maximum_bytes} bytes")
            if time.monotonic() > deadline:
                raise ValueError(f"not done within {DOWNLOAD_SECONDS:.0f} s")
            digest.update(chunk)
            file.write(chunk)
            on_progress(done, total)
    if done < total:
        raise ValueError(f"it ended after {done} of {total} bytes")
    return digest.hexdigest()


def _stand_in(cache: Path) -> DataSource:
    path = cache / f"synthetic-{SYNTHETIC_ROWS}-{SYNTHETIC_SEED}.parquet"
    logger.warning(
        "SYNTHETIC DATA: the real Bank Marketing file is not here; %d generated rows stand in for it, and every report says so",
        SYNTHETIC_ROWS,
    )
    if not path.is_file():
        synthesize(path, SYNTHETIC_ROWS, SYNTHETIC_SEED)
    return DataSource(path, synthetic=True, description=f"generated: {SYNTHETIC_ROWS} rows, seed {SYNTHETIC_SEED}")


def _is_public_file(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with read_errors(path), path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        logger.warning("%s: its SHA-256 is not that of the public file; it is left out", path)
    return found == sha256
