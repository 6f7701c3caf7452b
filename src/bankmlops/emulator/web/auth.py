"""Azure Active Directory and the managed-identity endpoint: where the SDK gets its tokens."""

from __future__ import annotations

import hmac
import time
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse

from bankmlops.emulator.web import tokens
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import EmulatorState, RawBody
from bankmlops.errors import AuthenticationError

router = Router()

LOGIN_HOST = "https://login.microsoftonline.com"
# https://learn.microsoft.com/entra/identity-platform/reference-error-codes: AADSTS7000215, in the words that AAD answers.
_REFUSAL = (
    "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
    "not the client secret ID, for a secret added to app '{client}'. (`bankmlops emulator env` sets the right one.)"
)


@router.get("/msi/{secret}/token")
@router.post("/msi/{secret}/token")
async def managed_identity_token(secret: str, request: Request, emulator: EmulatorState, body: RawBody) -> dict[str, str]:
    """A managed identity's token; the path bears the secret that `bankmlops emulator env` hands out."""
    if not hmac.compare_digest(secret.encode(), emulator.secrets.msi.encode()):
        raise AuthenticationError("the managed-identity endpoint's secret is wrong; run `bankmlops emulator env` again")
    audience = _form(body).get("resource") or request.query_params.get("resource") or tokens.DEFAULT_AUDIENCE
    return {
        "token_type": "Bearer",
        "access_token": tokens.issue(emulator, audience),
        "expires_on": str(int(time.time()) + tokens.LIFETIME_SECONDS),
        "expires_in": str(tokens.LIFETIME_SECONDS),
        "resource": audience,
    }


@router.get("/{tenant}/v2.0/.well-known/openid-configuration")
@router.get("/{tenant}/.well-known/openid-configuration")
async def openid_configuration(tenant: str) -> dict[str, str]:
    """Where msal finds the authority's other endpoints."""
    base = f"{LOGIN_HOST}/{tenant}"
    return {
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
    }


@router.get("/common/discovery/instance")
async def instance_discovery(authorization_endpoint: str = "") -> dict[str, Any]:
    """Which authorities are one cloud."""
    tenant = authorization_endpoint.removesuffix("/oauth2/v2.0/authorize") or f"{LOGIN_HOST}/common"
    host = LOGIN_HOST.removeprefix("https://")
    return {
        "tenant_discovery_endpoint": f"{tenant}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host, "login.windows.net"]}],
    }


@router.post("/{tenant}/oauth2/v2.0/token")
@router.post("/{tenant}/oauth2/token")
async def service_principal_token(tenant: str, emulator: EmulatorState, body: RawBody) -> Any:
    """The client-credentials grant: any tenant and client id, and the client secret of this instance."""
    form = _form(body)
    if not hmac.compare_digest(form.get("client_secret", "").encode(), emulator.secrets.client_secret.encode()):
        return JSONResponse(
            {
                "error": "invalid_client",
                "error_description": _REFUSAL.format(client=form.get("client_id", "")[:64]),
                "error_codes": [7000215],
            },
            401,
        )
    audience = form.get("resource") or form.get("scope", "").split(" ")[0].removesuffix("/.default")
    return {
        "token_type": "Bearer",
        "expires_in": tokens.LIFETIME_SECONDS,
        "ext_expires_in": tokens.LIFETIME_SECONDS,
        "access_token": tokens.issue(emulator, audience, tenant),
    }


def _form(body: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
