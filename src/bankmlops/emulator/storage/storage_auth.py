"""Who may read and write blobs: Azure Storage's shared key and shared access signatures, and bearer tokens.

The strings to sign are those of Microsoft's REST reference, "Authorize with Shared Key" and "Create a service SAS" (2018-11-09).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from starlette.requests import Request

from bankmlops.emulator.instance import BLOB_SUFFIX, Emulator
from bankmlops.emulator.storage.blobs import BlobName
from bankmlops.emulator.web import tokens
from bankmlops.errors import AuthenticationError

SAS_VERSION = "2019-12-12"
SAS_HOURS = 24
_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_BREAKING = re.compile(r"[?#]|%(?=[0-9A-Fa-f]{2})")
_READING = ("GET", "HEAD")
_NEEDED = {"GET": "r", "HEAD": "r", "PUT": "cwa", "DELETE": "d"}


def signed_url(name: BlobName, account_key: str, permissions: str) -> str:
    """The blob's URL with a service SAS for `permissions` (of "racwd"), good for `SAS_HOURS`.

    Its path is escaped no more than it must be, as Azure's is: azureml-core, _file_utils/upload.py, takes the name from it as it
    stands, and escapes it again.
    """
    moment = datetime.now(UTC)
    fields = {
        "sp": permissions,
        "st": _timestamp(moment - timedelta(minutes=10)),
        "se": _timestamp(moment + timedelta(hours=SAS_HOURS)),
        "sv": SAS_VERSION,
        "sr": "b",
    }
    fields["sig"] = _sas_signature(fields, f"/blob/{name.account}/{name.container}/{name.name}", account_key)
    return f"https://{name.account}{BLOB_SUFFIX}/{name.container}/{_BREAKING.sub(_escaped, name.name)}?{urlencode(fields)}"


def _escaped(found: re.Match[str]) -> str:
    return quote(found[0])


def check_access(emulator: Emulator, request: Request, account: str, container: str) -> None:
    """Raise `AuthenticationError` unless the request is signed with the account's key, by a SAS, bears a token, or reads what is
    public."""
    if request.method in _READING and emulator.is_public(account):
        return
    account_key = emulator.account_key(account)
    if account_key is None:
        raise AuthenticationError(f"storage account {account} is not this emulator's")
    authorization = request.headers.get("authorization", "")
    if "sig" in request.query_params:
        _check_sas(request, account, container, account_key)
    elif authorization.startswith("SharedKey "):
        _check_shared_key(request, account, account_key, authorization.removeprefix("SharedKey "))
    else:
        tokens.verify(emulator, authorization, tokens.STORAGE | {f"https://{account}{BLOB_SUFFIX}"})


def _check_sas(request: Request, account: str, container: str, account_key: str) -> None:
    fields = dict(request.query_params)
    resource = f"/blob/{account}/{container}" if fields.get("sr") == "c" else f"/blob/{account}{request.scope['path']}"
    if not hmac.compare_digest(fields["sig"].encode(), _sas_signature(fields, resource, account_key).encode()):
        raise AuthenticationError("AuthenticationFailed: the shared access signature does not fit the blob")
    if fields.get("se", "") < _timestamp(datetime.now(UTC)):
        raise AuthenticationError("AuthenticationFailed: the shared access signature has expired")
    wanted = "l" if request.query_params.get("comp") == "list" else _NEEDED.get(request.method, "r")
    if not set(wanted) & set(fields.get("sp", "")):
        raise AuthenticationError(f"AuthorizationPermissionMismatch: the shared access signature does not allow {request.method}")


def _sas_signature(fields: dict[str, str], resource: str, account_key: str) -> str:
    names = ("sp", "st", "se", "", "si", "sip", "spr", "sv", "sr", "snapshot", "rscc", "rscd", "rsce", "rscl", "rsct")
    return _sign("\n".join(fields.get(name, "") if name else resource for name in names), account_key)


def _check_shared_key(request: Request, account: str, account_key: str, credentials: str) -> None:
    named, _, signature = credentials.partition(":")
    expected = _sign(_string_to_sign(request, account), account_key)
    if named != account or not hmac.compare_digest(signature.encode(), expected.encode()):
        raise AuthenticationError("AuthenticationFailed: the request is not signed with the storage account's key")


def _string_to_sign(request: Request, account: str) -> str:
    headers = request.headers
    values = [headers.get(name, "") for name in _SIGNED_HEADERS]
    values[2] = "" if values[2] == "0" else values[2]
    extra = sorted((name, " ".join(headers[name].split())) for name in set(headers.keys()) if name.startswith("x-ms-"))
    raw_path = request.scope["raw_path"].split(b"?")[0].decode("ascii")
    query: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name.lower(), []).append(value)
    resource = f"/{account}{raw_path}" + "".join(f"\n{name}:{','.join(sorted(query[name]))}" for name in sorted(query))
    return "\n".join([request.method, *values, *(f"{name}:{value}" for name, value in extra), resource])


def _sign(text: str, account_key: str) -> str:
    try:
        key = base64.b64decode(account_key, validate=True)
    except binascii.Error as error:
        raise AuthenticationError("the storage account's key is not base64") from error
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
