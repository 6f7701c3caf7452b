"""Access tokens like Azure Active Directory's, signed by this instance, with audience and expiry, and checked on every call."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Set
from typing import Any

import jwt

from bankmlops.emulator.instance import Emulator
from bankmlops.errors import AuthenticationError

LIFETIME_SECONDS = 86_400
DEFAULT_AUDIENCE = "https://management.core.windows.net/"
MANAGEMENT = frozenset({"https://management.core.windows.net", "https://management.azure.com"})
# The services behind ARM take its tokens too: they are all that the SDK sends them.
MACHINE_LEARNING = MANAGEMENT | {"https://ml.azure.com"}
STORAGE = frozenset({"https://storage.azure.com"})
_CLAIMS = frozenset({"exp", "aud", "tid"})


def issue(emulator: Emulator, audience: str, tenant_id: str | None = None, lifetime: int = LIFETIME_SECONDS) -> str:
    """A token for one audience; `lifetime` in seconds. `tid` is the instance's own tenant where none is asked for."""
    moment = int(time.time())
    tenant = tenant_id or emulator.secrets.tenant_id
    claims = {
        "aud": audience or DEFAULT_AUDIENCE,
        "iss": f"https://sts.windows.net/{tenant}/",
        "iat": moment,
        "nbf": moment - 60,
        "exp": moment + lifetime,
        "tid": tenant,
        "oid": emulator.secrets.user_id,
        "puid": emulator.secrets.user_id,
        "appid": emulator.secrets.client_id,
        "name": "Emulator User",
        "upn": "user@emulator.local",
    }
    return jwt.encode(claims, emulator.secrets.signing_key, algorithm="HS256")


def verify(emulator: Emulator, authorization: str | None, audiences: Set[str]) -> None:
    """Raise `AuthenticationError` unless the header bears a token of this instance, in date and meant for one of `audiences`."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthenticationError("no bearer token in the Authorization header; sign in, or run `bankmlops emulator env`")
    claims = _claims(token, emulator.secrets.signing_key)
    if not claims.keys() >= _CLAIMS:
        raise AuthenticationError("the access token is not this emulator's; run `bankmlops emulator env` again")
    if claims["exp"] <= time.time():
        raise AuthenticationError("the access token has expired; sign in again")
    if str(claims["aud"]).rstrip("/") not in audiences:
        raise AuthenticationError(
            f"the access token is for {claims['aud']}; this service wants one for {' or '.join(sorted(audiences))}"
        )


def _claims(token: str, signing_key: str) -> dict[str, Any]:
    """What the token says; nothing where this instance did not sign it.

    RFC 7515, HS256, whatever the header says: a token has to bear the one signature that `issue` gives it. PyJWT's own check
    would take half of a request's time.
    """
    signed, _, signature = token.rpartition(".")
    expected = base64.urlsafe_b64encode(hmac.digest(signing_key.encode(), signed.encode(), "sha256")).rstrip(b"=")
    if not hmac.compare_digest(signature.encode(), expected):
        return {}
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
    return claims
