"""What a pipeline is made of, as one hash: equal content has an equal hash, in any process and on any machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime

IGNORED = "created"  # when a dataset was registered is no part of what it holds


def content_hash(value: object) -> str:
    """The sha256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(_document(value), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _document(value: object) -> object:
    if is_dataclass(value):
        return {field.name: _document(getattr(value, field.name)) for field in fields(value) if field.name != IGNORED}
    if isinstance(value, Mapping):
        return {str(key): _document(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_document(entry) for entry in value]
    return value.isoformat() if isinstance(value, datetime) else value
