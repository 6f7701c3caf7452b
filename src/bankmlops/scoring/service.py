"""The service's own file, watched: keys, names and switches, so that a rotated key counts at the next request.

Of the keys only digests are kept in memory; they are compared in constant time, always both.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.refusal import forbidden, unauthorized

_LOG = logging.getLogger("bankmlops.scoring")
_MAX_BYTES = 2**20
_BEARER = b"bearer "


@dataclass(frozen=True, slots=True)
class Service:
    """What `service.json` says. `primary` and `secondary` are SHA-256 digests of the keys."""

    name: str
    model_name: str
    model_version: str
    auth_enabled: bool
    app_insights: bool
    limits: Limits
    primary: bytes = field(repr=False, default=b"")
    secondary: bytes = field(repr=False, default=b"")

    @property
    def model(self) -> str:
        """The model as the log names it."""
        return f"{self.model_name}:{self.model_version}"

    def authenticate(self, authorization: bytes | None) -> str:
        """The name of the given key ("" where none is needed). Raises `RefusedError`: 401 without one, 403 for a wrong one."""
        if not self.auth_enabled:
            return ""
        if authorization is None:
            raise unauthorized("the header Authorization is missing: send Authorization: Bearer KEY")
        if authorization[:7].lower() != _BEARER:
            raise unauthorized("the header Authorization is not of the form Bearer KEY")
        digest = hashlib.sha256(authorization[7:].strip()).digest()
        is_primary = hmac.compare_digest(digest, self.primary)
        is_secondary = hmac.compare_digest(digest, self.secondary)
        if not (is_primary or is_secondary):
            raise forbidden("the key is not one of this endpoint's keys")
        return "Primary" if is_primary else "Secondary"


class ServiceFile:
    """`service.json`, read again whenever it was replaced. It must be replaced atomically."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises `InvalidRequestError` with one line where it can't serve."""
        self._path = path
        self._stamp = self._stat()
        self.latest = read_service(path)

    def current(self) -> Service:
        """The newest version that can be read: a broken replacement is logged once and changes nothing."""
        stamp = self._stat()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self.latest = read_service(self._path)
            except InvalidRequestError as error:
                _LOG.error("%s; the settings stay as they were", error)
        return self.latest

    def _stat(self) -> tuple[int, int, int]:
        try:
            status = os.stat(self._path)
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_ino, status.st_size)


def read_service(path: Path) -> Service:
    """Read `service.json`. Raises `InvalidRequestError`; no key is ever in the message."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
    except OSError as error:
        raise InvalidRequestError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{path} is not JSON of at most {_MAX_BYTES:,} bytes") from error
    if not isinstance(document, dict):
        raise InvalidRequestError(f"{path} is not a JSON object")
    return _service(document)


def _service(document: Mapping[str, Any]) -> Service:
    auth_enabled = _switch(document, "auth_enabled", default=True)
    return Service(
        name=_text(document, "name"),
        model_name=_text(document, "model_name"),
        model_version=_text(document, "model_version"),
        auth_enabled=auth_enabled,
        app_insights=_switch(document, "app_insights", default=False),
        limits=Limits.read(document.get("limits", {})),
        primary=_digest(document, "primary_key", wanted=auth_enabled),
        secondary=_digest(document, "secondary_key", wanted=auth_enabled),
    )


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise InvalidRequestError(f"service.json: {name} must be a text")
    return str(value)


def _switch(document: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = document.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequestError(f"service.json: {name} must be true or false")
    return value


def _digest(document: Mapping[str, Any], name: str, *, wanted: bool) -> bytes:
    """The digest of a key, which the file gives as it is or, under `NAME_sha256`, as hexadecimal digits."""
    hashed = document.get(f"{name}_sha256")
    if isinstance(hashed, str) and len(hashed) == 64:
        try:
            return bytes.fromhex(hashed)
        except ValueError as error:
            raise InvalidRequestError(f"service.json: {name}_sha256 must be 64 hexadecimal digits") from error
    key = document.get(name)
    if isinstance(key, str) and len(key) >= 16:
        return hashlib.sha256(key.encode()).digest()
    if wanted:
        raise InvalidRequestError(f"service.json: {name} must be a text of at least 16 characters while auth_enabled is true")
    return b""
