"""The models of trials that did not win: fitted when somebody asks for one."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bankmlops.emulator.automl import automl_bridge, automl_jobs, trial_model_jobs, trial_model_keeper
from bankmlops.emulator.automl.trial_model_keeper import TrialModelKeeper
from support.automl_requests import submit_run
from support.scripted_backend import ScriptedBackend
from support.scripted_training import scripted_training
from support.served_emulator import Served
from unit.automl.tables import columns

MODEL = "outputs/model.pkl"


@pytest.fixture
def backend(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedBackend]:
    @contextmanager
    def dataset_file(*_: object) -> Iterator[Path]:
        pq.write_table(pa.table(columns(200, 2)), tmp_path / "rows.parquet")
        yield tmp_path / "rows.parquet"

    monkeypatch.setattr(trial_model_keeper, "dataset_file", dataset_file)
    monkeypatch.setattr(served.emulator, "is_at_work", True)
    monkeypatch.setattr("bankmlops.emulator.web.wire.HOLD_SECONDS", 0.0)
    with scripted_training(served.emulator, tmp_path) as backend:
        yield backend


@pytest.fixture
def run_id(served: Served, backend: ScriptedBackend) -> str:
    """A run whose first child is a logistic regression that has not won."""
    run_id = submit_run(served)
    automl_bridge.advance(served.emulator)
    backend.start()
    backend.add_child(4, "LogisticRegression", 0.8)
    (child,) = backend.children[backend.last]
    backend.children[backend.last] = [replace(child, parameters={"C": "0.1"})]
    backend.add_child(7, "VotingEnsemble", 0.9)
    backend.complete()
    automl_bridge.advance(served.emulator)
    return run_id


def _file(served: Served, child: str, path: str = MODEL) -> object:
    return served.call("GET", "/artifact/v2.0", f"/artifacts/content/ExperimentRun/dcid.{child}/{path}")


@pytest.mark.slow
def test_it_is_fitted_when_it_is_asked_for(served: Served, run_id: str, tmp_path: Path) -> None:
    """Its name is listed from the start; who asks for the file is told to ask again, and has a model and its scoring files."""
    listed = served.call("GET", "/artifact/v2.0", f"/artifacts/ExperimentRun/dcid.{run_id}_0").json()["value"]
    assert MODEL in [each["path"] for each in listed]
    waiting = _file(served, f"{run_id}_0")
    assert (waiting.status_code, "ask again" in waiting.text) == (503, True)
    TrialModelKeeper(served.emulator).advance()
    model = pickle.loads(_file(served, f"{run_id}_0").content)  # noqa: S301 - fitted here, a moment ago
    frame = pandas.DataFrame(columns(5, 2)).drop(columns="y")
    assert [name for name, _ in model.steps] == ["datatransformer", "logisticregression"]
    assert set(model.predict(frame)) <= {"class 0", "class 1"}
    assert "def run(data)" in _file(served, f"{run_id}_0", "outputs/scoring_file_v_1_0_0.py").text
    assert trial_model_jobs.active_jobs(served.emulator) == []
    assert not list((served.emulator.folder / "trial-models").iterdir())


def test_a_trial_from_before_a_restart(served: Served, backend: ScriptedBackend) -> None:
    """Where the emulator was ended in mid-run, what it had shown until then is fitted from the run that was ended."""
    run_id = submit_run(served)
    automl_bridge.advance(served.emulator)
    backend.start()
    backend.add_child(4, "LogisticRegression", 0.8)
    automl_bridge.advance(served.emulator)
    automl_bridge.interrupt(served.emulator)
    automl_bridge.advance(served.emulator)
    backend.start()
    backend.add_child(0, "LightGBM", 0.9)
    backend.complete()
    automl_bridge.advance(served.emulator)
    assert _file(served, f"{run_id}_0").status_code == 503
    (job,) = trial_model_jobs.active_jobs(served.emulator)
    training = automl_jobs.find_job(served.emulator, run_id)
    assert training is not None
    (trial,) = trial_model_keeper.trials_of(served.emulator, job, training)["trials"]
    assert trial["algorithm"] == "LogisticRegression"
    trial_model_jobs.finish_job(served.emulator, job)


def test_the_winner_keeps_its_own(served: Served, run_id: str) -> None:
    """The best child's file is the run's, and nothing is fitted for it."""
    assert pickle.loads(_file(served, f"{run_id}_1").content) == "the model"  # noqa: S301 - the test's own
    assert trial_model_jobs.active_jobs(served.emulator) == []


def test_what_can_not_be_fitted(served: Served, run_id: str, backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK is told why, and a later question tries anew."""
    _file(served, f"{run_id}_0")
    monkeypatch.setattr(backend, "list_children", lambda _: [])
    TrialModelKeeper(served.emulator).advance()
    (job,) = [trial_model_jobs.find_job(served.emulator, f"{run_id}_0")]
    assert job.error == "the run that trained it is gone"
    assert trial_model_jobs.active_jobs(served.emulator) == []
    assert _file(served, f"{run_id}_0").status_code == 503
    (again,) = trial_model_jobs.active_jobs(served.emulator)
    assert again.error == ""
    trial_model_jobs.finish_job(served.emulator, again)
