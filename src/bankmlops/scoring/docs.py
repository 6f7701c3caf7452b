"""Swagger UI from the installed bundle: no content network, and a policy under which the page talks to its own origin alone."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from html import escape
from pathlib import Path

from bankmlops.scoring.asgi import Headers, Response, text_response

_TYPES = {
    "swagger-ui.css": b"text/css; charset=utf-8",
    "index.css": b"text/css; charset=utf-8",
    "swagger-ui-bundle.js": b"text/javascript; charset=utf-8",
    "favicon-32x32.png": b"image/png",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE: Headers = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{base}/swagger-ui.css">
<link rel="stylesheet" href="{base}/index.css">
<link rel="icon" type="image/png" href="{base}/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{base}/swagger-ui-bundle.js"></script>
<script src="{base}/initializer.js"></script>
</body>
</html>
"""
_INITIALIZER = """window.ui = SwaggerUIBundle({{
  url: {url},
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout"
}});
"""


def page(title: str, base: str) -> Response:
    """The page itself; its files are under `base`."""
    html = _PAGE.format(title=escape(title), base=escape(base, quote=True))
    return Response(200, ((b"content-type", b"text/html; charset=utf-8"), *_SAFE), html.encode())


def initializer(url: str) -> Response:
    """The script that points Swagger UI at a specification on the same origin."""
    script = _INITIALIZER.format(url=json.dumps(url))
    return Response(200, ((b"content-type", _TYPES["swagger-ui-bundle.js"]), *_SAFE), script.encode())


def asset(name: str) -> Response:
    """One file of the bundle; 404 for a name that is not one of the four that the page needs."""
    folder = _bundle_folder()
    if name not in _TYPES or folder is None:
        return text_response("Not Found: Swagger UI's files come with the package swagger-ui-bundle", 404)
    headers = ((b"content-type", _TYPES[name]), (b"cache-control", b"max-age=86400"), *_SAFE)
    return Response(200, headers, _content(folder / name))


@cache
def _content(path: Path) -> bytes:
    """Read once, so that however many slow readers there are, they share one copy."""
    return path.read_bytes()


@cache
def _bundle_folder() -> Path | None:
    """Where the package keeps its files, found without importing it."""
    found = importlib.util.find_spec("swagger_ui_bundle")
    places = found.submodule_search_locations if found else None
    folders = [folder for place in places or () for folder in Path(place).glob("vendor/swagger-ui-*")]
    return max(folders, default=None)
