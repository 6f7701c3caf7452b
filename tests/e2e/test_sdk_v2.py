"""Microsoft's SDK v2, unchanged and in an environment of its own, against the emulator: what docs/emulator.md says works."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import CommandLine
from support.own_environment import SECONDS, python_with

pytest.importorskip("azureml.dataprep", reason="the emulator reads tables by SDK v1")
pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(SECONDS + 600)]

SCRIPTS = Path(__file__).parent / "sdk_v2_scripts"
SCALE = "0.05"  # of the half hour that the script asks for at most: it asks for six trials


@pytest.fixture(scope="module")
def python() -> Path:
    return python_with("azure-ai-ml")


@pytest.fixture(scope="module")
def learnt(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the script learnt, in a folder and with an emulator of its own; the emulator was asked for nothing that it lacks."""
    command = CommandLine(tmp_path_factory.mktemp("sdk-v2"))
    state = command.folder / "state"
    names = {"subscription_id": "a-subscription", "resource_group": "a-group", "workspace_name": "bank"}
    (command.folder / "config.json").write_text(json.dumps(names))
    try:
        assert command("data", "synthesize", "--rows", "800", "--seed", "5", "bank.csv").returncode == 0
        command.json("emulator", "start", "--state", state, "--ephemeral", "--time-scale", SCALE)
        run = ("emulator", "run", "--state", state, "--")
        done = command(*run, python, "-W", "ignore", SCRIPTS / "classification.py", "bank.csv", "learnt.json", timeout=560)
        unanswered = command.json("emulator", "status", "--state", state)["unanswered"]
        assert done.returncode == 0, f"{(done.stdout + done.stderr)[-6000:]}\n{unanswered}"
        learnt = json.loads((command.folder / "learnt.json").read_text())
        seen = command(*run, sys.executable, "-W", "ignore", SCRIPTS / "seen_by_v1.py", learnt["name"], "seen.json")
        assert seen.returncode == 0, seen.stderr[-6000:]
        yield {**learnt, "unanswered": unanswered, "seen": json.loads((command.folder / "seen.json").read_text())}
    finally:
        command("emulator", "stop", "--state", state)
        command.end_processes()


def test_the_script_knows_nothing_of_the_emulator() -> None:
    """The script has no line about it beside its docstring: it would run in the cloud as it stands."""
    text = (SCRIPTS / "classification.py").read_text().partition('"""\n\nfrom')[2].lower()
    assert text
    assert not [word for word in ("emulator", "bankmlops", "127.0.0.1", "localhost") if word in text]


def test_nothing_was_missing(learnt: dict[str, Any]) -> None:
    """The emulator knew every route that the SDK asked for."""
    assert learnt["unanswered"] == []


def test_workspace(learnt: dict[str, Any]) -> None:
    """A service principal signs in, and finds the workspace, its compute and its datastores."""
    name, location, path = learnt["workspace"]
    assert (name, location) == ("bank", "westeurope")
    assert path.endswith("/workspaces/bank")
    assert learnt["compute"] == "cpu-cluster"
    assert learnt["datastores"] == {"workspaceblobstore": "AzureBlob", "workspaceartifactstore": "AzureBlob"}
    assert learnt["default"] == "workspaceblobstore"


def test_data(learnt: dict[str, Any]) -> None:
    """A folder is uploaded and becomes version 1; changed, it becomes version 2, by a path of its own, until it is archived."""
    data = learnt["data"]
    assert data["versions"] == ["1", "2"]
    assert data["latest"] == "2"
    assert data["description"] == "Bank Marketing"
    assert "/datastores/workspaceblobstore/paths/LocalUpload/" in data["path"]
    assert data["listed"] == ["bank-marketing"]
    assert (data["listed_versions"], data["in_use"]) == (["2", "1"], ["1"])


def test_job(learnt: dict[str, Any]) -> None:
    """AutoML trains until it is `Completed`; the job says what it was asked for, and run history has its trials."""
    job = learnt["job"]
    assert job["submitted"] in ("NotStarted", "Starting", "Running")
    assert job["studio"].startswith("https://ml.azure.com/runs/")
    assert job["status"] == "Completed"
    assert "Execution Summary" in job["streamed"]
    assert job["limits"] == [30, 6]
    assert job["data"].endswith("/data/bank-marketing/versions/1")
    assert job["compute"].endswith("cpu-cluster")
    assert (job["tags"]["team"], job["tags"]["reviewed"], job["display_name"]) == ("marketing", "yes", "The campaign")
    assert len(job["children"]) >= 2
    assert set(job["children"].values()) == {"Completed"}
    assert learnt["download"]["best"] in job["children"]


def test_files(learnt: dict[str, Any]) -> None:
    """The best trial's model and scoring script are downloaded by its name."""
    files = learnt["download"]["files"]
    assert files["artifacts/outputs/model.pkl"] > 1000
    assert "artifacts/outputs/scoring_file_v_1_0_0.py" in files
    assert learnt["download"]["algorithm"] in ("LightGBM", "LogisticRegression", "VotingEnsemble")
    assert 0.5 < float(learnt["download"]["score"]) <= 1


def test_cancelled(learnt: dict[str, Any]) -> None:
    """A job on a local folder, which is uploaded for it, is cancelled; archived, it is no longer among the jobs."""
    assert learnt["cancelled"]["states"][-1] == "Canceled"
    assert learnt["cancelled"]["name"] not in learnt["jobs"]
    assert learnt["jobs"][learnt["name"]] == ["Completed", "bank-marketing"]
    assert sorted(status for status, _ in learnt["jobs"].values()) == ["Completed", "Failed"]


def test_failed(learnt: dict[str, Any]) -> None:
    """A wrong column fails the job and says so; what the emulator can't train is refused, in words that help."""
    failed = learnt["failed"]
    assert failed["states"][-1] == "Failed"
    assert "'missing' is not in the dataset" in failed["streamed"]
    assert "the emulator trains 'Classification' alone" in failed["regression"]
    assert "data asset bank-marketing:9 is not in workspace" in failed["no table"]
    assert "can't be cancelled: it is Failed" in failed["ended"]


def test_seen_by_sdk_v1(learnt: dict[str, Any]) -> None:
    """It is a run of AutoML to SDK v1 as well, which loads its model and registers it."""
    seen = learnt["seen"]
    assert (seen["status"], seen["best"]) == ("Completed", learnt["download"]["best"])
    assert {"AUC_weighted", "accuracy"} <= set(seen["metrics"])
    assert (seen["predicts"], seen["registered"]) == (True, 1)
