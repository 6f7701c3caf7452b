"""What Azure ML's SDK posts for AutoML and pipelines, shortened to what the emulator reads."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from support.served_emulator import Served

TABLE = pa.table(
    {"age": [20, 30, 40, 50, None, 70], "job": ["a", "b", "a", None, "b", "a"], "y": ["no", "no", "no", "yes", "no", "no"]}
)


def settings(**changes: object) -> str:
    """`amlSettingsJsonString`."""
    usual = {
        "task_type": "classification",
        "primary_metric": "AUC_weighted",
        "label_column_name": "y",
        "experiment_timeout_minutes": 20,
        "n_cross_validations": None,
        "max_concurrent_iterations": 5,
        "enable_ensembling": True,
        "compute_target": "cpu-cluster",
        "iterations": 1000,
    }
    return json.dumps({**usual, **changes})


def data_prep(dataset_id: str) -> str:
    """`dataPrepJsonString`, escaped as the SDK does it."""
    text = json.dumps({"training_data": {"datasetId": dataset_id}, "datasets": 0})
    return text.replace("\\", "\\\\").replace('"', '\\"')


def parent_run(dataset_id: str, **changes: object) -> dict[str, Any]:
    """The body of Jasmine's `run` and `validation`."""
    return {
        "runType": "automl",
        "numIterations": 1000,
        "primaryMetric": "AUC_weighted",
        "target": "cpu-cluster",
        "amlSettingsJsonString": settings(**changes),
        "dataPrepJsonString": data_prep(dataset_id),
        "properties": {"display_task_type": "classification", "dependencies_versions": '{"azureml-core": "1.61"}'},
    }


def submit_run(served: Served) -> str:
    """Have an AutoML run on a new dataset carried out, as the SDK does, and answer its id."""
    experiment = served.call("POST", "/history/v1.0", "/experiments/bank").json()["experimentId"]
    path = f"/experimentids/{experiment}"
    run_id = served.call("POST", "/jasmine/v1.0", f"{path}/run", json=parent_run(save_dataset(served))).json()
    served.call("POST", "/jasmine/v1.0", f"{path}/runs/{run_id}/submitSnapshotRun")
    return str(run_id)


def save_dataset(served: Served, path: str = "data/bank.parquet") -> str:
    """Upload a small table into the default datastore, save a dataset on it, and answer the dataset's id."""
    store = served.call("GET", "/datastore/v1.0", "/default").json()
    buffer = pa.BufferOutputStream()
    pq.write_table(TABLE, buffer)
    blob = f"/{store['azureStorageSection']['containerName']}/{path}"
    content = buffer.getvalue().to_pybytes()
    answer = served.blob("PUT", blob, {"x-ms-blob-type": "BlockBlob"}, content=content)
    assert answer.status_code == 201, answer.text
    return save_dataflow(served, f"{served.workspace.path.lower()}/datastores/{store['name']}/paths/{path}")


def save_dataflow(
    served: Served, path: str, transformations: str = "  - read_parquet:\n      path_column: Path\n", scheme: str = "azureml:/"
) -> str:
    """Save a dataset on a path behind the scheme."""
    yaml = f'---\ntype: mltable\npaths:\n  - pattern: "{scheme}{path}"\ntransformations:\n{transformations}'
    body = {"datasetType": "tabular", "dataflowJson": json.dumps({"blocks": [], "meta": {"RsDataflow": yaml}})}
    return str(served.call("POST", "/dataset/v1.0", "/saveddatasets", json=body).json()["id"])


def automl_module(execution_type: str = "AutoMLCloud") -> dict[str, Any]:
    """What a step posts to `Modules`."""
    outputs = [
        {"Name": "metrics_data", "DataTypeId": "AnyFile", "TrainingOutput": {"TrainingOutputType": "Metrics"}},
        {"Name": "model_data", "DataTypeId": "AnyFile", "TrainingOutput": {"TrainingOutputType": "Model"}},
        {"Name": "_run_after_output", "DataTypeId": "AnyFile"},
    ]
    structure = {
        "Inputs": [{"Name": "training_data", "DataTypeIdsList": ["AzureMLDataset"], "IsOptional": False}],
        "Outputs": outputs,
        "Parameters": [{"Name": "primary_metric", "ParameterType": "String", "IsOptional": True, "DefaultValue": "accuracy"}],
        "MetadataParameters": [{"Name": "AutoMLConfig", "ParameterType": "String", "IsOptional": True}],
    }
    return {
        "Name": "automl_module",
        "ModuleExecutionType": execution_type,
        "IdentifierHash": f"hash-of-{execution_type}",
        "StructuredInterface": structure,
        "CloudSettings": {"secret": 1},
    }


def graph(module_id: str, dataset_id: str) -> dict[str, Any]:
    """A pipeline of one AutoML step."""
    config = {
        "num_iterations": 1000,
        "primary_metric": "AUC_weighted",
        "aml_settings_json_string": settings(),
        "properties": {"dependencies_versions": "{}"},
    }
    node = {
        "Id": "537a151d",
        "ModuleId": module_id,
        "ModuleParameters": [
            {"Name": "target", "Value": "cpu-cluster", "ValueType": "0"},
            {"Name": "data_prep_json_string", "Value": data_prep(dataset_id), "ValueType": "0"},
        ],
        "ModuleMetadataParameters": [{"Name": "AutoMLConfig", "Value": json.dumps(config), "ValueType": "0"}],
        "ModuleOutputSettings": [{"Name": "metrics_data", "DataStoreName": "workspaceblobstore"}],
    }
    edges = [
        {"SourceOutputPort": {"NodeId": "537a151d", "PortName": port}, "DestinationInputPort": {"GraphPortName": name}}
        for port, name in (("metrics_data", "metrics_output"), ("model_data", "best_model_output"))
    ]
    return {"ModuleNodes": [node], "DatasetNodes": [], "Edges": edges}
