"""`make azure-e2e` takes the workspace that the adapter would find, and the emulator where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONFIG = {"subscription_id": "s", "resource_group": "g", "workspace_name": "w"}
REAL = "--backend azure e2e --minutes 20 --pipeline-minutes 20 --evidence build/e2e/azure.json"
OF_MAKE = ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")  # what a make that runs these tests hands on
EMULATED = "emulator run -- venv/bin/bankmlops --backend azure e2e --evidence build/e2e/azure.json"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout below `tmp_path` that is set up, with a command that says what it was asked for."""
    folder = tmp_path / "project"
    (folder / "venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "requirements", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    _script(folder / "venv" / "bin" / "python", f'exec {sys.executable} "$@"')
    _script(folder / "venv" / "bin" / "bankmlops", 'echo "$@"')
    (folder / "venv" / "dev.stamp").touch()
    return folder


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _make(project: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    return subprocess.run(
        ["make", "--no-print-directory", "azure-e2e", "venv=venv"],
        cwd=project,
        env={**ours, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "place", ["project/config.json", "project/.azureml/config.json", "project/aml_config/config.json", "config.json"]
)
def test_a_workspace_that_is_near(project: Path, tmp_path: Path, place: str) -> None:
    """A config.json in the folder, in one of Azure's two or above has the flow run on the real workspace, and names it first."""
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps(CONFIG))
    assert _make(project).stdout.splitlines() == ["Azure ML workspace w of resource group g", REAL]


def test_a_workspace_of_the_environment(project: Path) -> None:
    """The SDK's own variables count as well."""
    names = {"AZUREML_ARM_SUBSCRIPTION": "s", "AZUREML_ARM_RESOURCEGROUP": "g", "AZUREML_ARM_WORKSPACE_NAME": "w2"}
    assert _make(project, **names).stdout.splitlines() == ["Azure ML workspace w2 of resource group g", REAL]


def test_no_workspace(project: Path, tmp_path: Path) -> None:
    """Without one the emulator takes its place; another tool's config.json names none."""
    (tmp_path / "config.json").write_text('{"theme": "dark"}')
    assert _make(project).stdout.splitlines() == [EMULATED]


def test_a_workspace_that_is_wrong(project: Path, tmp_path: Path) -> None:
    """What can't be used is told, and nothing is run in its place."""
    done = _make(project, BANKMLOPS_AZURE_CONFIG=str(tmp_path / "nowhere.json"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no file" in done.stderr
