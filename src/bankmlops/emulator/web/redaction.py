"""Takes secrets out of what a client asked and got, so that the record of it can be shown to others.

Too much is taken out rather than too little: who adds a route needs the names and the shapes, and no value of a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from bankmlops.emulator.web.routing import without_secret

REDACTED = "(redacted)"
MAX_DEPTH = 40
_SECRET_NAME = re.compile(
    r"(?i)authorization|cookie|secret|passw|pwd|token|credential|assertion|signature|connection.?string|sas|(?<![a-z])sig(?![a-z])"
    r"|key$|keys$|^key\d|^code$"
)
# Names that end like a secret's and are none: what they name is the shape of a document.
_HARMLESS_NAME = re.compile(r"(?i)^(metrickey|continuationtoken|token_type|tokentype|token_endpoint|expires_.*)$")
_TEXT = (
    (re.compile(r"(?i)([?&](?:amp;)?(?:sig|code|access_token|client_secret)=)[^&\s\"'<>\\]+"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)((?:account|shared.?access)(?:key|signature)=)[^;\s\"'<>\\]+"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{REDACTED}"),
    (re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), REDACTED),
    (re.compile(r"/msi/[^/\s\"']+"), "/msi/..."),
)
_VARIABLES = re.compile(r"(?i)environment.?variables")


def redacted_path(path: str) -> str:
    """The path without the managed-identity endpoint's secret."""
    return without_secret(path)


def redacted_query(query: str) -> dict[str, str]:
    """The query's parameters, the secret ones hidden."""
    return {
        name: REDACTED if _is_secret(name) else redacted_text(value) for name, value in parse_qsl(query, keep_blank_values=True)
    }


def redacted_headers(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers by their lower-case names, the secret ones hidden."""
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    return {name: _scheme(value) if _is_secret(name) else redacted_text(value) for name, value in pairs}


def redacted_body(content: bytes, content_type: str, path: str) -> Any:
    """A JSON document, a form or a text without its secrets; of anything else its size alone."""
    kind = content_type.partition(";")[0].strip().lower()
    if not content:
        return None
    if kind.endswith("json") or content[:1] in b"{[":
        return _document(content, path)
    if kind == "application/x-www-form-urlencoded":
        return urlencode(redacted_query(content.decode("utf-8", "replace")), safe="()")
    if kind.startswith("text/") or kind.endswith("xml"):
        return redacted_text(content.decode("utf-8", "replace"))
    return f"({len(content)} bytes of {kind or 'no type'})"


def redacted_text(text: str) -> str:
    """The text without signatures, keys and tokens that can be told by their form."""
    for pattern, replacement in _TEXT:
        text = pattern.sub(replacement, text)
    return text


def _document(content: bytes, path: str) -> Any:
    try:
        document = json.loads(content)
    except ValueError:
        return f"({len(content)} bytes that are not JSON)"
    return _value(document, hide_values="/credential/" in path, depth=0)


def _value(value: Any, *, hide_values: bool, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return "(too deep)"
    if isinstance(value, Mapping):
        return {name: _member(name, each, hide_values, depth) for name, each in value.items()}
    if isinstance(value, list):
        return [_value(each, hide_values=hide_values, depth=depth + 1) for each in value]
    return redacted_text(value) if isinstance(value, str) else value


def _member(name: str, value: Any, hide_values: bool, depth: int) -> Any:
    if _VARIABLES.search(name) and isinstance(value, Mapping):
        return dict.fromkeys(value, REDACTED)
    hidden = _is_secret(name) or (hide_values and name == "value")
    if hidden and not isinstance(value, Mapping | list):
        return REDACTED if value else value
    return _value(value, hide_values=hide_values, depth=depth + 1)


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


def _scheme(value: str) -> str:
    """`Bearer` or `SharedKey` may be seen; what follows may not."""
    scheme, blank, _ = value.partition(" ")
    return f"{scheme} {REDACTED}" if blank and scheme.isalpha() else REDACTED
