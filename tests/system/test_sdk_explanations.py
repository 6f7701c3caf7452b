"""Microsoft's own `ExplanationClient` of `azureml-interpret` on the explanation that an AutoML run of the emulator leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import CommandLine
from support.emulated_azure import emulator_of
from support.own_environment import SECONDS as ENVIRONMENT_SECONDS
from support.own_environment import python_with

pytest.importorskip("azureml.core", reason="the SDK is not installed")

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(ENVIRONMENT_SECONDS + 600)]
TRAIN = """
import json
from pathlib import Path
from random import Random
from azureml.core import Dataset, Experiment, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.train.automl import AutoMLConfig
ws = Workspace.from_config()
random = Random(3)
ages = [random.randint(18, 80) for _ in range(400)]
lines = [f"{age},{random.random()},{'yes' if age + random.gauss(0, 20) > 65 else 'no'}" for age in ages]
Path("table.csv").write_text("\\n".join(["age,noise,y", *lines]))
store = ws.get_default_datastore()
store.upload_files([str(Path("table.csv").resolve())], target_path="explained", show_progress=False)
config = AutoMLConfig(
    task="classification",
    training_data=Dataset.Tabular.from_delimited_files(store.path("explained/table.csv")),
    label_column_name="y",
    compute_target=ComputeTarget.create(ws, "cluster", AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=4)),
    experiment_timeout_hours=0.25,
    n_cross_validations=2,
    primary_metric="AUC_weighted",
    allowed_models=["LogisticRegression"],
    model_explainability=True,
    debug_log="automl.log",
)
run = Experiment(ws, "explained").submit(config, show_output=False)
run.wait_for_completion(show_output=False)
Path("best.json").write_text(json.dumps(run.get_best_child().id))
"""
EXPLAIN = """
import json
from pathlib import Path
from azureml.core import Workspace
from azureml.interpret import ExplanationClient
best = json.loads(Path("best.json").read_text())
client = ExplanationClient.from_run_id(Workspace.from_config(), "explained", best)
explanation = client.download_model_explanation(raw=True)
top = client.download_model_explanation(top_k=1)
seen = {
    "names": explanation.get_ranked_global_names(),
    "values": explanation.get_ranked_global_values(),
    "shares": explanation.get_feature_importance_dict(),
    "top": top.get_ranked_global_names(),
    "raw": explanation.is_raw,
    "listed": [each["version"] if "version" in each else str(each) for each in client.list_model_explanations()],
}
Path("seen.json").write_text(json.dumps(seen, default=str))
"""


@pytest.fixture
def command(tmp_path: Path) -> Iterator[CommandLine]:
    command = CommandLine(tmp_path)
    (tmp_path / "home").mkdir()
    with emulator_of(command, "explained", "0.008"):
        command.environment["HOME"] = str(tmp_path / "home")
        yield command


def _run(command: CommandLine, python: str, script: str) -> None:
    words = [python, "-W", "ignore", "-c", script]
    environment = command.environment_of_commands()
    done = subprocess.run(words, cwd=command.folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def test_it_is_downloaded(command: CommandLine) -> None:
    """The columns come with their importance, the one that the label depends on first, whole and cut to the first."""
    python = python_with("azureml-widgets")  # it holds azureml-interpret, too, which wants an old numpy
    _run(command, sys.executable, TRAIN)
    _run(command, str(python), EXPLAIN)
    seen = json.loads((command.folder / "seen.json").read_text())
    assert seen["names"] == ["age", "noise"]
    assert seen["top"] == ["age"]
    assert seen["values"][0] > seen["values"][1] >= 0
    assert seen["shares"]["age"] == seen["values"][0]
    assert seen["raw"] is True
    assert len(seen["listed"]) == 1
