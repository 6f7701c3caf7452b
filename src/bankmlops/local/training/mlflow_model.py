"""The trained pipeline as an MLflow model: with signature, example and requirements, and fast.

`mlflow.sklearn.log_model` does the same, and then loads and tries what it wrote: seconds that a run's budget does not have.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bankmlops.automl.lightgbm_library import load_lightgbm

if TYPE_CHECKING:
    from mlflow.models import Model

_LIBRARIES = ("scikit-learn", "pandas", "numpy", "lightgbm", "xgboost-cpu")


def save_pipeline(pipeline: Any, example: Mapping[str, object], label_column: str, described: Model, folder: Path) -> None:
    """Write the model `described` into `folder`; `example` is one row, column -> value, without the label.

    It is a pickle: skops refuses LightGBM and XGBoost, and nothing that answers requests loads this file.
    """
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from pandas import DataFrame, Series

    frame = DataFrame([example])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints about whole numbers, which are right here: the features take them as they are
        signature = infer_signature(frame, Series(pipeline.predict(frame), name=label_column))
        mlflow.sklearn.save_model(
            pipeline,
            str(folder),
            mlflow_model=described,
            serialization_format="pickle",
            signature=signature,
            input_example=frame,
            pip_requirements=[f"{name}=={version(name)}" for name in _LIBRARIES],
        )


def warm_up() -> None:
    """Save the smallest model and forget it: the imports and look-ups of a first time are done when the real one is there."""
    import xgboost  # noqa: F401
    from mlflow.models import Model
    from sklearn.dummy import DummyClassifier

    load_lightgbm()
    smallest = DummyClassifier().fit([[0], [1]], ["no", "yes"])
    with tempfile.TemporaryDirectory(prefix="bankmlops-") as temporary:
        save_pipeline(smallest, {"x": 0}, "y", Model(), Path(temporary) / "model")
