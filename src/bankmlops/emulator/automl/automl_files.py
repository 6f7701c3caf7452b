"""The files that an AutoML run leaves beside its model: scoring script, conda file, versions, guardrails."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from bankmlops.emulator.storage.table_facts import TableFacts

MODEL = "outputs/model.pkl"
SCORING_SCRIPT = "outputs/scoring_file_v_1_0_0.py"
SCORING_SCRIPT_V2 = "outputs/scoring_file_v_2_0_0.py"
CONDA_FILE = "outputs/conda_env_v_1_0_0.yml"
DEPENDENCIES = "outputs/env_dependencies.json"
MODEL_FILES = (MODEL, SCORING_SCRIPT, SCORING_SCRIPT_V2, CONDA_FILE, DEPENDENCIES)
GUARDRAILS = "outputs/verifier_results.json"
HIGH_CARDINALITY = 100
IMBALANCED_SHARE = 0.2
_PACKAGES = (
    "azureml-inference-server-http",
    "inference-schema",
    "joblib",
    "lightgbm",
    "numpy",
    "pandas",
    "scikit-learn",
    "xgboost-cpu",
)
_SCORING_HEAD = '''"""Scoring script of an AutoML run: serves the run's model."""

import json
import logging
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
%(imports)s

input_sample = pd.DataFrame(
    {
%(columns)s
    }
)
output_sample = np.array([%(label)s])
logger = logging.getLogger("azmlinfsrv.score")


def init():
    """Load the model that was registered from the run, as a file or with the folder that holds it."""
    global model
    path = next(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("model.pkl"))
    model = joblib.load(path)
    logger.info("Loaded the model of run %(run_id)s")

'''
_SCORING_IMPORTS = """\
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.schema_decorators import input_schema, output_schema"""
_SCORING_RUN = '''
@input_schema("data", PandasParameterType(input_sample))
@output_schema(NumpyParameterType(output_sample))
def run(data):
    """Labels for the rows of `data`, as JSON text."""
    try:
        result = model.predict(data)
        return json.dumps({"result": result.tolist()})
    except Exception as error:
        logger.exception("The model refused the data")
        return json.dumps({"error": str(error)})
'''
_SCORING_IMPORTS_V2 = """\
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema"""
_SCORING_RUN_V2 = '''
@input_schema("Inputs", StandardPythonParameterType({"data": PandasParameterType(input_sample)}))
@input_schema(
    "GlobalParameters",
    StandardPythonParameterType({"method": StandardPythonParameterType("predict")}),
    convert_to_provided_type=False,
)
@output_schema(StandardPythonParameterType({"Results": NumpyParameterType(output_sample)}))
def run(Inputs, GlobalParameters={"method": "predict"}):
    """Labels, or with the method `predict_proba` probabilities in the order of the classes, for the rows of `data`."""
    method = GlobalParameters.get("method") or "predict"
    if method not in ("predict", "predict_proba"):
        raise ValueError(f"method {method!r} is unknown; give 'predict' or 'predict_proba'")
    return {"Results": getattr(model, method)(Inputs["data"]).tolist()}
