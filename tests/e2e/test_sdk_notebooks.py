"""The notebooks for Azure ML's SDK v1, executed from top to bottom against the emulator by Microsoft's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bankmlops.datasets import synthesize
from support.command_line import CommandLine
from support.emulated_azure import emulator_of
from support.notebooks import FOLDER, assert_kept_without_outputs, execute

pytest.importorskip("azureml.core", reason="the SDK is not installed")

NOTEBOOKS = sorted(path.name for path in (FOLDER / "azureml-v1").glob("*.ipynb"))
SECONDS = 300
SCALE = "0.01"  # of the quarter of an hour that AutoML is asked to take
AUTOML = 'csv, hours = "bank.csv", 0.25'


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_they_are_kept_without_outputs(name: str) -> None:
    """No output is committed, and no path of a machine."""
    assert_kept_without_outputs(f"azureml-v1/{name}")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_they_know_nothing_of_the_emulator(name: str) -> None:
    """A notebook would run in the cloud as it stands."""
    text = (FOLDER / "azureml-v1" / name).read_text("utf-8").lower()
    assert not [word for word in ("emulator", "bankmlops", "127.0.0.1", "localhost") if word in text]


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """An emulator for all of them, and the folder that they run in."""
    command = CommandLine(tmp_path_factory.mktemp("notebooks"))
    (command.folder / "home").mkdir()
    synthesize(command.folder / "bank.csv", 1500, 5)
    with emulator_of(command, "notebooks", SCALE):
        yield command


@pytest.fixture
def run(azure: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {**azure.environment, "HOME": str(azure.folder / "home"), "PYTHONWARNINGS": "ignore"}.items():
        monkeypatch.setenv(name, value)
    return lambda name, parameters: _said(execute(f"azureml-v1/{name}.ipynb", parameters, azure.folder, SECONDS))


def _said(outputs: list[dict[str, Any]]) -> str:
    """What was printed and shown, as text; a kernel may send a line in parts."""
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") + "\n" for output in outputs)


@pytest.mark.slow
@pytest.mark.long
def test_automl_and_a_service(run: Any) -> None:
    """The search is shown as it goes, every trial has a model, and the service answers for the key alone."""
    said = run("automl-classification", AUTOML)
    assert "ITER   PIPELINE" in said
    assert "VotingEnsemble" in said
    assert "['datatransformer', " in said
    assert "bank-marketing-automl 1" in said
    assert "Healthy" in said
    assert "200 {" in said
    assert "POST /score 200" in said


@pytest.mark.slow
@pytest.mark.long
def test_a_pipeline_with_an_automl_step(run: Any) -> None:
    """The step's outputs are there, and the published pipeline ran for a plain HTTP request."""
    said = run("pipeline-with-automlstep", AUTOML)
    assert "{'automl_module': 'Finished'}" in said
    assert "AUC_weighted" in said
    assert "['datatransformer', " in said
    assert said.rstrip().splitlines()[-1] == "Finished"


@pytest.mark.slow
@pytest.mark.long
def test_a_script_on_a_cluster(run: Any) -> None:
    """Each run has its metrics and files, and the best one's model is registered."""
    said = run("train-with-a-script", "penalties = [0.01, 1.0]")
    assert "done with 0.01" in said
    assert "['Completed', 'Completed']" in said
    assert "breast-cancer 1 True" in said


@pytest.mark.slow
@pytest.mark.long
def test_a_model_of_ones_own(run: Any) -> None:
    """The service answers, refuses a wrong key, tells of it in its log, and takes a new version of the model."""
    said = run("deploy-to-aci", 'name = "iris-aci"')
    assert "200 ['setosa', 'versicolor', 'virginica']" in said
    assert "401" in said.splitlines()
    assert "the forest has 50 trees" in said
    assert "Healthy ['iris:2'] ['setosa', 'versicolor', 'virginica']" in said
