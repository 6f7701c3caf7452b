"""Our AutoML configuration as the SDK's: each field that Azure has, and a clear word about one that it has not.

Azure's smallest budget is 15 minutes: `AutoMLConfig` refuses an `experiment_timeout_hours` below 0.25. A smaller one is raised to
that, and the run's tag `asked_minutes` keeps what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankmlops.azure.workspace import CREATED_BY
from bankmlops.errors import InvalidRequestError
from bankmlops.types import AutoMLConfig, ColumnPurpose, Device, Engine, Featurization

MINIMUM_MINUTES = 15
DEFAULT_SEED = AutoMLConfig.__dataclass_fields__["random_seed"].default
ASKED_MINUTES = "asked_minutes"


def check_config(config: AutoMLConfig) -> None:
    """Raise `InvalidRequestError` for a field that can't serve, before anything is made in the cloud.

    What the SDK itself checks is left to it, and it is asked here.
    """
    minutes = config.experiment_timeout_minutes
    if not 0 < minutes < math.inf:
        raise InvalidRequestError(f"experiment_timeout_minutes is {minutes}; give a number above 0")
    if config.random_seed != DEFAULT_SEED:
        raise InvalidRequestError(
            f"random_seed {config.random_seed} has no equivalent on Azure, whose AutoML takes none: leave it out"
        )
    if config.device is not Device.AUTO:
        raise InvalidRequestError(f"device {config.device}: on Azure the compute target's machine decides; leave it out")
    if config.engine is not Engine.LOCAL or config.address:
        raise InvalidRequestError(
            f"engine {config.engine}: on Azure trials run on the compute target; leave it and the address out"
        )
    _check_models("allowed_models", config.allowed_models)
    _check_models("blocked_models", config.blocked_models)
    _settings(config, config.max_concurrent_iterations or 1).as_serializable_dict()


def sdk_config(config: AutoMLConfig, tabular: Any, compute: Any, nodes: int, folder: Path, validation: Any = None) -> Any:
    """The SDK's `AutoMLConfig`. `nodes` is how many trials run at once where the configuration leaves it open; `folder` must be
    empty, because the SDK uploads what is in it; `validation` is the validation dataset as the SDK has it.
    """
    return _settings(
        config,
        config.max_concurrent_iterations or nodes,
        training_data=tabular,
        validation_data=validation,
        label_column_name=config.dataset.label_column,
        compute_target=compute,
        path=str(folder),
    )


def budget_minutes(config: AutoMLConfig) -> int:
    """What Azure is asked for: whole minutes, at least 15."""
    return max(math.ceil(config.experiment_timeout_minutes), MINIMUM_MINUTES)


def run_tags(config: AutoMLConfig, synthetic: bool) -> Mapping[str, str]:
    """The run's tags: the configuration's, and what Azure has no field for."""
    tags = {**CREATED_BY, **config.tags, ASKED_MINUTES: f"{config.experiment_timeout_minutes:g}"}
    return {**tags, "synthetic": "true"} if synthetic else tags


def _settings(config: AutoMLConfig, concurrent: int, **rest: Any) -> Any:
    from azureml.train.automl import AutoMLConfig as SdkAutoMLConfig

    return SdkAutoMLConfig(
        task="classification",
        primary_metric=config.primary_metric,
        experiment_timeout_hours=(budget_minutes(config) + 0.5) / 60,  # the SDK cuts it down to whole minutes
        experiment_exit_score=config.experiment_exit_score,
        iterations=_iterations(config),
        iteration_timeout_minutes=_whole_minutes(config.iteration_timeout_minutes),
        enable_early_stopping=config.enable_early_stopping,
        n_cross_validations=config.n_cross_validations,
        validation_size=config.validation_size,
        max_concurrent_iterations=concurrent,
        allowed_models=list(config.allowed_models) or None,
        blocked_models=list(config.blocked_models) or None,
        featurization=_featurization(config.featurization),
        positive_label=config.positive_label,
        enable_voting_ensemble=config.enable_voting_ensemble,
        enable_stack_ensemble=config.enable_stack_ensemble,
        enable_dnn=config.enable_dnn,
        model_explainability=config.model_explainability,
        **rest,
    )


def _iterations(config: AutoMLConfig) -> int | None:
    """Azure counts the ensembles too, which are its last iterations."""
    ensembles = config.enable_voting_ensemble + config.enable_stack_ensemble
    return None if config.iterations is None else config.iterations + ensembles


def _whole_minutes(minutes: float | None) -> int | None:
    return None if minutes is None or not math.isfinite(minutes) else math.ceil(minutes)


def _featurization(featurization: Featurization) -> Any:
    from azureml.automl.core.featurization import FeaturizationConfig

    ignored = [name for name, purpose in featurization.column_purposes.items() if purpose is ColumnPurpose.IGNORE]
    purposes = {name: str(purpose) for name, purpose in featurization.column_purposes.items() if name not in ignored}
    dropped = [*featurization.drop_columns, *ignored]
    if not purposes and not dropped:
        return str(featurization.mode)
    return FeaturizationConfig(column_purposes=purposes or None, drop_columns=dropped or None)


def _check_models(field: str, models: tuple[str, ...]) -> None:
    from azureml.train.automl.constants import SupportedModels

    known = {value for name, value in vars(SupportedModels.Classification).items() if not name.startswith("_")}
    unknown = sorted(set(models) - known)
    if unknown:
        raise InvalidRequestError(f"{field}: Azure has no {', '.join(unknown)}; choose from: {', '.join(sorted(known))}")
