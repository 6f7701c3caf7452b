"""Values that steps can't work with are refused before anything runs, with the line of the file and the parameter's name."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from bankmlops.errors import InvalidRequestError
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.pipelines.evaluation import METRICS
from bankmlops.local.pipelines.pipelines import Pipelines
from bankmlops.local.pipelines.step_checks import check_values, default_values
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Parameter, ParameterType, Pipeline, Step
from bankmlops.pipelines.validation import InvalidPipelineError
from bankmlops.pipelines.yaml_file import load_pipeline, naming_lines

DOCUMENT = """\
name: bank
parameters:
  minutes: 1.0
  endpoint: {type: string}
steps:
  prepare:
    kind: prepare
    inputs: {dataset: bank, test_share: 0.2}
  train:
    kind: automl
    inputs:
      dataset: ${{ steps.prepare.outputs.dataset }}
      experiment_timeout_minutes: ${{ parameters.minutes }}
      primary_metric: accuracy
      validation_dataset: bank
      featurization: {mode: auto, drop_columns: [duration]}
  judge:
    kind: evaluate
    inputs:
      automl_run_id: ${{ steps.train.outputs.automl_run_id }}
      dataset: ${{ steps.prepare.outputs.test_dataset }}
      champion: bank
      otherwise: stop
  register:
    kind: register
    inputs: {automl_run_id: "${{ steps.judge.outputs.automl_run_id }}", model_name: bank}
  serve:
    kind: deploy
    inputs:
      model: ${{ steps.register.outputs.model }}
      endpoint: ${{ parameters.endpoint }}
      workers: 1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pipeline.yaml"


def test_what_can_serve(file: Path) -> None:
    """What is not known before a step starts is no reason to refuse: other steps' outputs, and parameters without a value."""
    file.write_text(DOCUMENT)
    pipeline = load_pipeline(file)
    check_values(pipeline, default_values(pipeline))
    check_values(pipeline, {"minutes": "0.5", "endpoint": "bank-live"})
    everything = {"dataset": "bank", "enable_dnn": True, "allowed_models": ["TabularMLP"], "experiment_timeout_minutes": None}
    check_values(Pipeline("deep", (Step("train", "automl", everything),)), {})
    on_a_cluster = Step("train", "automl", {"dataset": "bank", "engine": "ray", "device": "cpu"})
    check_values(Pipeline("somewhere", (on_a_cluster,)), {})
    given = {"dataset": "bank", "engine": "${{ parameters.engine }}", "address": "10.0.0.1:6379"}
    check_values(Pipeline("perhaps", (Step("train", "automl", given),), (Parameter("engine"),)), {})
    perhaps = Step(
        "train", "automl", {"dataset": "bank", "enable_dnn": "${{ parameters.deep }}", "allowed_models": ["TabularMLP"]}
    )
    pipeline = Pipeline("perhaps-deep", (perhaps,), (Parameter("deep", ParameterType.BOOLEAN),))
    for values in ({}, {"deep": True}):
        check_values(pipeline, values)


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("test_share: 0.2", "test_share: 1.5", "8:29", "step 'prepare': test_share 1.5 can't serve"),
        ("metric: accuracy", "metric: acuracy", "14:7", "primary_metric 'acuracy' is unknown; did you mean 'accuracy'"),
        ("minutes: 1.0", "minutes: -1", "13:7", "experiment_timeout_minutes -1 can't serve; give more than 0"),
        ("primary_metric: accuracy", "iterations: 0", "14:7", "iterations 0 can't serve"),
        ("primary_metric: accuracy", "allowed_models: [LightGMB]", "14:7", "did you mean 'LightGBM'"),
        ("primary_metric: accuracy", "device: gpu", "14:7", "device: "),
        ("primary_metric: accuracy", "engine: spark", "14:7", "engine: "),
        ("primary_metric: accuracy", "address: 10.0.0.1:6379", "14:7", "address is a Ray cluster's"),
        ("otherwise: stop", "otherwise: stopp", "23:7", "otherwise 'stopp' can't serve; fail or stop would"),
        ("otherwise: stop", "confidence: 95", "23:7", "confidence 95"),
        ("otherwise: stop", "metric: AUC_weigthed", "23:7", "is unknown; did you mean 'AUC_weighted'"),
        ("model_name: bank", "model_name: our/bank", "26:73", "model name 'our/bank' can't serve"),
        ("{type: string}", "Bank_Live", "31:7", "endpoint name 'Bank_Live' can't serve"),
        ("workers: 1", "workers: 1000", "32:7", "workers 1000 can't serve"),
    ],
)
def test_what_can_not(file: Path, old: str, new: str, where: str, message: str) -> None:
    """A value that no such step can work with is refused as the pipeline is published, by its line; nothing is written down."""
    assert old in DOCUMENT
    file.write_text(DOCUMENT.replace(old, new, 1))
    pipeline, workspace = load_pipeline(file), LocalWorkspace(file.parent / "workspace")
    with pytest.raises(InvalidRequestError) as refusal, naming_lines(file):
        Pipelines(workspace).publish(pipeline, "1")
    assert str(refusal.value).startswith(f"{file}:{where}: ")
    assert message in str(refusal.value)
    assert AuditLog(workspace).newest(1) == []


def test_a_source_that_is_not_there(file: Path) -> None:
    """The file of a function is looked for as the pipeline is published; what is missing is named by its line."""
    file.write_text("name: t\nsteps:\n  a:\n    kind: function\n    function: work:do\n    source: work.py\n")
    with (
        pytest.raises(InvalidRequestError, match=r"pipeline.yaml:6:5: step 'a': source .*work.py' is not there"),
        naming_lines(file),
    ):
        Pipelines(LocalWorkspace(file.parent / "workspace")).publish(load_pipeline(file), "1")


def test_a_parameter_is_named() -> None:
    """Whoever gave a parameter a value is told of it by its name, whatever the input is called; text that is no number too."""
    step = Step("train", "automl", {"dataset": "bank", "experiment_timeout_minutes": "${{ parameters.budget }}"})
    pipeline = Pipeline("bank", (step,), (Parameter("budget", ParameterType.STRING),))
    for value, message in ((0, "0 can't serve"), ("lots", "'lots' is no number")):
        with pytest.raises(InvalidPipelineError, match=rf"{message}.*\(parameter 'budget'\)$") as refusal:
            check_values(pipeline, {"budget": value})
        assert refusal.value.path == ("steps", "train", "inputs", "experiment_timeout_minutes")


def test_a_parameter_of_another_type() -> None:
    """A number does not stand where a name does."""
    step = Step("judge", "evaluate", {"automl_run_id": "AutoML_1", "metric": "${{ parameters.which }}"})
    with pytest.raises(
        InvalidPipelineError, match=r"step 'judge': metric 7 is no string; text would serve \(parameter 'which'\)"
    ):
        check_values(Pipeline("bank", (step,), (Parameter("which", ParameterType.INTEGER, 7),)), {"which": 7})


@pytest.mark.slow
def test_the_gates_metrics() -> None:
    """The metrics that a gate may name are those that are computed of any model."""
    from bankmlops.automl.metrics import classification_metrics, metric_of

    labels, probabilities = numpy.array([0, 1, 2, 1]), numpy.eye(3)[[0, 1, 2, 0]] * 0.8 + 0.1
    assert set(METRICS) == set(classification_metrics(labels, probabilities))
    assert all(numpy.isfinite(metric_of(name, labels, probabilities)) for name in METRICS)
