"""What each kind of step does, on a real workspace with a model that was trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import httpx
import numpy
import pyarrow as pa
import pytest
from pyarrow import parquet

from bankmlops.datasets import synthesize
from bankmlops.errors import ConflictError, InvalidRequestError, RunFailedError
from bankmlops.local.backend import LocalBackend
from bankmlops.local.pipelines.data import examine_table, held_out, prepare
from bankmlops.local.pipelines.evaluation import evaluate
from bankmlops.local.pipelines.files import StepFolder, path_of, read_file_output
from bankmlops.local.pipelines.serving import batch_score, deploy, look_at_endpoint
from bankmlops.local.pipelines.steps import StepContext
from bankmlops.pipelines import Step
from bankmlops.types import DataSource
from support.trained import Trained

pytestmark = pytest.mark.slow
CHAMPION = "step-champion"


@pytest.fixture(scope="module")
def backend(trained: Trained) -> LocalBackend:
    return LocalBackend(trained.workspace.folder)


@pytest.fixture(scope="module")
def champion(trained: Trained, backend: LocalBackend) -> str:
    model = backend.register_model(trained.run_id, CHAMPION)
    return f"{model.name}:{model.version}"


@pytest.fixture
def context(trained: Trained, backend: LocalBackend, request: pytest.FixtureRequest) -> StepContext:
    """A context with the inputs of nothing; `replace` gives it its own."""
    return StepContext(
        run_id=request.node.name.replace("[", "-"),
        step=Step("step", "prepare"),
        inputs={},
        attempt=1,
        experiment_name="steps",
        tags={},
        backend=backend,
        workspace=trained.workspace,
        folder=StepFolder(trained.workspace, request.node.name, "step"),
        is_canceled=lambda: False,
    )


def _with(context: StepContext, **inputs: Any) -> StepContext:
    return replace(context, inputs=inputs)


def _file(context: StepContext, outputs: Mapping[str, str], name: str) -> bytes:
    file = read_file_output(outputs[name])
    assert file is not None
    return path_of(context.workspace, file).read_bytes()


def test_prepare_holds_rows_out(context: StepContext, backend: LocalBackend, tmp_path: Path) -> None:
    """The two parts are datasets of their own, hold every row once, and are the same each time."""
    synthesize(tmp_path / "table.csv", 400, 7)
    backend.register_dataset("table", DataSource(tmp_path / "table.csv", synthetic=True), "y")
    asked = _with(context, dataset="table", test_share=0.25)
    outputs = prepare(asked, {})
    assert int(outputs["rows"]) + int(outputs["test_rows"]) == 400
    assert (outputs["dataset"].partition(":")[0], outputs["test_dataset"].partition(":")[0]) == ("table-train", "table-test")
    assert prepare(asked, {}) == outputs


def test_a_small_test_part(context: StepContext, backend: LocalBackend, tmp_path: Path) -> None:
    """The test may be far smaller than what can be trained on; a part that can't serve is named with dataset and share."""
    synthesize(tmp_path / "small.csv", 120, 7)
    dataset = backend.register_dataset("small", DataSource(tmp_path / "small.csv", synthetic=True), "y")
    outputs = prepare(_with(context, dataset="small", test_share=0.2), {})
    assert int(outputs["test_rows"]) < 50
    where = f"part of dataset small version {dataset.version} with test_share"
    with pytest.raises(InvalidRequestError, match=f"train {where} 0.9: .. rows; at least 50 would serve"):
        prepare(_with(context, dataset="small", test_share=0.9), {})
    with pytest.raises(InvalidRequestError, match=f"test {where} 0.001: no row"):
        prepare(_with(context, dataset="small", test_share=0.001), {})


def test_a_row_stays_where_it_is() -> None:
    """Whether a row is held out follows from its content alone; the share is about the asked one."""
    table = pa.table({"a": list(range(4000)), "b": [str(number % 7) if number % 5 else None for number in range(4000)]})
    out = held_out(table, 0.2)
    assert held_out(table.slice(1000, 500), 0.2) == out[1000:1500]
    assert 0.17 < sum(out) / len(out) < 0.23


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_that_holds_nothing(context: StepContext, share: float) -> None:
    """A share that leaves one side empty is refused."""
    with pytest.raises(InvalidRequestError, match="between 0 and 1"):
        prepare(_with(context, dataset="bank", test_share=share), {})


def test_guardrails(context: StepContext) -> None:
    """The findings are a file, and a page for people that names each; an alert that the step refuses ends it."""
    outputs = examine_table(_with(context, dataset="bank"), {})
    report = json.loads(_file(context, outputs, "report"))
    alerts = [finding["name"] for finding in report["findings"] if finding["status"] == "alerted"]
    assert outputs["alerts"] == ", ".join(alerts)
    assert alerts
    page = _file(context, outputs, "page").decode()
    assert "<h1>Guardrails of bank</h1>" in page
    assert all(escape(finding["name"]) in page for finding in report["findings"])
    with pytest.raises(RunFailedError, match=f"guardrail '{alerts[0]}'"):
        examine_table(_with(context, dataset="bank", refuse=[alerts[0]]), {})


