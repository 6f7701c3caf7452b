"""What a client's environment has to say so that Microsoft's SDK, unchanged, speaks to the emulator."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from bankmlops.emulator.home import VARIABLE, Home, Running
from bankmlops.emulator.instance import AZURE_HOSTS, BLOB_SUFFIX, Addresses
from bankmlops.emulator.scripts.runtime_wheel import build_runtime_wheel
from bankmlops.emulator.web.proxy_settings import KEPT_NO_PROXY, KEPT_PROXY, bypasses, original_exceptions, original_proxy
from bankmlops.emulator.workspace_file import workspace_config

# Real credentials have no business with an emulator, and the SDK would prefer some of them to its managed identity.
WITHHELD = (
    "AZUREML_ARM_ACCESS_TOKEN",
    "AZUREML_RUN_TOKEN",
    "AZUREML_SERVICE_PRINCIPAL_ID",
    "AZUREML_SERVICE_PRINCIPAL_PASSWORD",
    "AZUREML_SERVICE_PRINCIPAL_TENANT_ID",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_ML_TOKEN",
    "AZURE_PASSWORD",
    "AZURE_USERNAME",
    "BANKMLOPS_AZURE_AUTH",
    "BANKMLOPS_AZURE_CREDENTIALS",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "MSI_SECRET",
)
WORKSPACE_VARIABLES = ("AZUREML_ARM_SUBSCRIPTION", "AZUREML_ARM_RESOURCEGROUP", "AZUREML_ARM_WORKSPACE_NAME")
_LOOPBACK = ("127.0.0.1", "localhost")


def client_environment(home: Home, running: Running, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables to set, over `environ`; HOME is not among them."""
    secrets = json.loads((running.state / "secrets.json").read_text("utf-8"))
    return {
        VARIABLE: str(home.folder),
        **wire_variables(running.state, running.addresses, environ, environ.get("PYTHONPATH", "")),
        "MSI_ENDPOINT": f"{running.addresses.base_url}/msi/{secrets['msi']}/token",
        "AZURE_TENANT_ID": secrets["tenant_id"],
        "AZURE_CLIENT_ID": secrets["client_id"],
        "AZURE_CLIENT_SECRET": secrets["client_secret"],
        **_workspace_variables(environ),
    }


def wire_variables(state: Path, addresses: Addresses, environ: Mapping[str, str], python_path: str) -> dict[str, str]:
    """What leads Azure's names to the emulator, and no credentials."""
    proxy = f"http://127.0.0.1:{addresses.proxy_port}"
    exceptions = ",".join([*_LOOPBACK, *_harmless(original_exceptions(environ))])
    bundle = str(state / "certificates" / "bundle.pem")
    azure_folder = state / "azure-config"
    azure_folder.mkdir(mode=0o700, exist_ok=True)
    return {
        KEPT_PROXY: original_proxy(environ),
        KEPT_NO_PROXY: original_exceptions(environ),
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": exceptions,
        "no_proxy": exceptions,
        "REQUESTS_CA_BUNDLE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "SSL_CERT_FILE": bundle,
        "AZURE_CONFIG_DIR": str(azure_folder),
        "PYTHONPATH": _python_path(state, python_path),
    }


def complete_environment(home: Home, running: Running, environ: Mapping[str, str]) -> dict[str, str]:
    """All of a child's environment: `environ` without real credentials, and what a client needs."""
    kept = {name: value for name, value in environ.items() if name not in WITHHELD}
    return kept | client_environment(home, running, environ)


def shell_lines(variables: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """POSIX shell that sets the variables and takes real credentials out of the way, for `eval`."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*lines, *(f"unset {name}" for name in WITHHELD if name in environ)])


def _workspace_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The SDK's own three variables, as far as nobody has set them."""
    config = workspace_config()
    named = dict(zip(WORKSPACE_VARIABLES, config.values(), strict=True))
    return {} if all(environ.get(name) for name in WORKSPACE_VARIABLES) else named


def _python_path(state: Path, given: str) -> str:
    """The module that `AutoMLRun.get_output()` imports, last, so that Microsoft's own comes first where it is there."""
    wheel = str(build_runtime_wheel(state))
    entries = [entry for entry in given.split(os.pathsep) if entry and entry != wheel]
    return os.pathsep.join([*entries, wheel])


def _harmless(exceptions: str) -> list[str]:
    """NO_PROXY without the entries that would lead Azure's names past the emulator, to the real cloud."""
    names = (*AZURE_HOSTS, f"account{BLOB_SUFFIX}")
    entries = [entry for entry in exceptions.replace(" ", "").split(",") if entry and entry not in _LOOPBACK]
    return [entry for entry in entries if not any(bypasses(name, (entry,)) for name in names)]
