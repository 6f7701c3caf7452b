"""Who we are to Azure: chosen from the environment, told in one line where it is wrong, and secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bankmlops.azure.authentication import AuthenticationKind, Credentials, choose_credentials, sdk_authentication
from bankmlops.errors import AuthenticationError, BankMLOpsError, InvalidRequestError

PRINCIPAL = {"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "hush"}
SDK_PRINCIPAL = {
    "AZUREML_SERVICE_PRINCIPAL_TENANT_ID": "tenant",
    "AZUREML_SERVICE_PRINCIPAL_ID": "client",
    "AZUREML_SERVICE_PRINCIPAL_PASSWORD": "hush",
}


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        (PRINCIPAL, AuthenticationKind.SERVICE_PRINCIPAL),
        (SDK_PRINCIPAL, AuthenticationKind.SERVICE_PRINCIPAL),
        ({"AZURE_ML_TOKEN": "hush"}, AuthenticationKind.TOKEN),
        ({"AZUREML_ARM_ACCESS_TOKEN": "Bearer hush"}, AuthenticationKind.TOKEN),
        ({"MSI_ENDPOINT": "http://127.0.0.1/token"}, AuthenticationKind.MANAGED_IDENTITY),
        ({"IDENTITY_ENDPOINT": "http://127.0.0.1/token", "AZURE_CLIENT_ID": "client"}, AuthenticationKind.MANAGED_IDENTITY),
        ({**PRINCIPAL, "BANKMLOPS_AZURE_AUTH": "cli"}, AuthenticationKind.AZURE_CLI),
        ({"BANKMLOPS_AZURE_AUTH": " Device-Code "}, AuthenticationKind.DEVICE_CODE),
        ({"BANKMLOPS_AZURE_AUTH": "interactive"}, AuthenticationKind.INTERACTIVE),
        ({**PRINCIPAL, "AZURE_ML_TOKEN": "hush"}, AuthenticationKind.SERVICE_PRINCIPAL),
    ],
)
def test_the_environment_chooses(environ: dict[str, str], kind: AuthenticationKind) -> None:
    """What is named counts first, then a service principal, a token and a managed identity."""
    assert choose_credentials(environ).kind is kind


def test_the_token_is_taken_bare() -> None:
    """A token that was copied with its "Bearer" serves as well."""
    assert choose_credentials({"AZURE_ML_TOKEN": "Bearer abc"}).secret == "abc"


@pytest.mark.parametrize(
    ("environ", "error", "words"),
    [
        ({}, AuthenticationError, "AZURE_CLIENT_SECRET"),
        ({"AZURE_CLIENT_SECRET": "hush"}, AuthenticationError, "AZURE_TENANT_ID, AZURE_CLIENT_ID"),
        ({"AZURE_TENANT_ID": "t"}, AuthenticationError, "AZURE_CLIENT_ID"),
        ({"BANKMLOPS_AZURE_AUTH": "token"}, AuthenticationError, "AZURE_ML_TOKEN"),
        ({"BANKMLOPS_AZURE_AUTH": "magic"}, InvalidRequestError, "magic.*service-principal.*device-code"),
        ({"BANKMLOPS_AZURE_CREDENTIALS": "/nowhere/principal.json"}, AuthenticationError, "/nowhere/principal.json"),
    ],
)
def test_what_is_missing_is_told(environ: dict[str, str], error: type[BankMLOpsError], words: str) -> None:
    """No credentials, or a part of them, is one line that says what to set, and shows no secret."""
    with pytest.raises(error, match=words) as caught:
        choose_credentials(environ)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"tenant_id": "tenant", "client_id": "client", "client_secret": "hush"},
        {"tenantId": "tenant", "clientId": "client", "clientSecret": "hush", "subscriptionId": "s"},
        {"tenant": "tenant", "appId": "client", "password": "hush", "displayName": "d"},
    ],
)
def test_a_file_of_a_service_principal(content: dict[str, str], tmp_path: Path) -> None:
    """A file serves in our words and in those of both commands of `az`."""
    file = _write(tmp_path, json.dumps(content))
    credentials = choose_credentials({"BANKMLOPS_AZURE_CREDENTIALS": str(file)})
    assert (credentials.tenant_id, credentials.client_id, credentials.secret) == ("tenant", "client", "hush")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"tenant_id": "t", "client_id": "c"}', "client_secret"),
        ('["hush"]', "tenant_id"),
        ("hush hush", "JSON"),
    ],
)
def test_a_file_that_cant_serve(text: str, words: str, tmp_path: Path) -> None:
    """A file that lacks something is named with what it lacks, and nothing of it is shown."""
    file = _write(tmp_path, text)
    with pytest.raises(AuthenticationError, match=words) as caught:
        choose_credentials({"BANKMLOPS_AZURE_CREDENTIALS": str(file)})
    assert str(file) in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_that_others_can_read(tmp_path: Path) -> None:
    """A secret that lies open is refused, with the command that mends it."""
    file = _write(tmp_path, "{}")
    file.chmod(0o644)
    with pytest.raises(AuthenticationError, match="chmod 600"):
        choose_credentials({"BANKMLOPS_AZURE_CREDENTIALS": str(file)})


def test_secrets_show_in_no_repr() -> None:
    """Credentials can be printed."""
    assert "hush" not in repr(choose_credentials(PRINCIPAL))


def test_a_token_goes_into_the_sdks_header() -> None:
    """The SDK sends the token that was given."""
    authentication = sdk_authentication(Credentials(AuthenticationKind.TOKEN, secret="abc"))
    assert authentication.get_authentication_header() == {"Authorization": "Bearer abc"}


@pytest.mark.parametrize("kind", [AuthenticationKind.AZURE_CLI, AuthenticationKind.INTERACTIVE, AuthenticationKind.DEVICE_CODE])
def test_a_login_is_asked_for_nothing_until_it_is_needed(kind: AuthenticationKind) -> None:
    """Choosing a login opens no browser and asks no server."""
    assert type(sdk_authentication(Credentials(kind, tenant_id="tenant"))).__name__ == "TokenAuthentication"


def _write(folder: Path, text: str) -> Path:
    file = folder / "principal.json"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file
