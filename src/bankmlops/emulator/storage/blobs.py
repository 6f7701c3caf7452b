"""The bytes behind Azure blob storage: files on disk, named by nothing a client chose, and a table of what they are."""

from __future__ import annotations

import base64
import hashlib
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from bankmlops.emulator.state import Store
from bankmlops.errors import InvalidRequestError

MAX_BLOB_BYTES = 8 << 30

_SCHEMA = """
CREATE TABLE IF NOT EXISTS blobs (
  account TEXT NOT NULL, container TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, md5 TEXT NOT NULL,
  etag TEXT NOT NULL, modified REAL NOT NULL, content_type TEXT NOT NULL, file TEXT NOT NULL,
  PRIMARY KEY (account, container, name)) WITHOUT ROWID
"""
_BLOCK_SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (
  account TEXT NOT NULL, container TEXT NOT NULL, name TEXT NOT NULL, block TEXT NOT NULL, size INTEGER NOT NULL,
  file TEXT NOT NULL, PRIMARY KEY (account, container, name, block)) WITHOUT ROWID
"""
_LAST_CHARACTER = chr(0x10FFFF)  # Unicode's last, which stands for no character
_COLUMNS = "account, container, name, size, md5, etag, modified, content_type, file"
_SELECT = f"SELECT {_COLUMNS} FROM blobs WHERE account = ? AND container = ?"  # noqa: S608  no part of it is a client's
_INSERT = f"INSERT OR REPLACE INTO blobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


@dataclass(frozen=True, slots=True)
class BlobName:
    """Where a blob lives."""

    account: str
    container: str
    name: str


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored blob; `md5` is base64, as the wire has it."""

    account: str
    container: str
    name: str
    size: int
    md5: str
    etag: str
    modified: datetime
    content_type: str
    path: Path


@dataclass(slots=True)
class Incoming:
    """Bytes that are arriving, not yet anybody's blob."""

    path: Path
    file: IO[bytes]
    size: int = 0
    digest: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    def write(self, chunk: bytes) -> None:
        """Take one more piece. Raises `InvalidRequestError` beyond `MAX_BLOB_BYTES`."""
        self.size += len(chunk)
        if self.size > MAX_BLOB_BYTES:
            raise InvalidRequestError(f"a blob may have {MAX_BLOB_BYTES} bytes at most")
        self.digest.update(chunk)
        self.file.write(chunk)

    @property
    def md5(self) -> str:
        """The MD5 of what has arrived, base64."""
        return base64.b64encode(self.digest.digest()).decode()

    def discard(self) -> None:
        """Forget it. Not for one that became a blob or a block: its file is theirs."""
        self.file.close()
        self.path.unlink(missing_ok=True)


