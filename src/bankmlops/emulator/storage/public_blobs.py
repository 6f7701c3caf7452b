"""Public blobs of other storage accounts, such as Microsoft's samples read, out of a folder of one's own.

`FOLDER/ACCOUNT/CONTAINER/PATH` is answered as `https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH`, to be read by anybody and
written by nobody.
"""

from __future__ import annotations

import re
from pathlib import Path

from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.storage.blobs import BlobName
from bankmlops.errors import InvalidRequestError, NotFoundError

MAX_FILES = 1000
MAX_BYTES = 2 << 30
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_LAYOUT = "ACCOUNT/CONTAINER/PATH"


def publish(emulator: Emulator, folder: Path) -> int:
    """Store a copy of each file as a public blob, in place of all that was public before, and answer how many there are.

    Raises `NotFoundError` where there is no such folder, `InvalidRequestError` for a file whose place means no blob.
    """
    if not folder.is_dir():
        raise NotFoundError(f"--public-blobs {folder}: there is no such folder; make one of files at {_LAYOUT}")
    names = {path: _blob_name(emulator, path.relative_to(folder)) for path in _files(folder)}
    emulator.remove_public_accounts()
    for account in {name.account for name in names.values()}:
        emulator.add_public_account(account, {name.container for name in names.values() if name.account == account})
    for path, name in names.items():
        emulator.blobs.put_file(name, path)
    return len(names)


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(found) > MAX_FILES:
        raise InvalidRequestError(f"--public-blobs {folder}: {len(found)} files; at most {MAX_FILES} are served")
    size = sum(path.stat().st_size for path in found)
    if size > MAX_BYTES:
        raise InvalidRequestError(f"--public-blobs {folder}: {size} bytes; at most {MAX_BYTES} are served")
    return found


def _blob_name(emulator: Emulator, path: Path) -> BlobName:
    account, container, *rest = (*path.parts, "", "")
    name = "/".join(filter(None, rest))
    if not _ACCOUNT.fullmatch(account) or not name:
        raise InvalidRequestError(f"--public-blobs: {path} is at no blob's place; that is {_LAYOUT}, as in the blob's URL")
    if emulator.account_key(account) is not None:
        raise InvalidRequestError(f"--public-blobs: {path}: {account} is an account of the emulator's own")
    return BlobName(account, container, name)
