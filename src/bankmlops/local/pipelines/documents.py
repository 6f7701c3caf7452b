"""Pipelines and their runs as JSON and back: what the control server's wire, the stores and a workflow's input have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from bankmlops.errors import InvalidRequestError

T = TypeVar("T")


def to_document(value: object) -> object:
    """A value of `types` as what JSON can hold: dataclasses and mappings become objects, moments ISO 8601."""
    if is_dataclass(value):
        return {field.name: to_document(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_document(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_document(entry) for entry in value]
    return value.isoformat() if isinstance(value, datetime) else value


def from_document(kind: type[T], document: object) -> T:
    """The value that `to_document` wrote; raises `InvalidRequestError` that names the first field at fault."""
    try:
        return cast(T, _adapter(cast(Hashable, kind)).validate_python(document))
    except ValidationError as error:
        raise InvalidRequestError(describe(error)) from None


def describe(error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def content_hash(value: object) -> str:
    """The sha256 of a value's canonical JSON, moments of creation left out: equal content has an equal hash."""
    document = json.dumps(_without_created(to_document(value)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()


def _without_created(document: object) -> object:
    if isinstance(document, dict):
        return {key: _without_created(entry) for key, entry in document.items() if key != "created"}
    return document


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
