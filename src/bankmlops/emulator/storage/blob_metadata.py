"""The metadata of blobs: names and values that a client sets after it has sent the bytes. SDK v2 marks a finished upload so.

They belong to the bytes: a blob that is written anew has none.
"""

from __future__ import annotations

from collections.abc import Mapping

from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.state import Documents
from bankmlops.emulator.storage.blobs import Blob
from bankmlops.errors import InvalidRequestError

PREFIX = "x-ms-meta-"
MAX_CHARACTERS = 8192
_KIND = "blob_metadata"


def set_metadata(emulator: Emulator, blob: Blob, headers: Mapping[str, str]) -> None:
    """Have the blob bear what the headers say, in place of what it bore. Raises `InvalidRequestError` for more than 8 KiB."""
    values = {name: value for name, value in headers.items() if name.startswith(PREFIX)}
    if sum(len(name) + len(value) for name, value in values.items()) > MAX_CHARACTERS:
        raise InvalidRequestError(f"the metadata of a blob may have {MAX_CHARACTERS} characters at most")
    _documents(emulator).put(_KIND, _key(blob), {"etag": blob.etag, "values": values})


def metadata_headers(emulator: Emulator, blob: Blob) -> dict[str, str]:
    """The headers that an answer about the blob bears."""
    found = _documents(emulator).get(_KIND, _key(blob))
    return dict(found["values"]) if found and found["etag"] == blob.etag else {}


def _documents(emulator: Emulator) -> Documents:
    return Documents(emulator.store, "")


def _key(blob: Blob) -> str:
    return f"{blob.account}/{blob.container}/{blob.name}"
