"""Our AutoML configuration as the SDK's own class holds it, and what Azure can't do is told before anything is made."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bankmlops.azure.automl_config import budget_minutes, check_config, run_tags, sdk_config
from bankmlops.azure.calls import writing
from bankmlops.errors import InvalidRequestError
from bankmlops.types import AutoMLConfig, ColumnPurpose, Dataset, Device, Engine, Featurization, FeaturizationMode

DATASET = Dataset("bank", "1", 100, ("age", "y"), "y", "0" * 64)
CONFIG = AutoMLConfig(dataset=DATASET, experiment_timeout_minutes=29)


def _settings(config: AutoMLConfig, folder: Path) -> dict[str, Any]:
    """What the SDK would send."""
    found: dict[str, Any] = sdk_config(config, None, "cluster", 4, folder).as_serializable_dict()
    json.dumps(found)
    return found


def test_no_device() -> None:
    """The device is the compute target's on Azure, and one that is named is refused before anything is made."""
    with pytest.raises(InvalidRequestError, match="compute target"):
        check_config(replace(CONFIG, device=Device.CPU))


@pytest.mark.parametrize("fields", [{"engine": Engine.RAY}, {"engine": Engine.RAY, "address": "auto"}, {"address": "auto"}])
def test_no_engine(fields: dict[str, Any]) -> None:
    """Trials run on the compute target on Azure, and a Ray cluster is refused before anything is made."""
    with pytest.raises(InvalidRequestError, match="on Azure trials run on the compute target; leave it and the address out"):
        check_config(replace(CONFIG, **fields))


def test_a_network(tmp_path: Path) -> None:
    """Whether there is a network among the learners reaches Azure; the SDK refuses it beside folds, before anything is made."""
    assert _settings(CONFIG, tmp_path)["enable_dnn"] is False
    assert _settings(replace(CONFIG, enable_dnn=True), tmp_path)["enable_dnn"] is True
    with pytest.raises(InvalidRequestError, match="enable_dnn"):
        writing(check_config)(replace(CONFIG, enable_dnn=True, n_cross_validations=3))


def test_every_field_arrives(tmp_path: Path) -> None:
    """Each field that Azure has is in the settings that the SDK sends."""
    config = replace(
        CONFIG,
        primary_metric="AUC_weighted",
        n_cross_validations=3,
        max_concurrent_iterations=2,
        allowed_models=("LightGBM", "RandomForest"),
        blocked_models=("RandomForest",),
        enable_voting_ensemble=False,
        enable_stack_ensemble=True,
        experiment_exit_score=0.95,
        iterations=20,
        iteration_timeout_minutes=2.5,
        enable_early_stopping=False,
        featurization=Featurization(drop_columns=("id",), column_purposes={"age": ColumnPurpose.NUMERIC}),
        positive_label="yes",
        model_explainability=False,
    )
    settings = _settings(config, tmp_path)
    wanted = {
        "task_type": "classification",
        "primary_metric": "AUC_weighted",
        "experiment_timeout_minutes": 29,
        "n_cross_validations": 3,
        "max_concurrent_iterations": 2,
        "blacklist_algos": ["RandomForest"],
        "enable_ensembling": False,
        "enable_stack_ensembling": True,
        "experiment_exit_score": 0.95,
        "iterations": 21,
        "iteration_timeout_minutes": 3,
        "enable_early_stopping": False,
        "positive_label": "yes",
        "model_explainability": False,
        "label_column_name": "y",
        "path": str(tmp_path),
    }
    assert {name: settings[name] for name in wanted} == wanted
    assert set(settings["whitelist_models"]) == {"LightGBM", "RandomForest"}
    assert settings["featurization"]["_drop_columns"] == ["id"]
    assert settings["featurization"]["_column_purposes"] == {"age": "Numeric"}


def test_what_is_left_open(tmp_path: Path) -> None:
    """Without a number of trials at once there is one a node, and without lists every model that Azure has may be tried."""
    settings = _settings(CONFIG, tmp_path)
    assert settings["max_concurrent_iterations"] == 4
    assert settings["whitelist_models"] is None
    assert settings["enable_ensembling"] is True
    assert (settings["featurization"], settings["iterations"], settings["n_cross_validations"]) == ("auto", 1000, None)
    assert _settings(replace(CONFIG, validation_size=0.2), tmp_path)["validation_size"] == 0.2
    assert _settings(replace(CONFIG, featurization=Featurization(FeaturizationMode.OFF)), tmp_path)["featurization"] == "off"


@pytest.mark.parametrize(("asked", "sent"), [(0.1, 15), (15, 15), (15.2, 16), (29, 29), (57, 57), (1440, 1440)])
def test_azures_least_budget(asked: float, sent: int, tmp_path: Path) -> None:
    """Azure takes whole minutes, 15 or more: a smaller budget is raised to that, and the run's tag keeps what was asked for."""
    config = replace(CONFIG, experiment_timeout_minutes=asked)
    assert budget_minutes(config) == sent
    assert _settings(config, tmp_path)["experiment_timeout_minutes"] == sent
    assert run_tags(config, synthetic=False)["asked_minutes"] == f"{asked:g}"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"experiment_timeout_minutes": 0.0}, "experiment_timeout_minutes"),
        ({"experiment_timeout_minutes": math.nan}, "experiment_timeout_minutes"),
        ({"experiment_timeout_minutes": math.inf}, "experiment_timeout_minutes"),
        ({"experiment_timeout_minutes": 600_000.0}, "experiment_timeout_hours"),
        ({"random_seed": 7}, "random_seed 7 has no equivalent"),
        ({"primary_metric": "beauty"}, "primary_metric.*AUC_weighted"),
        ({"allowed_models": ("Oracle",)}, "allowed_models.*Oracle.*LightGBM"),
        ({"blocked_models": ("Oracle",)}, "blocked_models.*Oracle.*LightGBM"),
        ({"n_cross_validations": 1}, "n_cross_validations"),
        ({"max_concurrent_iterations": -1}, "max_concurrent_iterations"),
    ],
)
def test_what_cant_serve(field: dict[str, Any], words: str) -> None:
    """A field that Azure can't serve is one line that names it, ours or the SDK's own, without asking a server."""
    with pytest.raises(InvalidRequestError, match=words) as caught:
        writing(check_config)(replace(CONFIG, **field))
    assert "\n" not in str(caught.value)


def test_the_tags() -> None:
    """The configuration's tags are kept, and a synthetic table is said to be one."""
    tags = run_tags(replace(CONFIG, tags={"team": "risk"}), synthetic=True)
    assert tags == {"team": "risk", "created_by": "bankmlops", "asked_minutes": "29", "synthetic": "true"}
    assert "synthetic" not in run_tags(CONFIG, synthetic=False)
