"""The files of the control server's page, in the folder `page`: read once, served with their types and nothing from elsewhere.

They hold no data, so nobody needs a token for them. A browser asks for each again and is told that it has not changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

_INDEX = "index.html"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    content: bytes
    content_type: str
    etag: str


def page_files_router() -> APIRouter:
    """The routes `/ui` and `/ui/FILE`."""
    router = APIRouter()

    def page(request: Request) -> Response:
        """The page itself."""
        return _answer(request, page_files()[_INDEX])

    def file(request: Request, path: str) -> Response:
        """One of its files."""
        found = page_files().get(path or _INDEX)
        if found is None:
            raise HTTPException(404)
        return _answer(request, found)

    router.add_api_route("/ui", page, methods=["GET"], response_model=None)
    router.add_api_route("/ui/{path:path}", file, methods=["GET"], response_model=None)
    return router


@cache
def page_files() -> Mapping[str, PageFile]:
    """Every file of the page by its path below `/ui/`."""
    return dict(_read(files("bankmlops.local.control") / "page", ""))


def etag_of(content: bytes) -> str:
    """A strong validator of these very bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _read(folder: Traversable, above: str) -> list[tuple[str, PageFile]]:
    found = []
    for entry in folder.iterdir():
        path = above + entry.name
        if entry.is_dir():
            found += _read(entry, f"{path}/")
        elif (kind := _TYPES.get(path.rpartition(".")[2])) is not None:
            content = entry.read_bytes()
            found.append((path, PageFile(content, kind, etag_of(content))))
    return found


def _answer(request: Request, file: PageFile) -> Response:
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.content_type, headers=headers)
