"""Which workspace is meant: a file that is named or lies near, or three variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bankmlops.azure.configuration import AzureConfig, find_configuration
from bankmlops.errors import AuthenticationError, InvalidRequestError

CONTENT = {"subscription_id": "s", "resource_group": "g", "workspace_name": "w"}
VARIABLES = {"AZUREML_ARM_SUBSCRIPTION": "s2", "AZUREML_ARM_RESOURCEGROUP": "g2", "AZUREML_ARM_WORKSPACE_NAME": "w2"}


@pytest.mark.parametrize("place", ["config.json", ".azureml/config.json", "aml_config/config.json", "../config.json"])
def test_the_nearest_file(place: str, tmp_path: Path) -> None:
    """A config.json is found in the folder, in the two folders that Azure's tools use, and above; it goes before variables."""
    folder = tmp_path / "project"
    folder.mkdir()
    _write(folder / place)
    assert find_configuration(VARIABLES, folder) == AzureConfig("s", "g", "w")


def test_the_named_file_or_folder(tmp_path: Path) -> None:
    """`BANKMLOPS_AZURE_CONFIG` names the file, or the folder that it lies in, and goes first."""
    _write(tmp_path / "config.json", workspace_name="near")
    named = _write(tmp_path / "elsewhere" / "config.json", workspace_name="named")
    for value in (named, named.parent):
        assert find_configuration({"BANKMLOPS_AZURE_CONFIG": str(value)}, tmp_path).workspace_name == "named"


def test_other_tools_config(tmp_path: Path) -> None:
    """A config.json of another tool is passed over."""
    (tmp_path / "config.json").write_text('{"theme": "dark"}')
    assert find_configuration(VARIABLES, tmp_path) == AzureConfig("s2", "g2", "w2")


def test_a_byte_order_mark(tmp_path: Path) -> None:
    """A file as Windows' editors write it serves."""
    (tmp_path / "config.json").write_text(json.dumps(CONTENT), encoding="utf-8-sig")
    assert find_configuration({}, tmp_path).subscription_id == "s"


def test_nothing_configured(tmp_path: Path) -> None:
    """Without any workspace one line says the three ways to name one."""
    with pytest.raises(AuthenticationError, match=r"config\.json.*BANKMLOPS_AZURE_CONFIG.*AZUREML_ARM_SUBSCRIPTION") as caught:
        find_configuration({"AZUREML_ARM_SUBSCRIPTION": "alone"}, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"workspace_name": "w"', "no JSON"),
        ('{"workspace_name": "w", "resource_group": " "}', "subscription_id, resource_group"),
        ('["workspace_name"]', "workspace_name"),
    ],
)
def test_a_file_that_cant_serve(text: str, words: str, tmp_path: Path) -> None:
    """A file that is broken or lacks a field is named, with what it lacks."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InvalidRequestError, match=words):
        find_configuration({}, tmp_path)


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    """A wrong path is told, and nothing else is taken instead."""
    _write(tmp_path / "config.json")
    with pytest.raises(InvalidRequestError, match="BANKMLOPS_AZURE_CONFIG"):
        find_configuration({"BANKMLOPS_AZURE_CONFIG": str(tmp_path / "nothing.json")}, tmp_path)


def test_the_size_of_a_new_compute(tmp_path: Path) -> None:
    """The virtual machine and the number of nodes can be set."""
    sizes = {"BANKMLOPS_AZURE_VM_SIZE": "STANDARD_F2S_V2", "BANKMLOPS_AZURE_MAX_NODES": "2"}
    found = find_configuration({**VARIABLES, **sizes}, tmp_path)
    assert (found.vm_size, found.maximum_nodes) == ("STANDARD_F2S_V2", 2)


@pytest.mark.parametrize("nodes", ["0", "101", "many", "-1", "²"])
def test_a_number_of_nodes_that_cant_serve(nodes: str, tmp_path: Path) -> None:
    """A number of nodes that is none, or that would cost a fortune, is refused."""
    with pytest.raises(InvalidRequestError, match="BANKMLOPS_AZURE_MAX_NODES"):
        find_configuration({**VARIABLES, "BANKMLOPS_AZURE_MAX_NODES": nodes}, tmp_path)


def _write(file: Path, **changes: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(CONTENT | changes))
    return file
