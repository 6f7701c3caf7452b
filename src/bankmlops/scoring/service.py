"""The service's own file, watched: keys, names and switches, so that a rotated key counts at the next request.

Under load a look serves the requests of a millisecond, but nobody is refused without another one.

Of the keys only digests are kept in memory; they are compared in constant time, always both.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.cors import check_origins
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.refusal import RefusedError, forbidden, unauthorized
from bankmlops.types import UnknownCategories

_LOG = logging.getLogger("bankmlops.scoring")
_MAX_BYTES = 2**20
_BEARER = b"bearer "
_LOOK_SECONDS = 0.001
_FOLDER = re.compile(r"[A-Za-z0-9_-]{0,100}")
MAXIMUM_WORKERS = 64


@dataclass(frozen=True, slots=True)
class Service:
    """What `service.json` says. `primary` and `secondary` are SHA-256 digests of the keys.

    `model_folder` is where the bundle is, below the folder of the models; `before` is the same with the model that was served
    before, if there was one. Workers, limits, origins, the answers' form and what becomes of unknown categories count from a
    worker's start; the rest at once.
    """

    name: str
    model_name: str
    model_version: str
    auth_enabled: bool
    app_insights: bool
    limits: Limits
    workers: int = 1
    model_folder: str = ""
    cors_origins: tuple[str, ...] = ()
    plain_json: bool = False
    unknown_categories: UnknownCategories = UnknownCategories.SCORE
    collect_model_data: bool = False
    primary: bytes = field(repr=False, default=b"")
    secondary: bytes = field(repr=False, default=b"")
    before: Service | None = field(repr=False, default=None)

    @property
    def model(self) -> str:
        """The model as the log names it."""
        return f"{self.model_name}:{self.model_version}"

    def with_model_of(self, other: Service) -> Service:
        """These settings, of the other's model."""
        return replace(self, model_name=other.model_name, model_version=other.model_version, model_folder=other.model_folder)

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
    """`service.json`, read again whenever it was replaced. It must be replaced atomically.

    Whose model it names is told of the model that `serving` names, whatever the file says meanwhile.
    """

    def __init__(self, path: Path, serving: Service | None = None, known: Service | None = None) -> None:
        """Read it; where it can't serve `known` counts, what it said before.

        Raises `InvalidRequestError` with one line where it can't serve and nothing is known.
        """
        self.path = path
        self._serving = serving
        self._stamp = self._stat()
        self._looks_at = 0.0
        try:
            self.latest = self._read()
        except InvalidRequestError as error:
            if known is None:
                raise
            self.latest = self._of_served_model(known)
            _log_broken(error)

    def current(self) -> Service:
        """The newest version that can be read: a broken replacement is logged once and changes nothing."""
        now = time.monotonic()
        if now < self._looks_at:
            return self.latest
        self._looks_at = now + _LOOK_SECONDS
        return self._look()

    def authenticate(self, authorization: bytes | None) -> str:
        """As the service's own; a key that is not known may be one of a moment ago."""
        service = self.current()
        try:
            return service.authenticate(authorization)
        except RefusedError:
            newest = self._look()
            if newest is service:
                raise
            return newest.authenticate(authorization)

    def replaced(self) -> bool:
        """Whether the file is another one than at the last look."""
        before, self._stamp = self._stamp, self._stat()
        return before != self._stamp

    def replacement(self) -> Service | None:
        """What the file says where it is another one than at the last look, and can serve."""
        if self.replaced():
            with suppress(InvalidRequestError):  # the workers read the file too, and tell of it
                self.latest = self._read()
                return self.latest
        return None

    def _look(self) -> Service:
        if self.replaced():
            try:
                self.latest = self._read()
            except InvalidRequestError as error:
                _log_broken(error)
        return self.latest

    def _read(self) -> Service:
        return self._of_served_model(read_service(self.path))

    def _of_served_model(self, service: Service) -> Service:
        return service.with_model_of(self._serving) if self._serving else service

    def _stat(self) -> tuple[int, int, int]:
        try:
            status = os.stat(self.path)
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_ino, status.st_size)


def _log_broken(error: InvalidRequestError) -> None:
    _LOG.error("%s; the settings stay as they were", error)


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
    service = Service(
        name=_text(document, "name"),
        model_name=_text(document, "model_name"),
        model_version=_text(document, "model_version"),
        auth_enabled=auth_enabled,
        app_insights=_switch(document, "app_insights", default=False),
        limits=Limits.read(document.get("limits", {})),
        workers=_workers(document.get("workers", 1)),
        model_folder=_folder(document.get("model_folder", "")),
        cors_origins=_origins(document.get("cors_origins", [])),
        plain_json=_switch(document, "plain_json", default=False),
        unknown_categories=_unknown_categories(document.get("unknown_categories", UnknownCategories.SCORE)),
        collect_model_data=_switch(document, "collect_model_data", default=False),
        primary=_digest(document, "primary_key", wanted=auth_enabled),
        secondary=_digest(document, "secondary_key", wanted=auth_enabled),
    )
    return replace(service, before=_before(document, service))


def _before(document: Mapping[str, Any], service: Service) -> Service | None:
    """The service with the previous model, which alone has a name where there was one."""
    name = _text(document, "previous_model_name")
    if not name:
        return None
    version = _text(document, "previous_model_version")
    folder = _folder(document.get("previous_model_folder", ""), "previous_model_folder")
    return replace(service, model_name=name, model_version=version, model_folder=folder)


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


def _workers(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAXIMUM_WORKERS:
        raise InvalidRequestError(f"service.json: workers must be a whole number from 1 to {MAXIMUM_WORKERS}")
    return value


def _folder(value: object, name: str = "model_folder") -> str:
    if not isinstance(value, str) or not _FOLDER.fullmatch(value):
        raise InvalidRequestError(f"service.json: {name} must be the name of a folder: letters, digits, - and _")
    return value


def _origins(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidRequestError("service.json: cors_origins must be a list of texts")
    try:
        return check_origins(value)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"service.json: {error}") from error


def _unknown_categories(value: Any) -> UnknownCategories:
    try:
        return UnknownCategories(value)
    except ValueError as error:
        raise InvalidRequestError(f"service.json: unknown_categories must be {' or '.join(UnknownCategories)}") from error


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
