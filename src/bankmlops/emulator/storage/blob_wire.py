"""Azure blob storage's wire: its headers, its XML documents, its ranges and its errors, all apart from who answers with them.

After Microsoft's REST reference of the Blob service, version 2019-12-12.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape, quoteattr

from starlette.requests import Request
from starlette.responses import Response

from bankmlops.emulator.instance import BLOB_SUFFIX
from bankmlops.emulator.storage.blobs import Blob, BlobStore, Incoming
from bankmlops.emulator.storage.storage_auth import SAS_VERSION
from bankmlops.errors import AuthenticationError, BankMLOpsError, ConflictError, InvalidRequestError, NotFoundError

MAX_PAGE = 5000
_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")
_BLOCK = re.compile(rb"<(?:Latest|Uncommitted|Committed)>\s*([A-Za-z0-9+/=_-]{1,128})\s*</")
_STATUS_AND_CODE: dict[type[BankMLOpsError], tuple[int, str]] = {
    AuthenticationError: (403, "AuthenticationFailed"),
    NotFoundError: (404, "BlobNotFound"),
    ConflictError: (409, "BlobAlreadyExists"),
    InvalidRequestError: (400, "InvalidInput"),
}


def common_headers() -> dict[str, str]:
    """What every answer bears."""
    return {"x-ms-version": SAS_VERSION, "x-ms-request-id": str(uuid.uuid4())}


def blob_headers(blob: Blob) -> dict[str, str]:
    """What an answer about a blob bears."""
    return {
        **common_headers(),
        "ETag": blob.etag,
        "Last-Modified": http_date(blob.modified),
        "Content-Type": blob.content_type,
        "Accept-Ranges": "bytes",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-creation-time": http_date(blob.modified),
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-server-encrypted": "true",
    }


def http_date(moment: datetime) -> str:
    """RFC 7231: `Mon, 23 Nov 2026 00:00:00 GMT`."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


async def receive(blobs: BlobStore, request: Request) -> Incoming:
    """The body, checked against the MD5 that came with it; nothing stays behind where it breaks off."""
    incoming = blobs.receive()
    try:
        async for chunk in request.stream():
            incoming.write(chunk)
        expected = request.headers.get("content-md5")
        if expected and expected != incoming.md5:
            raise InvalidRequestError("Md5Mismatch: the bytes that arrived have another MD5 than the request says")
    except BaseException:
        incoming.discard()
        raise
    return incoming


def parse_range(request: Request, size: int) -> tuple[int, int] | None:
    """The first and last byte asked for, within the blob; None where all of it is. Raises `IndexError` beyond its end."""
    text = request.headers.get("x-ms-range") or request.headers.get("range")
    found = _RANGE.match(text.strip()) if text else None
    if found is None:
        return None
    first = int(found[1])
    last = min(int(found[2]) if found[2] else size - 1, size - 1)
    if first >= size or last < first:
        raise IndexError(f"bytes {first} to {found[2]} of {size}")
    return first, last


def parse_block_list(body: bytes) -> list[str]:
    """The block ids of a `PUT blocklist`, in order."""
    if not body.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"<?xml", b"<BlockList")):
        raise InvalidRequestError("a block list is an XML document")
    return [found.decode("ascii") for found in _BLOCK.findall(body)]


def block_list_document(blocks: Sequence[tuple[str, int]]) -> Response:
    """The blocks that are staged and not committed."""
    items = "".join(f"<Block><Name>{escape(name)}</Name><Size>{size}</Size></Block>" for name, size in blocks)
    text = f"{_DECLARATION}<BlockList><CommittedBlocks /><UncommittedBlocks>{items}</UncommittedBlocks></BlockList>"
    return xml_answer(text)


def listing(account: str, container: str, blobs: Sequence[Blob], query: dict[str, str]) -> Response:
    """One page of a container's blobs, folded at the delimiter where one is asked for."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = _page_size(query.get("maxresults", ""))
    entries = [entry for entry in _entries(blobs, prefix, delimiter) if entry[0] >= query.get("marker", "")]
    following = entries[limit][0] if len(entries) > limit else ""
    items = "".join(_blob_item(blob) if blob else _prefix_item(name) for name, blob in entries[:limit])
    text = (
        f"{_DECLARATION}<EnumerationResults ServiceEndpoint={quoteattr(f'https://{account}{BLOB_SUFFIX}/')} "
        f"ContainerName={quoteattr(container)}><Prefix>{escape(prefix)}</Prefix><MaxResults>{limit}</MaxResults>"
        f"<Delimiter>{escape(delimiter)}</Delimiter><Blobs>{items}</Blobs><NextMarker>{escape(following)}</NextMarker>"
        "</EnumerationResults>"
    )
    return xml_answer(text)


def xml_answer(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A document, or an error."""
    return Response(text, status, {**common_headers(), **(headers or {})}, "application/xml")


def storage_error(status: int, code: str, message: str) -> Response:
    """Azure Storage's error document; clients read the code from the header."""
    text = f"{_DECLARATION}<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    return xml_answer(text, status, {"x-ms-error-code": code})


async def answer_storage_error(request: Request, error: Exception) -> Response:
    """The exception handler: 401 for who says nothing about himself, 403, 404, 409, 400, and 500 for what has no better place."""
    status, code = _STATUS_AND_CODE.get(type(error), (500, "InternalError"))  # type: ignore[arg-type]
    anonymous = "authorization" not in request.headers and "sig" not in request.query_params
    if status == 403 and anonymous:
        status, code = 401, "NoAuthenticationInformation"
    return storage_error(status, code, str(error))


def _page_size(text: str) -> int:
    return min(max(int(text), 1), MAX_PAGE) if text.isdigit() else MAX_PAGE


def _entries(blobs: Sequence[Blob], prefix: str, delimiter: str) -> list[tuple[str, Blob | None]]:
    entries: dict[str, Blob | None] = {}
    for blob in blobs:
        rest = blob.name[len(prefix) :]
        if delimiter and delimiter in rest:
            entries.setdefault(prefix + rest[: rest.index(delimiter) + len(delimiter)], None)
        else:
            entries[blob.name] = blob
    return sorted(entries.items(), key=lambda entry: entry[0])


def _prefix_item(name: str) -> str:
    return f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"


def _blob_item(blob: Blob) -> str:
    moment = http_date(blob.modified)
    properties = {
        "Creation-Time": moment,
        "Last-Modified": moment,
        "Etag": blob.etag.strip('"'),
        "Content-Length": str(blob.size),
        "Content-Type": blob.content_type,
        "Content-MD5": blob.md5,
        "BlobType": "BlockBlob",
        "AccessTier": "Hot",
        "LeaseStatus": "unlocked",
        "LeaseState": "available",
        "ServerEncrypted": "true",
    }
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in properties.items())
    return f"<Blob><Name>{escape(blob.name)}</Name><Properties>{inner}</Properties></Blob>"
