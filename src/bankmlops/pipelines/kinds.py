"""What each kind of step takes and gives. What it does is the engine's; whether a graph fits together can be said without it.

`revision` counts up whenever a kind's work changes so that an earlier result must not stand for a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

FUNCTION = "function"


class InputType(StrEnum):
    """What an input is.

    `DATASET` and `MODEL` are registered things, as `NAME` (the newest) or `NAME:VERSION`; `DATA` is a dataset, or a step's file.
    """

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    MAPPING = "mapping"
    DATASET = "dataset"
    MODEL = "model"
    DATA = "data"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a kind."""

    type: InputType
    required: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of step takes and gives; an effect on the world outside the run is never taken over from an earlier run."""

    inputs: Mapping[str, Input]
    outputs: tuple[str, ...]
    description: str
    revision: int = 1
    is_effect: bool = False
    takes_any: bool = False


def _inputs(required: Mapping[str, InputType], **optional: InputType) -> Mapping[str, Input]:
    needed = {name: Input(kind, required=True) for name, kind in required.items()}
    return MappingProxyType({**needed, **{name: Input(kind) for name, kind in optional.items()}})


_S, _N, _I, _B = InputType.STRING, InputType.NUMBER, InputType.INTEGER, InputType.BOOLEAN

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "prepare": Kind(
            _inputs({"dataset": InputType.DATASET}, sha256=_S, test_share=_N),
            ("dataset", "rows", "test_dataset", "test_rows"),
            "look the dataset up, and hold rows out for a test where test_share says so",
        ),
        "guardrails": Kind(
            _inputs({"dataset": InputType.DATASET}, featurization=InputType.MAPPING, refuse=InputType.LIST),
            ("dataset", "alerts", "report", "page"),
            "examine the table, and stop at findings named in refuse",
            revision=2,
        ),
        "automl": Kind(
            _inputs(
                {"dataset": InputType.DATASET},
                primary_metric=_S,
                experiment_timeout_minutes=_N,
                experiment_exit_score=_N,
                iterations=_I,
                iteration_timeout_minutes=_N,
                enable_early_stopping=_B,
                n_cross_validations=_I,
                validation_size=_N,
                validation_dataset=InputType.DATASET,
                max_concurrent_iterations=_I,
                allowed_models=InputType.LIST,
                blocked_models=InputType.LIST,
                featurization=InputType.MAPPING,
                positive_label=_S,
                enable_voting_ensemble=_B,
                enable_stack_ensemble=_B,
                enable_dnn=_B,
                model_explainability=_B,
                random_seed=_I,
                device=_S,
                engine=_S,
                address=_S,
                compute_target=_S,
                tags=InputType.MAPPING,
            ),
            ("automl_run_id", "best_algorithm", "primary_metric"),
            "search for the best model",
        ),
        "evaluate": Kind(
            _inputs(
                {"automl_run_id": _S},
                metric=_S,
                minimum=_N,
                dataset=InputType.DATASET,
                champion=InputType.MODEL,
                champion_endpoint=_S,
                confidence=_N,
                otherwise=_S,
            ),
            ("automl_run_id", "score", "passed", "champion", "champion_score", "difference", "interval", "refusal"),
            "let a model through that is good enough, or better than the champion on the same rows",
        ),
        "register": Kind(
            _inputs({"automl_run_id": _S, "model_name": _S}),
            ("model_name", "model_version", "model"),
            "make the run's best model a new version",
            is_effect=True,
        ),
        "deploy": Kind(
            _inputs(
                {"model": InputType.MODEL, "endpoint": _S},
                auth_enabled=_B,
                app_insights=_B,
                cpu_cores=_N,
                memory_gb=_N,
                port=_I,
                workers=_I,
                runtime=_S,
                plain_json=_B,
                collect_model_data=_B,
                unknown_categories=_S,
                tags=InputType.MAPPING,
            ),
            ("endpoint", "scoring_uri", "model", "replaced"),
            "serve the model, or have the endpoint of this name serve it under the same keys",
            is_effect=True,
        ),
        "batch_score": Kind(
            _inputs({"model": InputType.MODEL, "data": InputType.DATA}, probabilities=_B),
            ("predictions", "rejections", "rows", "rejected"),
            "score every row of a dataset or of a step's file",
        ),
        FUNCTION: Kind(MappingProxyType({}), (), "call a function of your own", takes_any=True),
    }
)