def test_guardrails_take_columns_as_training_does(context: StepContext, backend: LocalBackend, tmp_path: Path) -> None:
    """A column of texts is called an identifier unless `featurization` has it read; a word that it doesn't know is refused."""
    notes = [f"note{row} {'good' if row % 3 else 'bad'}" for row in range(200)]
    table = {"note": notes, "n": [row % 17 for row in range(200)], "y": ["no", "yes"] * 100}
    parquet.write_table(pa.table(table), tmp_path / "notes.parquet")
    backend.register_dataset("notes", DataSource(tmp_path / "notes.parquet"), "y")

    def found(**more: Any) -> str:
        return _file(context, examine_table(_with(context, dataset="notes", **more), {}), "report").decode()

    assert "(identifiers: note)" in found()
    assert "identifiers: note" not in found(featurization={"column_purposes": {"note": "Text"}})
    with pytest.raises(InvalidRequestError, match="featurization: column 'nte' is unknown; did you mean 'note'"):
        found(featurization={"column_purposes": {"nte": "Text"}})


def test_guardrails_leave_out_what_training_does(context: StepContext) -> None:
    """Columns that `featurization` drops are examined no more, and are no finding."""
    outputs = examine_table(_with(context, dataset="bank", featurization={"drop_columns": ["age"]}), {})
    report = json.loads(_file(context, outputs, "report"))
    assert not any("age" in finding["columns"] for finding in report["findings"])


def test_a_model_is_not_better_than_itself(context: StepContext, trained: Trained, champion: str) -> None:
    """The same model differs by nothing, so it does not pass; with `otherwise` "stop" that is no failure."""
    asked: dict[str, Any] = {"automl_run_id": trained.run_id, "dataset": "bank", "champion": champion}
    with pytest.raises(RunFailedError, match=f"not better than {champion} beyond noise"):
        evaluate(_with(context, **asked), {})
    outputs = evaluate(_with(context, **asked, otherwise="stop"), {})
    assert (outputs["passed"], float(outputs["difference"]), outputs["champion"]) == ("false", 0.0, champion)
    assert outputs["refusal"].startswith(f"not better than {champion} beyond noise (log_loss ")


def test_the_first_of_its_name_passes(context: StepContext, trained: Trained) -> None:
    """Without a champion there is nobody to beat; the score is the model's on the rows that are given."""
    outputs = evaluate(_with(context, automl_run_id=trained.run_id, dataset="bank", metric="accuracy"), {})
    assert outputs["passed"] == "true"
    assert 0.5 < float(outputs["score"]) <= 1


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"otherwise": "perhaps"}, "otherwise"),
        ({"confidence": 1.5}, "confidence"),
        ({"champion": "x:1", "dataset": None}, "dataset"),
    ],
)
def test_a_gate_that_can_not_be(context: StepContext, trained: Trained, inputs: Mapping[str, Any], field: str) -> None:
    """A gate's inputs that can't serve are named."""
    asked = {"automl_run_id": trained.run_id, "dataset": "bank", **inputs}
    with pytest.raises(InvalidRequestError, match=field):
        evaluate(_with(context, **{name: value for name, value in asked.items() if value is not None}), {})


def test_batch_score(context: StepContext, trained: Trained, champion: str) -> None:
    """Every row of a dataset has an answer, in a file."""
    outputs = batch_score(_with(context, model=champion, data="bank", probabilities=True), {})
    assert (int(outputs["rows"]), outputs["rejected"]) == (trained.dataset.rows, "0")
    table = parquet.read_table(pa.BufferReader(_file(context, outputs, "predictions")))
    assert numpy.isfinite(table["probability_yes"].to_numpy()).all()


@pytest.fixture
def endpoint(backend: LocalBackend) -> Iterator[str]:
    yield "step-endpoint"
    backend.delete_endpoint("step-endpoint")


def test_deploy_and_update(context: StepContext, trained: Trained, champion: str, backend: LocalBackend, endpoint: str) -> None:
    """The first deployment makes the endpoint, the same again changes nothing, another model is served under the same keys."""
    asked = _with(context, model=champion, endpoint=endpoint, runtime="process")
    assert look_at_endpoint(asked, {}) == {"replaced": ""}
    first = deploy(asked, {})
    keys = backend.get_keys(endpoint)
    assert deploy(asked, {}) == first
    backend.register_model(trained.run_id, CHAMPION)
    later = _with(context, model=f"{CHAMPION}:2", endpoint=endpoint, runtime="process")
    assert look_at_endpoint(later, {}) == {"replaced": champion}
    assert deploy(later, {}) == {**first, "model": f"{CHAMPION}:2"}
    assert backend.get_keys(endpoint) == keys
    answer = httpx.post(
        first["scoring_uri"],
        json={"data": [{"age": 30, "job": "student"}]},
        headers={"Authorization": f"Bearer {keys.primary}"},
        trust_env=False,
    )
    assert answer.status_code == 200
    assert backend.rollback_endpoint(endpoint).model_version == champion.partition(":")[2]


def test_a_canceled_step_stops(context: StepContext, champion: str) -> None:
    """Work in parts ends when somebody ends the run, or when its time is up."""
    for ended in ({"is_canceled": lambda: True}, {"deadline": 0.0, "step": Step("s", "batch_score", timeout_minutes=1)}):
        with pytest.raises(RunFailedError):
            batch_score(replace(_with(context, model=champion, data="bank"), **ended), {})


def test_an_endpoint_that_does_not_serve(context: StepContext, champion: str, backend: LocalBackend, endpoint: str) -> None:
    """An endpoint of somebody else's that is down is not taken over."""
    from bankmlops.local.serving.endpoint_files import EndpointFiles
    from bankmlops.local.serving.endpoint_runtime import kill

    asked = _with(context, model=champion, endpoint=endpoint, runtime="process")
    deploy(asked, {})
    kill(EndpointFiles(context.workspace.path_of("endpoints", endpoint)))
    with pytest.raises(ConflictError, match="does not serve"):
        deploy(replace(asked, run_id="another"), {})
    assert deploy(asked, {})["endpoint"] == endpoint
