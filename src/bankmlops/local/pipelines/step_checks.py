"""Whether the values that steps are given can serve, by the very checks that the steps make: said before anything is trained.

What another step gives, what a dataset holds and which packages a machine has is known only when the step starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bankmlops.errors import InvalidRequestError
from bankmlops.local.pipelines.documents import from_document
from bankmlops.pipelines import Pipeline, Scalar, Step
from bankmlops.pipelines.kinds import KINDS, InputType
from bankmlops.pipelines.references import ParameterReference, Reference, references_in, resolved
from bankmlops.pipelines.validation import InvalidPipelineError
from bankmlops.types import AutoMLConfig, Dataset, DeploymentConfig, Engine

Inputs = Mapping[str, Any]
_ANY_DATASET = Dataset("any", "1", 1, (), "", "")
_TEXTS = (InputType.STRING, InputType.DATASET, InputType.MODEL, InputType.DATA)
_NEEDS_THE_DATASET = ("dataset", "validation_dataset", "featurization")
_NEEDS_THE_MACHINE = ("enable_dnn", "allowed_models", "blocked_models")
_JUDGED_BY: Mapping[str, str] = MappingProxyType(
    {"allowed_models": "enable_dnn", "blocked_models": "enable_dnn", "engine": "address", "address": "engine"}
)


def check_values(pipeline: Pipeline, parameters: Mapping[str, Scalar]) -> None:
    """Raises `InvalidPipelineError` for the first value that can't serve; of a parameter that has none here nothing is said."""
    for step in pipeline.steps:
        inputs = _known(step, parameters)
        try:
            _CHECKS.get(step.kind, _nothing)(_typed(step, inputs))
        except InvalidRequestError as error:
            name = next((name for name, value in inputs.items() if _is_about(str(error), name, value)), "")
            raise InvalidPipelineError(f"step {step.name!r}: {error}{_origin(step, name)}", *_place(step, name)) from None


def default_values(pipeline: Pipeline) -> Mapping[str, Scalar]:
    """The values of those parameters that have a default."""
    return {parameter.name: parameter.default for parameter in pipeline.parameters if parameter.default is not None}


def _known(step: Step, parameters: Mapping[str, Scalar]) -> dict[str, Any]:
    """The values that are known, without those that one which is not known decides about."""

    def look_up(reference: Reference) -> Any:
        return parameters[reference.name] if isinstance(reference, ParameterReference) else None

    def is_known(reference: Reference) -> bool:
        return isinstance(reference, ParameterReference) and reference.name in parameters

    given = {name: value for name, value in step.inputs.items() if value is not None}
    known = {name: resolved(value, look_up) for name, value in given.items() if all(map(is_known, references_in(value)))}
    unknown = given.keys() - known.keys()
    return {name: value for name, value in known.items() if _JUDGED_BY.get(name) not in unknown}


def _typed(step: Step, inputs: Inputs) -> Inputs:
    kinds = KINDS[step.kind].inputs
    return {name: _read(name, value, kinds[name].type) if name in kinds else value for name, value in inputs.items()}


def _read(name: str, value: Any, wanted: InputType) -> Any:
    if wanted in _TEXTS and not isinstance(value, str):
        raise InvalidRequestError(f"{name} {value!r} is no {wanted}; text would serve")
    try:
        return float(value) if wanted is InputType.NUMBER else value
    except ValueError:
        raise InvalidRequestError(f"{name} {value!r} is no number") from None


def _is_about(message: str, name: str, value: Any) -> bool:
    return message.startswith((f"{name} ", f"{name}:", f"{name}.")) or (isinstance(value, str) and repr(value) in message)


def _origin(step: Step, name: str) -> str:
    """The parameter that a value came from: whoever gave it knows it by that name."""
    found = [each.name for each in references_in(step.inputs.get(name)) if isinstance(each, ParameterReference)]
    return f" (parameter {found[0]!r})" if found else ""


def _place(step: Step, name: str) -> tuple[str, ...]:
    return ("steps", step.name, "inputs", name) if name else ("steps", step.name)


def _nothing(_inputs: Inputs) -> None:
    return


def _check_prepare(inputs: Inputs) -> None:
    from bankmlops.local.pipelines.data import check_share

    if "test_share" in inputs:
        check_share(inputs["test_share"])


def _check_automl(inputs: Inputs) -> None:
    from bankmlops.automl.validation import validate_config

    left_out = (*_NEEDS_THE_DATASET, *(_NEEDS_THE_MACHINE if "enable_dnn" in inputs else ()), *_cluster(inputs))
    asked = {name: value for name, value in inputs.items() if name not in left_out}
    validate_config(from_document(AutoMLConfig, {**asked, "dataset": _ANY_DATASET}))


def _cluster(inputs: Inputs) -> Sequence[str]:
    """Without an address the environment of whoever runs the step names the cluster."""
    return ("engine",) if inputs.get("engine") == Engine.RAY and not inputs.get("address") else ()


def _check_evaluate(inputs: Inputs) -> None:
    from bankmlops.local.pipelines.evaluation import check_gate

    check_gate(inputs)


def _check_register(inputs: Inputs) -> None:
    from bankmlops.local.names import check_name

    if "model_name" in inputs:
        check_name("model name", inputs["model_name"])


def _check_deploy(inputs: Inputs) -> None:
    from bankmlops.local.serving.deployment_checks import check_deployment

    asked = {name: value for name, value in inputs.items() if name not in ("model", "endpoint")}
    check_deployment(from_document(DeploymentConfig, {**asked, "name": inputs.get("endpoint", "any-endpoint")}))


_CHECKS: Mapping[str, Callable[[Inputs], None]] = MappingProxyType(
    {
        "prepare": _check_prepare,
        "automl": _check_automl,
        "evaluate": _check_evaluate,
        "register": _check_register,
        "deploy": _check_deploy,
    }
)
