"""Blob storage under its own host names, ACCOUNT.blob.core.windows.net, for the SDK, its native reader and Azure's clients.

A container exists as soon as it is named. Block blobs alone are emulated; snapshots, leases and tiers are not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import IO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.storage.blob_metadata import metadata_headers, set_metadata
from bankmlops.emulator.storage.blob_wire import (
    blob_headers,
    block_list_document,
    common_headers,
    http_date,
    listing,
    parse_block_list,
    parse_range,
    receive,
    storage_error,
)
from bankmlops.emulator.storage.blobs import Blob, BlobName, BlobStore
from bankmlops.emulator.storage.storage_auth import check_access
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import EmulatorState
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError

MAX_LIST_BYTES = 8 << 20
_CHUNK = 1 << 20
_IN_ONE_PIECE = 4 << 20
_SOURCES = ("x-ms-copy-source",)


async def _check(request: Request, emulator: EmulatorState, container: str) -> None:
    check_access(emulator, request, request.scope["storage_account"], container)


router = Router(checks=[_check])
otherwise = Router(documented=False)


@router.get("/{container}")
@router.get("/{container}/")
def list_blobs(container: str, request: Request, emulator: EmulatorState) -> Response:
    """`?restype=container&comp=list`: a page of the container's blobs; without `comp` the container itself."""
    account = request.scope["storage_account"]
    if request.query_params.get("comp", "") != "list":
        return Response(status_code=200, headers=common_headers())
    blobs = emulator.blobs.find(account, container, request.query_params.get("prefix", ""))
    return listing(account, container, blobs, dict(request.query_params))


@router.head("/{container}")
async def get_container() -> Response:
    """Any container exists."""
    return Response(status_code=200, headers=common_headers())


@router.put("/{container}")
async def create_container() -> Response:
    """It is there already, whatever its name."""
    return Response(status_code=201, headers=common_headers())


@router.put("/{container}/{name:path}")
async def put(container: str, name: str, request: Request, emulator: EmulatorState) -> Response:
    """A blob, or with `?comp=block` and `?comp=blocklist` a large one in parts; with `?comp=metadata` a blob's metadata."""
    blob_name = BlobName(request.scope["storage_account"], container, name)
    comp = request.query_params.get("comp", "")
    if comp == "":
        return await _put_blob(emulator.blobs, blob_name, request)
    if comp == "block":
        return await _put_block(emulator.blobs, blob_name, request)
    if comp == "blocklist":
        return await _put_block_list(emulator.blobs, blob_name, request)
    if comp == "metadata":
        return _put_metadata(emulator, _existing(emulator.blobs, request, container, name), request)
    return storage_error(501, "NotImplemented", f"the emulator does not know PUT with comp={comp}")


@router.head("/{container}/{name:path}")
async def get_properties(container: str, name: str, request: Request, emulator: EmulatorState) -> Response:
    """Size, type, etag, MD5 and metadata."""
    blob = _existing(emulator.blobs, request, container, name)
    known = {**blob_headers(blob), **metadata_headers(emulator, blob)}
    return Response(status_code=200, headers={**known, "Content-Length": str(blob.size), "Content-MD5": blob.md5})


@router.get("/{container}/{name:path}")
async def get(container: str, name: str, request: Request, emulator: EmulatorState) -> Response:
    """The bytes: all, or 206 and the range asked for; `?comp=blocklist` the blocks that are not committed."""
    comp = request.query_params.get("comp", "")
    if comp == "blocklist":
        return block_list_document(emulator.blobs.staged_blocks(BlobName(request.scope["storage_account"], container, name)))
    if comp:
        return storage_error(501, "NotImplemented", f"the emulator does not know GET with comp={comp}")
    blob = _existing(emulator.blobs, request, container, name)
    file, blob = _open(emulator.blobs, blob)
    try:
        answer = _condition(request, blob) or _content(file, blob, request)
    except IndexError as error:
        answer = _out_of_range(blob, error)
    if not isinstance(answer, StreamingResponse):
        file.close()
    return answer


@router.delete("/{container}/{name:path}")
def delete(container: str, name: str, request: Request, emulator: EmulatorState) -> Response:
    """Take it away."""
    blob = _existing(emulator.blobs, request, container, name)
    emulator.blobs.delete(BlobName(blob.account, blob.container, blob.name))
    return Response(status_code=202, headers=common_headers())


