"""Which workspace is meant: found in a config.json or in the environment, before anything heavy is imported."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bankmlops.errors import AuthenticationError, InvalidRequestError

FILE_VARIABLE = "BANKMLOPS_AZURE_CONFIG"
VARIABLES = ("AZUREML_ARM_SUBSCRIPTION", "AZUREML_ARM_RESOURCEGROUP", "AZUREML_ARM_WORKSPACE_NAME")
FIELDS = ("subscription_id", "resource_group", "workspace_name")
MAXIMUM_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class AzureConfig:
    """The workspace's address, and what a compute is made of where none of its name exists."""

    subscription_id: str
    resource_group: str
    workspace_name: str
    vm_size: str = "STANDARD_DS3_V2"
    maximum_nodes: int = 4


def find_configuration(environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> AzureConfig:
    """The configuration, from the first that exists of: the file that `BANKMLOPS_AZURE_CONFIG` names; config.json,
    .azureml/config.json or aml_config/config.json in `folder` (the working folder) or above it; the SDK's own three variables.

    Raises `AuthenticationError` where there is none, `InvalidRequestError` where what was found can't be used.
    """
    file = _named_file(environ) or _nearest_file(folder or Path.cwd())
    if file is not None:
        return _with_sizes(_read(file), environ)
    subscription, group, workspace = (environ.get(name, "") for name in VARIABLES)
    if subscription and group and workspace:
        return _with_sizes(AzureConfig(subscription, group, workspace), environ)
    raise AuthenticationError(
        f"no Azure ML workspace is configured: put the workspace's config.json into this folder, or set {FILE_VARIABLE} to it, "
        f"or set {', '.join(VARIABLES)}"
    )


def main() -> None:
    """Tell the Makefile what the adapter would find: exit code 0 and the workspace, 1 where none is configured, 2 with one line
    where what was found can't be used."""
    try:
        config = find_configuration()
    except AuthenticationError:
        sys.exit(1)
    except InvalidRequestError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    print(f"Azure ML workspace {config.workspace_name} of resource group {config.resource_group}")  # noqa: T201


def _named_file(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(FILE_VARIABLE, "")
    if not named:
        return None
    file = Path(named).expanduser()
    if file.is_dir():
        file = file / "config.json"
    if not file.is_file():
        raise InvalidRequestError(f"{FILE_VARIABLE}: there is no file {file}; download config.json from the workspace's page")
    return file


def _candidates(folder: Path) -> Iterator[Path]:
    for place in (folder, *folder.parents):
        yield from (place / inner / "config.json" for inner in ("", ".azureml", "aml_config"))


def _nearest_file(folder: Path) -> Path | None:
    return next((file for file in _candidates(folder.absolute()) if file.is_file() and _is_workspace(file)), None)


def _is_workspace(file: Path) -> bool:
    """Other tools keep a config.json too; theirs names no workspace."""
    try:
        return '"workspace_name"' in file.read_text(encoding="utf-8-sig")[:MAXIMUM_BYTES]
    except (OSError, UnicodeDecodeError):
        return False


def _read(file: Path) -> AzureConfig:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidRequestError(f"{file}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidRequestError(f"{file}: is no JSON ({error}); download it again from the workspace's page") from error
    missing = [name for name in FIELDS if not isinstance(content, dict) or not _is_text(content.get(name))]
    if missing:
        raise InvalidRequestError(f"{file}: lacks {', '.join(missing)}; an Azure ML config.json has {', '.join(FIELDS)}")
    return AzureConfig(*(content[name].strip() for name in FIELDS))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _with_sizes(config: AzureConfig, environ: Mapping[str, str]) -> AzureConfig:
    nodes = environ.get("BANKMLOPS_AZURE_MAX_NODES", "") or str(config.maximum_nodes)
    if not nodes.isascii() or not nodes.isdigit() or not 1 <= int(nodes) <= 100:
        raise InvalidRequestError(f"BANKMLOPS_AZURE_MAX_NODES is {nodes!r}; give a number from 1 to 100")
    return AzureConfig(
        config.subscription_id,
        config.resource_group,
        config.workspace_name,
        environ.get("BANKMLOPS_AZURE_VM_SIZE", "") or config.vm_size,
        int(nodes),
    )


if __name__ == "__main__":
    main()
