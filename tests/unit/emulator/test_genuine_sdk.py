"""Microsoft's own SDK, unchanged, in a process of its own under `bankmlops emulator run`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import CommandLine

pytest.importorskip("azureml.core", reason="the SDK is not installed")
pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("sdk_script.py")
CONFIG = {"subscription_id": "3f1c4a52-0000-4000-8000-1234567890ab", "resource_group": "a-group", "workspace_name": "a-workspace"}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the script saw, in a folder with somebody's own config.json."""
    command_line = CommandLine(tmp_path_factory.mktemp("sdk"))
    (command_line.folder / "config.json").write_text(json.dumps(CONFIG))
    done = command_line("emulator", "run", "--", sys.executable, SCRIPT, "seen.json", timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    assert command_line.processes() == []
    document: dict[str, Any] = json.loads((command_line.folder / "seen.json").read_text())
    yield document
    command_line.end_processes()


def test_the_workspace_of_the_config(seen: dict[str, Any]) -> None:
    """`Workspace.from_config()` finds the workspace of any names, and each kind of authentication is let into the same one."""
    assert seen["workspace"] == "a-workspace"
    assert seen["authentications"] == [True, True]


def test_data(seen: dict[str, Any]) -> None:
    """An uploaded table comes back cell for cell through the native reader, by name and by id; files and a second store too."""
    data = seen["data"]
    assert data["same"]
    assert data["downloaded"]
    assert (data["version"], data["tags"], data["by id"], data["files"]) == (1, {"of": "test"}, "bank", ["bank.csv"])


def test_errors_are_the_sdks_own(seen: dict[str, Any]) -> None:
    """A dataset and a model that are missing and a name that is taken are told in the words that the SDK has for them."""
    assert "Cannot find dataset" in seen["data"]["missing"]
    assert "already a dataset registered" in seen["data"]["taken"]
    assert "ModelNotFound" in seen["things"]["no model"]


def test_runs(seen: dict[str, Any]) -> None:
    """Status, metrics, tags, artifacts and the snapshot of a run are what was sent."""
    runs = seen["runs"]
    assert (runs["status"], runs["failed"]) == ("Completed", "Failed")
    assert runs["metrics"] == {"accuracy": 0.9, "losses": [3, 2, 1], "row": {"a": 1, "b": 2}}
    assert runs["tags"] == {"kind": "test"}
    assert "outputs/bank.csv" in runs["files"]
    assert all(runs[name] for name in ("artifact", "snapshot", "newest first", "model"))


def test_computes_models_and_environments(seen: dict[str, Any]) -> None:
    """A compute stands, model versions count up and come back, an environment has a version, the workspace is listed."""
    things = seen["things"]
    assert (things["compute"], things["computes"]) == ("Succeeded", ["cpu"])
    assert things["versions"] == [1, 2, 2]
    assert things["model"]
    assert things["environment"] == "1"
    assert things["workspaces"] == ["a-workspace"]