@otherwise.route("/{path:path}", ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"])
async def not_emulated(path: str, request: Request) -> Response:
    """501, naming the path."""
    return storage_error(501, "NotImplemented", f"the emulator does not know {request.method} /{path}")


async def _put_blob(blobs: BlobStore, name: BlobName, request: Request) -> Response:
    kind = request.headers.get("x-ms-blob-type", "BlockBlob")
    if kind != "BlockBlob" or any(header in request.headers for header in _SOURCES):
        return storage_error(
            501, "NotImplemented", f"the emulator keeps block blobs that are sent to it, no {kind} and no copies"
        )
    _check_overwriting(blobs, name, request)
    incoming = await receive(blobs, request)
    blob = blobs.keep(incoming, name, _content_type(request))
    return _created(blob)


async def _put_block(blobs: BlobStore, name: BlobName, request: Request) -> Response:
    block = request.query_params.get("blockid", "")
    if not block or len(block) > 128:
        raise InvalidRequestError("comp=block needs a blockid of at most 128 characters")
    incoming = await receive(blobs, request)
    md5 = incoming.md5
    blobs.stage_block(incoming, name, block)
    return Response(status_code=201, headers={**common_headers(), "Content-MD5": md5, "x-ms-request-server-encrypted": "true"})


async def _put_block_list(blobs: BlobStore, name: BlobName, request: Request) -> Response:
    if int(request.headers.get("content-length") or 0) > MAX_LIST_BYTES:
        raise InvalidRequestError(f"a block list may have {MAX_LIST_BYTES} bytes at most")
    _check_overwriting(blobs, name, request)
    blob = blobs.commit_blocks(name, parse_block_list(await request.body()), _content_type(request))
    return _created(blob)


def _put_metadata(emulator: Emulator, blob: Blob, request: Request) -> Response:
    set_metadata(emulator, blob, request.headers)
    return Response(status_code=200, headers={**common_headers(), "ETag": blob.etag, "Last-Modified": http_date(blob.modified)})


def _content_type(request: Request) -> str:
    return request.headers.get("x-ms-blob-content-type") or request.headers.get("content-type") or "application/octet-stream"


def _check_overwriting(blobs: BlobStore, name: BlobName, request: Request) -> None:
    if request.headers.get("if-none-match") == "*" and blobs.get(name) is not None:
        raise ConflictError(f"blob {name.container}/{name.name} exists already")


def _created(blob: Blob) -> Response:
    headers = {"ETag": blob.etag, "Last-Modified": http_date(blob.modified), "Content-MD5": blob.md5}
    return Response(status_code=201, headers={**common_headers(), **headers, "x-ms-request-server-encrypted": "true"})


def _existing(blobs: BlobStore, request: Request, container: str, name: str) -> Blob:
    blob = blobs.get(BlobName(request.scope["storage_account"], container, name))
    if blob is None:
        raise NotFoundError(f"blob {container}/{name} does not exist")
    return blob


def _condition(request: Request, blob: Blob) -> Response | None:
    wanted = request.headers.get("if-match", "*")
    if wanted not in ("*", blob.etag):
        return storage_error(412, "ConditionNotMet", f"blob {blob.container}/{blob.name} has changed")
    if request.headers.get("if-none-match") == blob.etag:
        return Response(status_code=304, headers=blob_headers(blob))
    return None


def _out_of_range(blob: Blob, error: IndexError) -> Response:
    answer = storage_error(416, "InvalidRange", f"blob {blob.container}/{blob.name}: there are no {error}")
    answer.headers["Content-Range"] = f"bytes */{blob.size}"
    return answer


def _content(file: IO[bytes], blob: Blob, request: Request) -> Response:
    part = parse_range(request, blob.size)
    first, last = part or (0, blob.size - 1)
    headers = {**blob_headers(blob), "Content-Length": str(last - first + 1)}
    if part is None:
        headers["Content-MD5"] = blob.md5
    else:
        headers |= {"Content-Range": f"bytes {first}-{last}/{blob.size}", "x-ms-blob-content-md5": blob.md5}
    status = 200 if part is None else 206
    file.seek(first)
    if last - first + 1 > _IN_ONE_PIECE:
        return StreamingResponse(_pieces(file, last - first + 1), status, headers)
    content = file.read(last - first + 1)
    if part is not None and request.headers.get("x-ms-range-get-content-md5", "").lower() == "true":
        headers["Content-MD5"] = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    return Response(content, status, headers)


def _open(blobs: BlobStore, blob: Blob) -> tuple[IO[bytes], Blob]:
    """The blob's file; where it was replaced since it was looked up, the new one's."""
    try:
        return blob.path.open("rb"), blob
    except FileNotFoundError:
        fresh = blobs.get(BlobName(blob.account, blob.container, blob.name))
        if fresh is None:
            raise NotFoundError(f"blob {blob.container}/{blob.name} does not exist") from None
        return fresh.path.open("rb"), fresh


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    with file:
        while size > 0 and (chunk := file.read(min(_CHUNK, size))):
            size -= len(chunk)
            yield chunk
