"""Resources as Azure Resource Manager writes them: an id, a name, a type and properties, and lists of them in pages.

After the REST reference of Microsoft.MachineLearningServices, version 2024-01-01-preview.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from starlette.requests import Request

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.arm import ARM_HOST
from bankmlops.errors import InvalidRequestError

MAX_PAGE = 100
_TYPE = "Microsoft.MachineLearningServices/workspaces"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z")


def resource(workspace: WorkspaceState, path: str, properties: Document | None, created: str = "") -> Document:
    """The resource at `path` below the workspace: "kind/NAME" or "kind/NAME/versions/VERSION"; `created` is ISO 8601 or empty."""
    parts = path.split("/")
    user = {"createdBy": "Emulator User", "createdByType": "Application", "createdAt": created, "lastModifiedAt": created}
    return {
        "id": f"{workspace.path}/{path}",
        "name": parts[-1],
        "type": "/".join([_TYPE, *parts[::2]]),
        "properties": properties,
        "systemData": user if created else None,
    }


def checked_name(what: str, name: str) -> str:
    """The name. Raises `InvalidRequestError` for one that Azure would not take."""
    if not _NAME.match(name):
        raise InvalidRequestError(f"{what} {name[:100]!r}: use letters, digits, '_', '-' and '.', 255 at most")
    return name


def in_view(documents: Iterable[Document], view: str) -> list[Document]:
    """Those that are in use; with the view `ArchivedOnly` the others, with `All` both."""
    archived = view == "ArchivedOnly"
    return [each for each in documents if view == "All" or bool(each["properties"].get("isArchived")) == archived]


def page(request: Request, documents: Sequence[Document]) -> Document:
    """One page of the documents, `$skip` and `$top` of the query applied, and the link to the next where there is one."""
    query = dict(request.query_params)
    begin = _count(query.get("$skip"), 0)
    end = begin + min(_count(query.get("$top"), MAX_PAGE), MAX_PAGE)
    answer: Document = {"value": list(documents[begin:end])}
    if end < len(documents):
        answer["nextLink"] = f"{ARM_HOST}{request.url.path}?{urlencode({**query, '$skip': end})}"
    return answer


def _count(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise InvalidRequestError(f"{text[:100]!r} in the query is no count")
    return int(text)