'''


def scoring_script(run_id: str, facts: TableFacts) -> str:
    """A script with `init()` and `run(data)` for `azureml-inference-server-http`; its schema is the training table's."""
    return _scoring_head(run_id, facts, _SCORING_IMPORTS) + _SCORING_RUN


def scoring_script_v2(run_id: str, facts: TableFacts) -> str:
    """The same with `run(Inputs, GlobalParameters)`, which can be asked for probabilities."""
    return _scoring_head(run_id, facts, _SCORING_IMPORTS_V2) + _SCORING_RUN_V2


def _scoring_head(run_id: str, facts: TableFacts, imports: str) -> str:
    columns = [
        f"        {json.dumps(feature.name)}: pd.Series([{feature.example!r}], dtype={json.dumps(feature.dtype)}),"
        for feature in facts.features
    ]
    values = {"columns": "\n".join(columns), "label": repr(_first_class(facts)), "run_id": run_id, "imports": imports}
    return _SCORING_HEAD % values


def _first_class(facts: TableFacts) -> Any:
    """As the model answers it: a label is a number or a truth where the table has it so."""
    text = next(iter(facts.classes), "")
    if facts.label_dtype == "bool":
        return text == "True"
    return int(text) if facts.label_dtype == "int64" else float(text) if facts.label_dtype == "float64" else text


def dependencies() -> dict[str, str]:
    """The packages that the model needs, with the versions that trained it."""
    return {name: metadata.version(name) for name in _PACKAGES}


def conda_file() -> str:
    """An environment for the scoring script, as YAML."""
    import yaml

    return yaml.safe_dump(conda_dependencies(), sort_keys=False)


def conda_dependencies() -> dict[str, Any]:
    """What the model and the scoring script need, in conda's terms."""
    pins = [f"{name}=={version}" for name, version in dependencies().items()]
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "name": "project_environment",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", {"pip": ["azureml-defaults", *pins]}],
    }


def problem_info(facts: TableFacts) -> str:
    """`ProblemInfoJsonString`: what set-up found out about the data."""
    categorical = [feature for feature in facts.features if feature.dtype in ("object", "bool")]
    return json.dumps(
        {
            "dataset_num_categorical": len(categorical),
            "is_sparse": False,
            "subsampling": False,
            "has_extra_col": True,
            "dataset_classes": len(facts.classes),
            "dataset_features": len(facts.features),
            "dataset_samples": facts.rows,
            "single_frequency_class_detected": 1 in facts.classes.values(),
        }
    )


def guardrails(facts: TableFacts) -> str:
    """`verifier_results.json`: three of AutoML's checks of the data, carried out on the training table."""
    return json.dumps({"schema_version": "1.0.0", "faults": [_balance(facts), _missing(facts), _cardinality(facts)]}, indent=1)


def _balance(facts: TableFacts) -> dict[str, Any]:
    smallest = min(facts.classes, key=lambda name: facts.classes[name]) if facts.classes else ""
    share = facts.classes[smallest] / max(facts.classes.values()) if smallest else 1.0
    if share >= IMBALANCED_SHARE:
        return _fault(
            "Class balancing detection",
            "passed",
            "Your inputs were analyzed, and all classes are balanced in your training data.",
        )
    parameters = [
        {
            "Size of the smallest class": str(facts.classes[smallest]),
            "Name/Label of the smallest class": smallest,
            "Number of samples in the training data": str(facts.rows),
        }
    ]
    text = "To decrease model bias, please cancel the current run and fix balancing problem."
    return _fault("Class balancing detection", "alerted", text, parameters)


def _missing(facts: TableFacts) -> dict[str, Any]:
    kind = "Missing feature values imputation"
    gaps = [feature for feature in facts.features if feature.missing]
    if not gaps:
        return _fault(kind, "passed", "No feature missing values were detected in the training data.")
    parameters = [{"Column name": each.name, "Missing value count": str(each.missing)} for each in gaps]
    text = "Missing feature values were detected in your training data and were imputed."
    return _fault(kind, "done", text, parameters)


def _cardinality(facts: TableFacts) -> dict[str, Any]:
    kind = "High cardinality feature detection"
    high = [each for each in facts.features if each.dtype == "object" and each.distinct > HIGH_CARDINALITY]
    if not high:
        return _fault(kind, "passed", "Your inputs were analyzed, and no high cardinality features were detected.")
    parameters = [{"Column name": each.name, "Distinct values": str(each.distinct)} for each in high]
    return _fault(kind, "done", "High cardinality features were detected in your inputs and handled.", parameters)


def _fault(kind: str, result: str, text: str, parameters: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    return {
        "type": kind,
        "result": result,
        "friendly_type": kind,
        "friendly_result": text,
        "friendly_learn_more": "Learn more about data guardrails: https://aka.ms/AutomatedMLDataGuardrails",
        "friendly_parameter_preface": "",
        "friendly_parameters": list(parameters),
    }
