"""The SDK's `featurization` setting in our terms: "auto", "off", or a `FeaturizationConfig`, which travels as its `__dict__`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bankmlops.errors import InvalidRequestError
from bankmlops.types import ColumnPurpose, Featurization, FeaturizationMode

_PURPOSES = {
    "Numeric": ColumnPurpose.NUMERIC,
    "Categorical": ColumnPurpose.CATEGORICAL,
    "CategoricalHash": ColumnPurpose.CATEGORICAL,
    "DateTime": ColumnPurpose.DATETIME,
    "Text": ColumnPurpose.TEXT,
    "Ignore": ColumnPurpose.IGNORE,
}
_WITHOUT_EQUIVALENT = ("blocked_transformers", "transformer_params", "dataset_language", "prediction_transform_type")


def parse_featurization(setting: Any) -> Featurization:
    """Read the setting. Raises `InvalidRequestError` for one that is neither a known word nor an object."""
    if setting is None or setting in tuple(FeaturizationMode):
        return Featurization(FeaturizationMode(setting or FeaturizationMode.AUTO))
    if not isinstance(setting, Mapping):
        raise InvalidRequestError(f"featurization {setting!r} is unknown; give 'auto', 'off' or a FeaturizationConfig")
    purposes = {name: _PURPOSES[purpose] for name, purpose in _purposes_of(setting).items() if purpose in _PURPOSES}
    return Featurization(drop_columns=tuple(map(str, setting.get("_drop_columns") or ())), column_purposes=purposes)


def featurization_passed_over(setting: Any) -> list[str]:
    """What a `FeaturizationConfig` asks for and the emulator does without."""
    if not isinstance(setting, Mapping):
        return []
    names = [f"featurization: {name}" for name in _WITHOUT_EQUIVALENT if setting.get(f"_{name}")]
    unknown = [(name, purpose) for name, purpose in _purposes_of(setting).items() if purpose not in _PURPOSES]
    return names + [f"featurization: purpose {purpose} of column {name}" for name, purpose in unknown]


def _purposes_of(setting: Mapping[str, Any]) -> Mapping[str, str]:
    return {str(name): str(purpose) for name, purpose in (setting.get("_column_purposes") or {}).items()}
