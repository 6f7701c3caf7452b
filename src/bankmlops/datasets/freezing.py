"""Freeze a table into an immutable folder: Parquet, schema and profile, named by a hash of the content and not of the file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bankmlops.datasets.profile import profile_of
from bankmlops.datasets.whole_files import make_folder, write_errors
from bankmlops.errors import ConflictError, InvalidRequestError

FORMAT = 1
DATA = "data.parquet"
SCHEMA = "schema.json"
PROFILE = "profile.json"


@dataclass(frozen=True, slots=True)
class FrozenTable:
    """A frozen table: its folder, the SHA-256 of its content, its number of rows and its column names."""

    folder: Path
    sha256: str
    rows: int
    columns: tuple[str, ...]

    @property
    def data(self) -> Path:
        """The Parquet file."""
        return self.folder / DATA


def content_sha256(table: pa.Table) -> str:
    """SHA-256 (hex) of names, types and values in order, the same whatever file or chunks the table came in.

    Of each column: its name and type, then all validity bytes, then all values (nulls as 0), where a text gives its length in
    bytes (int64, null is -1) and all texts follow; integers and floats as little-endian 64 bits.
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table.column(name)
        digest.update(json.dumps([name, str(column.type), len(column)]).encode())
        for part in _parts(column):
            digest.update(part)
    return digest.hexdigest()


def _parts(column: pa.ChunkedArray) -> Iterator[bytes]:
    if not pa.types.is_string(column.type):
        yield from (_bytes_of(chunk.is_valid(), "u1") for chunk in column.chunks)
        yield from (
            _bytes_of(_without_nulls(chunk), "u1" if pa.types.is_boolean(chunk.type) else "<i8") for chunk in column.chunks
        )
        return
    yield from (_bytes_of(pc.fill_null(pc.binary_length(chunk).cast(pa.int64()), -1), "<i8") for chunk in column.chunks)
    yield from (_text_bytes(chunk) for chunk in column.chunks)


def _without_nulls(chunk: pa.Array) -> pa.Array:
    zero = False if pa.types.is_boolean(chunk.type) else 0
    return pc.fill_null(chunk, pa.scalar(zero, chunk.type))


def _bytes_of(array: pa.Array, dtype: str) -> bytes:
    values = numpy.asarray(array.to_numpy(zero_copy_only=False))
    return bytes(values.astype("<f8" if values.dtype.kind == "f" else dtype).tobytes())


def _text_bytes(chunk: pa.Array) -> bytes:
    texts = pc.fill_null(chunk, "").cast(pa.large_string())
    if not len(texts):
        return b""
    texts = pa.concat_arrays([texts])  # drops the offset of a slice
    offsets = numpy.frombuffer(texts.buffers()[1], dtype=numpy.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = texts.buffers()[2]
    return bytes(memoryview(data)[offsets[0] : offsets[-1]]) if data is not None else b""


def freeze(table: pa.Table, folder: Path) -> FrozenTable:
    """Write `data.parquet`, `schema.json` and `profile.json` into `folder`: all of them or nothing, readable by the owner alone.

    A folder that already holds the same content is answered as it is. Raises `ConflictError` where it holds something else, and
    `BackendUnavailableError` where the disk refuses.
    """
    sha256 = content_sha256(table)
    with write_errors(folder):
        if not _holds_files(folder):
            with _temporary_sibling(folder) as temporary:
                pq.write_table(table, temporary / DATA, compression="zstd")
                _write_json(temporary / SCHEMA, _schema_of(table, sha256))
                _write_json(temporary / PROFILE, profile_of(table))
                _put_in_place(temporary, folder)
    return _same_content(folder, sha256)


def _holds_files(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())


def _put_in_place(temporary: Path, folder: Path) -> None:
    try:
        os.replace(temporary, folder)
    except OSError:
        if not _holds_files(folder):  # another process was faster: its content is compared next
            raise


def _same_content(folder: Path, sha256: str) -> FrozenTable:
    frozen = read_frozen(folder)
    if frozen.sha256 != sha256:
        raise ConflictError(f"{folder}: holds other content already; an immutable version is not written twice")
    return frozen


def read_frozen(folder: Path) -> FrozenTable:
    """What `freeze` wrote. Raises `InvalidRequestError` where the folder holds something else."""
    try:
        schema = json.loads((folder / SCHEMA).read_text(encoding="utf-8"))
        columns = tuple(column["name"] for column in schema["columns"])
        return FrozenTable(folder, schema["sha256"], schema["rows"], columns)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{folder}: not a frozen table ({error})") from error


def _schema_of(table: pa.Table, sha256: str) -> dict[str, Any]:
    columns = [
        {"name": name, "type": str(table.schema.field(name).type), "nullable": bool(table.column(name).null_count)}
        for name in table.column_names
    ]
    return {"format": FORMAT, "sha256": sha256, "rows": table.num_rows, "columns": columns}


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def _temporary_sibling(folder: Path) -> Iterator[Path]:
    make_folder(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".freezing-", dir=folder.parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
