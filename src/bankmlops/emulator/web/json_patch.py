"""JSON Patch (RFC 6902), as far as Azure ML's SDK writes it: add, replace and remove of a member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bankmlops.emulator.state import Document
from bankmlops.errors import InvalidRequestError


def check_patch(operations: Any, allowed: Sequence[str]) -> None:
    """Raise `InvalidRequestError` unless it is a list of operations on the `allowed` members."""
    if not isinstance(operations, list):
        raise InvalidRequestError("a patch is a JSON list of operations")
    for operation in operations:
        member = _path(operation)[0]
        if member not in allowed:
            raise InvalidRequestError(f"/{member} can't be patched; what can: {', '.join(allowed)}")


def apply_patch(document: Document, operations: list[dict[str, Any]]) -> None:
    """Change the document in place. An `add` of an object to an object merges, as the service does with tags."""
    for operation in operations:
        *parents, name = _path(operation)
        target = document
        for parent in parents:
            target = target.setdefault(parent, {})
        _apply(target, name, operation)


def _apply(target: Document, name: str, operation: dict[str, Any]) -> None:
    if operation["op"] == "remove":
        target.pop(name, None)
        return
    value = operation.get("value")
    if operation["op"] == "add" and isinstance(value, dict) and isinstance(target.get(name), dict):
        target[name] = {**target[name], **value}
    else:
        target[name] = value


def _path(operation: Any) -> list[str]:
    valid = isinstance(operation, dict) and operation.get("op") in ("add", "replace", "remove")
    path = str(operation.get("path", "")).strip("/") if valid else ""
    if not path:
        raise InvalidRequestError("a patch operation needs an op (add, replace or remove) and a path")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]
