"""Who we are to Azure: the kind of authentication is chosen from the environment, and secrets show in no repr.

The SDK is imported only when its authentication object is made, so that a wrong setting is told at once.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bankmlops.errors import AuthenticationError, InvalidRequestError

KIND_VARIABLE = "BANKMLOPS_AZURE_AUTH"
FILE_VARIABLE = "BANKMLOPS_AZURE_CREDENTIALS"
TOKEN_VARIABLES = ("AZURE_ML_TOKEN", "AZUREML_ARM_ACCESS_TOKEN")
SERVICE_PRINCIPAL = (
    ("AZURE_TENANT_ID", "AZUREML_SERVICE_PRINCIPAL_TENANT_ID", "tenant_id"),
    ("AZURE_CLIENT_ID", "AZUREML_SERVICE_PRINCIPAL_ID", "client_id"),
    ("AZURE_CLIENT_SECRET", "AZUREML_SERVICE_PRINCIPAL_PASSWORD", "client_secret"),
)
HOW = (
    "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (a service principal), or BANKMLOPS_AZURE_CREDENTIALS "
    "(a file that holds them), or AZURE_ML_TOKEN, or BANKMLOPS_AZURE_AUTH=cli, msi or interactive"
)


class AuthenticationKind(StrEnum):
    """The ways in."""

    SERVICE_PRINCIPAL = "service-principal"
    MANAGED_IDENTITY = "msi"
    AZURE_CLI = "cli"
    INTERACTIVE = "interactive"
    DEVICE_CODE = "device-code"
    TOKEN = "token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Credentials:
    """What was chosen, and what it needs; fields that a kind does not need are empty."""

    kind: AuthenticationKind
    tenant_id: str = ""
    client_id: str = ""
    secret: str = field(default="", repr=False)


def choose_credentials(environ: Mapping[str, str] = os.environ) -> Credentials:
    """The kind that `BANKMLOPS_AZURE_AUTH` names; else a service principal, a token or a managed identity, where one is set.

    Raises `AuthenticationError` with what to set where nothing or only a part is, `InvalidRequestError` for an unknown kind.
    """
    kind = _named_kind(environ) or _evident_kind(environ)
    if kind is AuthenticationKind.SERVICE_PRINCIPAL:
        return _service_principal(environ)
    if kind is AuthenticationKind.TOKEN:
        return Credentials(kind, secret=_token(environ))
    client = environ.get("AZURE_CLIENT_ID", "") if kind is AuthenticationKind.MANAGED_IDENTITY else ""
    return Credentials(kind, environ.get("AZURE_TENANT_ID", ""), client)


def _named_kind(environ: Mapping[str, str]) -> AuthenticationKind | None:
    named = environ.get(KIND_VARIABLE, "").strip().lower()
    if not named:
        return None
    try:
        return AuthenticationKind(named)
    except ValueError as error:
        raise InvalidRequestError(f"{KIND_VARIABLE} is {named!r}; it may be one of: {', '.join(AuthenticationKind)}") from error


def _evident_kind(environ: Mapping[str, str]) -> AuthenticationKind:
    if environ.get(FILE_VARIABLE) or any(environ.get(name) for name in SERVICE_PRINCIPAL[2][:2]):
        return AuthenticationKind.SERVICE_PRINCIPAL
    if any(environ.get(name) for name in TOKEN_VARIABLES):
        return AuthenticationKind.TOKEN
    if environ.get("MSI_ENDPOINT") or environ.get("IDENTITY_ENDPOINT"):
        return AuthenticationKind.MANAGED_IDENTITY
    raise AuthenticationError(f"no Azure credentials: {HOW}")


def _token(environ: Mapping[str, str]) -> str:
    token = next((environ[name] for name in TOKEN_VARIABLES if environ.get(name)), "")
    if not token:
        raise AuthenticationError(
            f"no Azure token: set {TOKEN_VARIABLES[0]} to an access token for https://management.azure.com/"
        )
    return token.removeprefix("Bearer ").strip()


def _service_principal(environ: Mapping[str, str]) -> Credentials:
    file = environ.get(FILE_VARIABLE, "")
    values = _values_of_file(Path(file).expanduser()) if file else _values_of_environment(environ)
    missing = [names[2] if file else names[0] for names, value in zip(SERVICE_PRINCIPAL, values, strict=True) if not value]
    if missing:
        where = f"{file} lacks" if file else "not set:"
        raise AuthenticationError(f"the service principal is incomplete, {where} {', '.join(missing)}")
    return Credentials(AuthenticationKind.SERVICE_PRINCIPAL, *values)


def _values_of_environment(environ: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(environ.get(azure) or environ.get(azureml) or "" for azure, azureml, _ in SERVICE_PRINCIPAL)


def _values_of_file(file: Path) -> tuple[str, ...]:
    """A service principal as JSON, in this package's words or in those of `az ad sp create-for-rbac --sdk-auth`."""
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise AuthenticationError(f"{file} can be read by others: chmod 600 {file}")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise AuthenticationError(f"{FILE_VARIABLE}: {file} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise AuthenticationError(f"{FILE_VARIABLE}: {file} is no JSON with tenant_id, client_id and client_secret") from error
    if not isinstance(content, dict):
        raise AuthenticationError(f"{FILE_VARIABLE}: {file} is no JSON object with tenant_id, client_id and client_secret")
    aliases = (
        ("tenant_id", "tenantId", "tenant"),
        ("client_id", "clientId", "appId"),
        ("client_secret", "clientSecret", "password"),
    )
    return tuple(next((str(content[name]) for name in names if content.get(name)), "") for names in aliases)


def sdk_authentication(credentials: Credentials) -> Any:
    """The SDK's authentication object. Raises what the SDK raises where the credentials are refused at once."""
    from azureml.core import authentication as sdk

    tenant = credentials.tenant_id or None
    match credentials.kind:
        case AuthenticationKind.SERVICE_PRINCIPAL:
            return sdk.ServicePrincipalAuthentication(tenant, credentials.client_id, credentials.secret)
        case AuthenticationKind.MANAGED_IDENTITY:
            identity = {"client_id": credentials.client_id} if credentials.client_id else {}
            return sdk.MsiAuthentication(identity_config=identity)
        case AuthenticationKind.TOKEN:
            return sdk.TokenAuthentication(lambda _audience: credentials.secret)
        case AuthenticationKind.AZURE_CLI | AuthenticationKind.INTERACTIVE | AuthenticationKind.DEVICE_CODE:
            return sdk.TokenAuthentication(_IdentityToken(credentials))


class _IdentityToken:
    """A token of azure-identity for any audience, kept until it is about to expire.

    The SDK's own Azure CLI class wants azure-cli in this very environment; it has no device code; and what its interactive login
    says goes to stdout and to a logger, both of which are kept still here.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credential = _identity_credential(credentials)
        self._tokens: dict[str, Any] = {}

    def __call__(self, audience: str) -> str:
        known = self._tokens.get(audience)
        if known is None or known.expires_on < time.time() + 300:
            known = self._tokens[audience] = self._credential.get_token(f"{audience.rstrip('/')}/.default")
        return str(known.token)


def _identity_credential(credentials: Credentials) -> Any:
    from azure import identity

    tenant = {"tenant_id": credentials.tenant_id} if credentials.tenant_id else {}
    if credentials.kind is AuthenticationKind.AZURE_CLI:
        return identity.AzureCliCredential(**tenant)
    if credentials.kind is AuthenticationKind.INTERACTIVE:
        return identity.InteractiveBrowserCredential(**tenant)
    return identity.DeviceCodeCredential(prompt_callback=_prompt, **tenant)


def _prompt(verification_uri: str, user_code: str, _expires_on: object) -> None:
    print(f"To sign in, open {verification_uri} and enter the code {user_code}", file=sys.stderr, flush=True)  # noqa: T201
