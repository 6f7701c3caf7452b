"""Published pipelines: immutable by name and version; and the documents that they are kept as."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.pipelines.documents import content_hash, from_document, to_document
from bankmlops.local.pipelines.requests import RunRequest, read_request
from bankmlops.local.pipelines.store import PipelineStore
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Parameter, ParameterType, Pipeline, Retries, Step, from_config
from bankmlops.types import AutoMLConfig, Dataset, PipelineConfig, PipelineRun, RunStatus, StepRun

DATASET = Dataset("bank", "abc", 100, ("age", "y"), "y", "abc" * 20, created=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
CONFIG = PipelineConfig("bank-training", AutoMLConfig(dataset=DATASET, tags={"team": "risk"}), "bank", minimum_score=0.9)
MISSING = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def store(tmp_path: Path) -> PipelineStore:
    return PipelineStore(LocalWorkspace(tmp_path / "workspace"))


def test_publish(store: PipelineStore) -> None:
    """A published pipeline is found by its id, with the very configuration."""
    stored = store.publish(CONFIG, "1", "every night")
    assert (stored.name, stored.version, stored.status, stored.description) == ("bank-training", "1", "Active", "every night")
    assert stored.pipeline == from_config(CONFIG)
    assert store.get(stored.id) == stored


def test_the_same_again_is_the_same(store: PipelineStore) -> None:
    """Publishing the same content again answers the same pipeline, whenever its dataset was registered."""
    first = store.publish(CONFIG, "1", "")
    later = replace(DATASET, created=datetime(2027, 1, 1, tzinfo=UTC))
    assert store.publish(replace(CONFIG, automl=replace(CONFIG.automl, dataset=later)), "1", "").id == first.id


@pytest.mark.parametrize("change", [{"minimum_score": None}, {"model_name": "other"}])
def test_a_version_is_immutable(store: PipelineStore, change: dict[str, object]) -> None:
    """Other content under the same version is refused, and what is published stays."""
    first = store.publish(CONFIG, "1", "")
    with pytest.raises(ConflictError, match=r"'bank-training' version '1'.*another version"):
        store.publish(replace(CONFIG, **change), "1", "")  # type: ignore[arg-type]
    assert store.get(first.id).pipeline == from_config(CONFIG)


def test_the_newest_first(store: PipelineStore) -> None:
    """Pipelines are listed newest first."""
    ids = [store.publish(CONFIG, version, "").id for version in ("1", "2", "3")]
    assert [stored.id for stored in store.list()] == ids[::-1]


def test_disable(store: PipelineStore) -> None:
    """A disabled pipeline says so, and disabling twice is no error; another goes on."""
    stored, other = store.publish(CONFIG, "1", ""), store.publish(CONFIG, "2", "")
    store.disable(stored.id)
    store.disable(stored.id)
    assert (store.get(stored.id).status, store.get(other.id).status) == ("Disabled", "Active")


def test_not_there(store: PipelineStore) -> None:
    """An unknown id is named."""
    for ask in (store.get, store.disable):
        with pytest.raises(NotFoundError, match=MISSING):
            ask(MISSING)


def test_documents_are_json() -> None:
    """A run with moments, statuses and mappings goes through JSON and comes back."""
    now = datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
    run = PipelineRun(
        "1", "exp", RunStatus.FAILED, (StepRun("automl", RunStatus.RUNNING, 1.5, "A"),), "p", {"a": "b"}, now, None, "no"
    )
    assert from_document(PipelineRun, json.loads(json.dumps(to_document(run)))) == run


@settings(deadline=None)
@given(
    minutes=st.floats(0.1, 1e4),
    folds=st.integers(2, 100),
    models=st.lists(st.text(max_size=9), max_size=3),
    tags=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    minimum=st.none() | st.floats(0, 1),
)
def test_any_configuration_survives(
    minutes: float, folds: int, models: list[str], tags: dict[str, str], minimum: float | None
) -> None:
    """Whatever a pipeline is configured with, it is read as it was written, and its hash is that of its content."""
    automl = AutoMLConfig(
        dataset=DATASET, experiment_timeout_minutes=minutes, n_cross_validations=folds, allowed_models=tuple(models), tags=tags
    )
    config = PipelineConfig("p", automl, "m", minimum)
    again = from_document(PipelineConfig, json.loads(json.dumps(to_document(config))))
    assert again == config
    assert content_hash(again) == content_hash(config)


@pytest.mark.parametrize(
    ("field", "value"), [("minimum_score", "high"), ("automl", {}), ("name", None), ("automl", {"dataset": {"rows": "many"}})]
)
def test_a_bad_document_names_the_field(field: str, value: object) -> None:
    """A document that is no pipeline is one line that begins with the field at fault."""
    document = to_document(CONFIG)
    assert isinstance(document, dict)
    with pytest.raises(InvalidRequestError, match=rf"^{field}[.:]") as refusal:
        from_document(PipelineConfig, {**document, field: value})
    assert "\n" not in str(refusal.value)


def test_what_an_earlier_version_published(store: PipelineStore) -> None:
    """A pipeline that was published in its simple form is the graph that it stands for, and the same again is the same."""
    first = store.publish(CONFIG, "1", "")
    with store._workspace.database() as database:
        database.execute("UPDATE published_pipelines SET config = ?", (json.dumps(to_document(CONFIG)),))
    assert store.get(first.id).pipeline == from_config(CONFIG)
    assert store.publish(CONFIG, "1", "").id == first.id


def test_what_an_earlier_version_ran() -> None:
    """A run that was started with the simple form can be read."""
    document = {"config": to_document(CONFIG), "experiment_name": "nightly", "pipeline_id": "p", "run_source": ""}
    assert read_request(json.loads(json.dumps(document))) == RunRequest(
        from_config(CONFIG), experiment_name="nightly", pipeline_id="p"
    )


def test_a_graph_is_kept_as_it_is(store: PipelineStore) -> None:
    """A graph with parameters, retries and functions goes through JSON and comes back."""
    step = Step("s", "function", {"a": [1, {"b": "${{ parameters.x }}"}]}, ("out",), (), "m:f", "0" * 64, False, Retries(2), 1.5)
    graph = Pipeline("g", (step,), (Parameter("x", ParameterType.NUMBER, 1.0, (1.0, 2.0)),), "says", "exp", {"t": "v"})
    assert store.publish(graph, "1", "").pipeline == graph