class BlobStore:
    """Every blob of every storage account of this emulator."""

    def __init__(self, store: Store, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._store = store
        self._folder = folder
        store.execute(_SCHEMA)
        store.execute(_BLOCK_SCHEMA)

    def receive(self) -> Incoming:
        """Begin to take bytes; hand the result to `keep` or `stage_block`, or `discard` it."""
        path = self._folder / secrets.token_hex(16)
        return Incoming(path, path.open("xb"))

    def keep(self, incoming: Incoming, name: BlobName, content_type: str = "application/octet-stream") -> Blob:
        """Make what arrived the blob of this name, in place of what was there."""
        incoming.file.close()
        row = (
            name.account, name.container, name.name, incoming.size, incoming.md5, f'"0x{secrets.token_hex(8).upper()}"',
            datetime.now(UTC).timestamp(), content_type, str(incoming.path.relative_to(self._folder)),
        )  # fmt: skip
        with self._store.transaction():
            replaced = self._rows(name)
            self._store.execute(_INSERT, row)
        for blob in replaced:
            blob.path.unlink(missing_ok=True)
        return self._blob(row)

    def put(self, name: BlobName, content: bytes, content_type: str = "application/octet-stream") -> Blob:
        """Store these bytes."""
        with self._receiving() as incoming:
            incoming.write(content)
            return self.keep(incoming, name, content_type)

    def put_file(self, name: BlobName, path: Path, content_type: str = "application/octet-stream") -> Blob:
        """Store a copy of this file."""
        with self._receiving() as incoming, path.open("rb") as source:
            while chunk := source.read(1 << 20):
                incoming.write(chunk)
            return self.keep(incoming, name, content_type)

    def get(self, name: BlobName) -> Blob | None:
        """The blob, or None."""
        rows = self._rows(name)
        return rows[0] if rows else None

    def find(self, account: str, container: str, prefix: str = "") -> list[Blob]:
        """The blobs whose names begin with `prefix`, by name."""
        rows = self._store.execute(
            f"{_SELECT} AND name >= ? AND name < ? ORDER BY name",
            (account, container, prefix, prefix + _LAST_CHARACTER),
        )
        return [self._blob(row) for row in rows]

    def delete(self, name: BlobName) -> bool:
        """Take it away; False where it was not there."""
        with self._store.transaction():
            rows = self._rows(name)
            self._store.execute("DELETE FROM blobs WHERE account = ? AND container = ? AND name = ?", _key(name))
        for blob in rows:
            blob.path.unlink(missing_ok=True)
        return bool(rows)

    def stage_block(self, incoming: Incoming, name: BlobName, block: str) -> None:
        """Keep one block of a large blob until `commit_blocks`."""
        incoming.file.close()
        row = (*_key(name), block, incoming.size, str(incoming.path.relative_to(self._folder)))
        with self._store.transaction():
            replaced = self._store.execute(
                "SELECT file FROM blocks WHERE account = ? AND container = ? AND name = ? AND block = ?", (*_key(name), block)
            )
            self._store.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, ?)", row)
        for (file,) in replaced:
            (self._folder / file).unlink(missing_ok=True)

    def staged_blocks(self, name: BlobName) -> list[tuple[str, int]]:
        """The ids and sizes of the blocks that are not committed."""
        rows = self._store.execute(
            "SELECT block, size FROM blocks WHERE account = ? AND container = ? AND name = ? ORDER BY block", _key(name)
        )
        return [(str(block), int(size)) for block, size in rows]

    def commit_blocks(self, name: BlobName, blocks: Sequence[str], content_type: str) -> Blob:
        """Join staged blocks, in this order, into the blob. Raises `InvalidRequestError` for a block that was never sent."""
        staged = dict(
            self._store.execute("SELECT block, file FROM blocks WHERE account = ? AND container = ? AND name = ?", _key(name))
        )
        missing = [block for block in blocks if block not in staged]
        if missing:
            raise InvalidRequestError(f"blob {name.container}/{name.name}: block {missing[0]} of the list was never sent")
        with self._receiving() as incoming:
            for block in blocks:
                with (self._folder / staged[block]).open("rb") as source:
                    while chunk := source.read(1 << 20):
                        incoming.write(chunk)
            blob = self.keep(incoming, name, content_type)
        self._store.execute("DELETE FROM blocks WHERE account = ? AND container = ? AND name = ?", _key(name))
        for file in staged.values():
            (self._folder / file).unlink(missing_ok=True)
        return blob

    def copy_to(self, blob: Blob, path: Path) -> Path:
        """Copy the blob's bytes to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(blob.path, path))

    @contextmanager
    def _receiving(self) -> Iterator[Incoming]:
        incoming = self.receive()
        try:
            yield incoming
        except BaseException:
            incoming.discard()
            raise

    def _rows(self, name: BlobName) -> list[Blob]:
        rows = self._store.execute(f"{_SELECT} AND name = ?", _key(name))
        return [self._blob(row) for row in rows]

    def _blob(self, row: tuple[Any, ...]) -> Blob:
        account, container, name, size, md5, etag, modified, content_type, file = row
        moment = datetime.fromtimestamp(modified, UTC)
        return Blob(account, container, name, size, md5, etag, moment, content_type, self._folder / file)


def _key(name: BlobName) -> tuple[str, str, str]:
    return (name.account, name.container, name.name)
