"""The simple form of a pipeline, as the graph that it stands for: prepare, automl, evaluate, register."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any

from bankmlops.errors import InvalidRequestError
from bankmlops.pipelines.definition import Pipeline, Step
from bankmlops.pipelines.kinds import KINDS
from bankmlops.pipelines.references import OutputReference, ParameterReference, read_reference
from bankmlops.pipelines.validation import check_pipeline, check_text
from bankmlops.types import AutoMLConfig, Dataset, Featurization, PipelineConfig

_HAND_DATA_ON = ("prepare", "guardrails")


def from_config(config: PipelineConfig) -> Pipeline:
    """The graph. Raises `InvalidRequestError` for a name or a minimum score that can't serve."""
    check_text("the pipeline's name", config.name)
    check_text("the pipeline's model name", config.model_name)
    _check_minimum(config.minimum_score)
    automl = config.automl
    run_id = _output("automl", "automl_run_id")
    approved = {"automl_run_id": _output("evaluate", "automl_run_id"), "model_name": config.model_name}
    steps = (
        _step("prepare", {"dataset": reference_to(automl.dataset), "sha256": automl.dataset.sha256}),
        _step("automl", {"dataset": _output("prepare", "dataset"), **automl_inputs(automl)}),
        _step("evaluate", {"automl_run_id": run_id, **_gate(config)}),
        _step("register", approved),
    )
    return Pipeline(config.name, steps, experiment_name=automl.experiment_name)


def graph_of(pipeline: PipelineConfig | Pipeline) -> Pipeline:
    """The graph, whichever form it was given in. Raises `InvalidRequestError` for one that does not fit together."""
    graph = from_config(pipeline) if isinstance(pipeline, PipelineConfig) else pipeline
    check_pipeline(graph)
    return graph


def reference_to(dataset: Dataset) -> str:
    """The dataset's version as an input names it."""
    return f"{dataset.name}:{dataset.version}"


def dataset_trained_on(pipeline: Pipeline) -> str:
    """What its first automl step trains on, as an input names a dataset, with the defaults of the parameters.

    Empty where that is not known before a run: a parameter without a default, or what a function gives.
    """
    return next((_dataset_named(pipeline, step.inputs["dataset"]) for step in pipeline.steps if step.kind == "automl"), "")


def _dataset_named(pipeline: Pipeline, value: Any) -> str:
    reference = read_reference(value)
    if reference is None:
        return str(value)
    if isinstance(reference, ParameterReference):
        return next((str(each.default or "") for each in pipeline.parameters if each.name == reference.name), "")
    step = pipeline.step(reference.step)
    return _dataset_named(pipeline, step.inputs["dataset"]) if step.kind in _HAND_DATA_ON else ""


def automl_inputs(config: AutoMLConfig) -> Mapping[str, Any]:
    """What differs from the defaults, as inputs of an automl step; the dataset and the experiment left out."""
    changed = {field.name: getattr(config, field.name) for field in fields(config) if _differs(config, field)}
    return {name: _plain(value) for name, value in changed.items() if name in KINDS["automl"].inputs and name != "dataset"}


def _step(kind: str, inputs: Mapping[str, Any]) -> Step:
    """A step named as its kind; each run trains anew, as Azure's half of this package has it."""
    return Step(kind, kind, inputs, allow_reuse=False)


def _differs(config: AutoMLConfig, field: Any) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return bool(getattr(config, field.name) != default)


def _plain(value: Any) -> Any:
    if isinstance(value, Dataset):
        return reference_to(value)
    if isinstance(value, Featurization):
        return {
            "mode": str(value.mode),
            "drop_columns": list(value.drop_columns),
            "column_purposes": {name: str(purpose) for name, purpose in value.column_purposes.items()},
        }
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _gate(config: PipelineConfig) -> Mapping[str, Any]:
    return {} if config.minimum_score is None else {"minimum": config.minimum_score}


def _output(step: str, output: str) -> str:
    return str(OutputReference(step, output))


def _check_minimum(minimum: float | None) -> None:
    if minimum is not None and not 0 <= minimum < float("inf"):
        raise InvalidRequestError(f"minimum_score {minimum} can't serve; give a number of 0 or more, such as 0.9")
