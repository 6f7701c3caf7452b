"""Writes a pipeline down in Python, in the order in which it is told: what a step answers is handed to the next.

    flow = PipelineBuilder("bank-retraining")
    minutes = flow.parameter("minutes", 1.0)
    data = flow.prepare("bank", test_share=0.2)
    trained = flow.automl(data, experiment_timeout_minutes=minutes)
    approved = flow.evaluate(trained, dataset=data["test_dataset"], champion="bank", otherwise="stop")
    model = flow.register(approved, "bank")
    flow.deploy(model, "bank-endpoint")
    pipeline = flow.build()

Besides its inputs every step takes `name` (its kind, if left out), `after`, `retries`, `timeout_minutes` and `allow_reuse`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bankmlops.errors import InvalidRequestError
from bankmlops.pipelines.definition import Parameter, ParameterType, Pipeline, Scalar, Step
from bankmlops.pipelines.kinds import FUNCTION
from bankmlops.pipelines.references import OutputReference, ParameterReference
from bankmlops.pipelines.validation import check_pipeline, closest, outputs_of

_OF_THE_STEP = ("name", "after", "retries", "timeout_minutes", "allow_reuse")
_TYPES: Mapping[type, ParameterType] = {
    str: ParameterType.STRING,
    int: ParameterType.INTEGER,
    float: ParameterType.NUMBER,
    bool: ParameterType.BOOLEAN,
}


class Outputs:
    """What a step will answer: `outputs["rows"]` refers to one of them."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def __getitem__(self, name: str) -> OutputReference:
        names = outputs_of(self.step)
        if name not in names:
            raise InvalidRequestError(f"step {self.step.name!r} gives no output {name!r}; {closest(name, names)}")
        return OutputReference(self.step.name, name)


Given = Outputs | OutputReference | ParameterReference | Scalar


class PipelineBuilder:
    """Collects parameters and steps, and answers the pipeline."""

    def __init__(
        self, name: str, description: str = "", *, experiment_name: str = "", tags: Mapping[str, str] | None = None
    ) -> None:
        self._name = name
        self._description = description
        self._experiment_name = experiment_name
        self._tags = dict(tags or {})
        self._parameters: list[Parameter] = []
        self._steps: list[Step] = []

    def parameter(
        self,
        name: str,
        default: Scalar | None = None,
        *,
        type: ParameterType | None = None,
        choices: Sequence[Scalar] = (),
        description: str = "",
    ) -> ParameterReference:
        """Declare a parameter. Its type is the default's unless it is named; without a default each run has to give it."""
        known = type or (ParameterType.STRING if default is None else type_of(default))
        self._parameters.append(Parameter(name, known, default, tuple(choices), description))
        return ParameterReference(name)

    def prepare(self, dataset: Given, **more: Any) -> Outputs:
        """Look a dataset up; `test_share` holds rows out."""
        return self._add("prepare", more, dataset=_one(dataset, "dataset"))

    def guardrails(self, dataset: Given, **more: Any) -> Outputs:
        """Examine a dataset, its columns taken as `featurization` says; `refuse` names the findings that end the run."""
        return self._add("guardrails", more, dataset=_one(dataset, "dataset"))

    def automl(self, dataset: Given, **more: Any) -> Outputs:
        """Search for the best model; the inputs are the fields of `AutoMLConfig`."""
        return self._add("automl", more, dataset=_one(dataset, "dataset"))

    def evaluate(self, automl_run: Given, **more: Any) -> Outputs:
        """The gate: `minimum` of a `metric`, or better than `champion` (or what `champion_endpoint` serves) on `dataset`."""
        return self._add("evaluate", more, automl_run_id=_one(automl_run, "automl_run_id"))

    def register(self, automl_run: Given, model_name: Given, **more: Any) -> Outputs:
        """Make the run's best model a new version."""
        return self._add("register", more, automl_run_id=_one(automl_run, "automl_run_id"), model_name=_one(model_name, "model"))

    def deploy(self, model: Given, endpoint: Given, **more: Any) -> Outputs:
        """Serve a model version; the other inputs are the fields of `DeploymentConfig`, for the first deployment."""
        return self._add("deploy", more, model=_one(model, "model"), endpoint=_one(endpoint, "endpoint"))

    def batch_score(self, model: Given, data: Given, **more: Any) -> Outputs:
        """Score every row of a dataset, or of a file that a step gave."""
        return self._add("batch_score", more, model=_one(model, "model"), data=_one(data, "dataset"))

    def function(
        self, called: Callable[..., Any], outputs: Sequence[str] = (), *, source: Path | None = None, **more: Any
    ) -> Outputs:
        """Call a function that stands at the top of a module; `source` is the folder to take along, its own file if left out."""
        file = inspect.getsourcefile(called)
        if file is None or "." in called.__qualname__:
            raise InvalidRequestError(f"{called.__qualname__} can't be a step; a function at the top of a module would serve")
        path = Path(file).resolve()
        module = path.stem if source is None else ".".join(path.relative_to(Path(source).resolve()).with_suffix("").parts)
        name = str(more.pop("name", called.__name__))
        own = {"outputs": tuple(outputs), "function": f"{module}:{called.__name__}", "source": str(source or path)}
        return self._add(FUNCTION, {**more, "name": name}, **own)

    def build(self) -> Pipeline:
        """The pipeline. Raises `InvalidRequestError` where it does not fit together."""
        steps, parameters = tuple(self._steps), tuple(self._parameters)
        pipeline = Pipeline(self._name, steps, parameters, self._description, self._experiment_name, self._tags)
        check_pipeline(pipeline)
        return pipeline

    def _add(self, kind: str, more: Mapping[str, Any], **inputs: Any) -> Outputs:
        of_the_step = {name: value for name, value in more.items() if name in _OF_THE_STEP}
        of_the_step["after"] = tuple(each.step.name if isinstance(each, Outputs) else each for each in more.get("after", ()))
        of_the_step.setdefault("name", kind)
        if kind == FUNCTION:
            of_the_step |= inputs
            inputs = {}
        inputs |= {name: _written(value) for name, value in more.items() if name not in _OF_THE_STEP}
        step = Step(kind=kind, inputs=inputs, **of_the_step)
        self._steps.append(step)
        return Outputs(step)


def type_of(value: Scalar) -> ParameterType:
    """The type of a parameter with this default."""
    return _TYPES[type(value)]


def _one(given: Given, output: str) -> Any:
    """The value of an input: where a whole step was handed over, its output of this name."""
    return _written(given[output] if isinstance(given, Outputs) else given)


def _written(value: Any) -> Any:
    if isinstance(value, OutputReference | ParameterReference):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _written(entry) for name, entry in value.items()}
    return [_written(entry) for entry in value] if isinstance(value, list | tuple) else value
