"""Access tokens like Azure Active Directory's, signed by this instance, with audience and expiry, and checked on every call."""

from __future__ import annotations

import time

import jwt

from bankmlops.emulator.instance import Emulator
from bankmlops.errors import AuthenticationError

LIFETIME_SECONDS = 86_400
DEFAULT_AUDIENCE = "https://management.core.windows.net/"
_AUDIENCES = frozenset(
    {
        "https://management.core.windows.net",
        "https://management.azure.com",
        "https://ml.azure.com",
        "https://storage.azure.com",
    }
)


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


def verify(emulator: Emulator, authorization: str | None) -> None:
    """Raise `AuthenticationError` unless the header bears a token of this instance, in date and meant for Azure ML."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthenticationError("no bearer token in the Authorization header; sign in, or run `bankmlops emulator env`")
    try:
        claims = jwt.decode(
            token,
            emulator.secrets.signing_key,
            algorithms=["HS256"],
            options={"verify_aud": False, "require": ["exp", "aud", "tid"]},
        )
    except jwt.ExpiredSignatureError:
        raise AuthenticationError("the access token has expired; sign in again") from None
    except jwt.InvalidTokenError:
        raise AuthenticationError("the access token is not this emulator's; run `bankmlops emulator env` again") from None
    if str(claims["aud"]).rstrip("/") not in _AUDIENCES:
        raise AuthenticationError(f"the access token is for {claims['aud']}, not for Azure Resource Manager")
