"""The registry: versions that count up, one champion, and nothing half-registered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bankmlops.errors import BackendUnavailableError, ConflictError, InvalidRequestError, NotFoundError, RunFailedError
from bankmlops.local.processes import own_identity
from bankmlops.local.training.automl_records import Outcome
from bankmlops.local.training.models import Models
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import ChildRun, Parity, RunStatus

if TYPE_CHECKING:
    from support.trained import Trained

pytestmark = pytest.mark.slow


@pytest.fixture
def models(trained: Trained) -> Models:
    return Models(trained.workspace, trained.runs)


def test_register(trained: Trained, models: Models) -> None:
    """A version comes from its run, is the champion, and bears its algorithm, parity, and that its data is synthetic."""
    model = models.register(trained.run_id, "first")
    assert (model.name, model.version, model.run_id) == ("first", "1", trained.run_id)
    assert (model.algorithm, model.aliases, model.parity) == ("LogisticRegression", ("champion",), Parity(1e-7, 0, 60))
    assert model.tags["synthetic"] == "true"
    assert models.get("first") == models.get("first", "1") == model
    assert model in models.list()


def test_the_newest_is_the_champion(trained: Trained, models: Models) -> None:
    """A second version takes the alias over, and the first stays as it was but for that."""
    first = models.register(trained.run_id, "second")
    second = models.register(trained.run_id, "second")
    assert (first.version, second.version) == ("1", "2")
    assert models.get("second") == second
    assert models.get("second", "1").aliases == ()
    assert [model.version for model in models.list() if model.name == "second"] == ["2"]


def test_the_logged_model_is_what_is_registered(trained: Trained, models: Models) -> None:
    """MLflow serves the version by its alias."""
    import mlflow
    import pandas

    models.register(trained.run_id, "third")
    mlflow.set_tracking_uri(trained.workspace.mlflow_uri)
    try:
        loaded = mlflow.pyfunc.load_model("models:/third@champion")
        assert list(loaded.predict(pandas.DataFrame([{"age": 20, "job": "student"}]))) == ["no"]
    finally:
        mlflow.set_tracking_uri(None)


def test_the_bundle(trained: Trained, models: Models) -> None:
    """The bundle of a version is the export of its run, and loads."""
    from bankmlops.scoring.bundle import load_bundle

    folder = models.bundle(models.register(trained.run_id, "fourth"))
    assert load_bundle(folder).algorithm == "LogisticRegression"


@pytest.mark.parametrize("name", ["no/name", "", "quo'te"])
def test_a_bad_name(trained: Trained, models: Models, name: str) -> None:
    """A name that Azure would not take is refused, and is not there."""
    with pytest.raises(InvalidRequestError, match="model name"):
        models.register(trained.run_id, name)
    with pytest.raises(NotFoundError):
        models.get(name)


@pytest.mark.parametrize(("name", "version"), [("nobody", None), ("nobody", "1"), ("fifth", "9"), ("fifth", "latest")])
def test_not_there(trained: Trained, models: Models, name: str, version: str | None) -> None:
    """An unknown name or version is named."""
    models.register(trained.run_id, "fifth")
    with pytest.raises(NotFoundError, match=version or name):
        models.get(name, version)


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELED])
def test_an_unfinished_run(trained: Trained, models: Models, status: RunStatus) -> None:
    """A run without a winner has nothing to register, and leaves no name."""
    run_id = f"AutoML_unfinished_{status}"
    trained.add_run(run_id)
    trained.records.set_process(run_id, own_identity())
    if status.is_final:
        trained.records.end(run_id, status)
    with pytest.raises(ConflictError, match=f"{run_id} is {status}"):
        models.register(run_id, "never")
    with pytest.raises(NotFoundError):
        models.get("never")


def test_an_unknown_run(models: Models) -> None:
    """A run that is not there is named."""
    with pytest.raises(NotFoundError, match="AutoML_nobody"):
        models.register("AutoML_nobody", "never")


def test_the_parity_gate(trained: Trained, models: Models) -> None:
    """An export that does not repeat its model is not registered, and leaves no name."""
    record = trained.records.read(trained.run_id)
    winner = ChildRun("AutoML_unlike_0", 0, "LightGBM", RunStatus.COMPLETED, 0.9, record.run.metrics)
    trained.add_run("AutoML_unlike")
    trained.records.complete("AutoML_unlike", Outcome(winner, Parity(0.2, 3, 60), record.mlflow_run_id, record.mlflow_model_id))
    with pytest.raises(RunFailedError):
        models.register("AutoML_unlike", "unlike")
    with pytest.raises(NotFoundError):
        models.get("unlike")
    assert "unlike" not in [model.name for model in models.list()]


def test_nothing_half_registered(trained: Trained, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a registration left that ended half-way is no version, and the next one takes it away."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def refuse(*_arguments: object) -> None:
        raise MlflowException("the disk is full\nand so on")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", refuse)
        with pytest.raises(BackendUnavailableError, match="the disk is full"):
            models.register(trained.run_id, "half")
    for version in (None, "1"):
        with pytest.raises(NotFoundError):
            models.get("half", version)
    assert "half" not in [model.name for model in models.list()]
    model = models.register(trained.run_id, "half")
    client = MlflowClient(trained.workspace.mlflow_uri, trained.workspace.mlflow_uri)
    assert [str(version.version) for version in client.search_model_versions("name = 'half'")] == [model.version]
    assert models.get("half").aliases == ("champion",)


def test_to_look_makes_no_store(tmp_path: Path, trained: Trained) -> None:
    """In a workspace where nothing was trained there is no model, and the look costs no store."""
    workspace = LocalWorkspace(tmp_path / "workspace")
    models = Models(workspace, trained.runs)
    assert models.list() == ()
    with pytest.raises(NotFoundError):
        models.get("bank")
    assert not (workspace.folder / "mlflow" / "mlflow.db").exists()
