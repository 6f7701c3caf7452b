"""What drives an AutoML run's best model, as `azureml.interpret`'s `ExplanationClient` downloads it: an asset and its files.

The names of files, members and properties are those that version 8 of `upload_model_explanation` writes (azureml-interpret 1.62,
`_internal/explanation_client.py`). The explanation is of the original columns, which the client calls raw; there is none of the
columns that featurization makes of them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from bankmlops.emulator.history import artifacts, registry, runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.storage.table_facts import TableFacts

IMPORTANCE = "outputs/importance.json"  # of the backend's run: `importance` maps columns to shares, the largest first
ASSET, ASSET_TYPE = "explanation_asset", "azureml.explanation"
_VERSION = "azureml.v8.model.explanation"
_ID_LENGTH = 8  # of an explanation's id, in its folder's name


def publish(workspace: WorkspaceState, run_id: str, facts: TableFacts, experiment_id: str) -> None:
    """Write the explanation beside the files of a run that has `IMPORTANCE`; nothing, where it was not asked for."""
    if registry.list_assets(workspace, {"name": ASSET, "runId": run_id}):
        return  # by an emulator that was killed before it wrote down that it is done
    if IMPORTANCE not in artifacts.list_paths(workspace, artifacts.RUN_ORIGIN, f"dcid.{run_id}", IMPORTANCE):
        return
    file = artifacts.get_blob(workspace, artifacts.RUN_ORIGIN, f"dcid.{run_id}", IMPORTANCE).path
    importance: dict[str, float] = json.loads(file.read_text("utf-8"))["importance"]
    features = [feature.name for feature in facts.features if feature.name in importance]
    explanation_id = str(uuid.uuid5(uuid.NAMESPACE_URL, run_id))
    folder = f"explanation/{explanation_id[:_ID_LENGTH]}"
    for path, values in _files(features, importance).items():
        artifacts.put_run_text(workspace, run_id, f"{folder}/{path}.interpret.json", json.dumps(values))
    asset = {
        "name": ASSET,
        "type": ASSET_TYPE,
        "runid": run_id,
        "meta": {},
        "kvTags": {},
        "artifacts": [{"prefix": f"{artifacts.RUN_ORIGIN}/dcid.{run_id}/{folder}"}],
        "properties": _properties(explanation_id, folder, features, facts, experiment_id),
    }
    _add_run(workspace, run_id, experiment_id)
    registry.create_asset(workspace, asset)


def _add_run(workspace: WorkspaceState, run_id: str, experiment_id: str) -> None:
    """The run that explained the model, which clients wait for: `PARENT_ModelExplain`."""
    parent = run_id.rpartition("_")[0]
    own = f"{parent}_ModelExplain"
    properties = {"runTemplate": "ModelExplain", "azureml.runsource": "automl"}
    changes = {"parentRunId": run_id, "runType": "azureml.scriptrun", "properties": properties}
    runs.upsert_run(workspace, runs.get_experiment(workspace, experiment_id)["name"], own, changes)
    runs.set_status(workspace, own, "Completed")
    runs.update_run(workspace, run_id, {"tags": {"model_explain_run_id": own}})
    runs.update_run(workspace, parent, {"properties": {"ModelExplainRunId": own}, "tags": {"model_explain_run": "best_run"}})


def _files(features: Sequence[str], importance: Mapping[str, float]) -> dict[str, Any]:
    """Path behind the explanation's folder -> what it holds; a list is kept in blocks, of which there is one."""
    blocks = {
        "global_names": list(importance),
        "global_rank": [features.index(name) for name in importance],
        "global_values": list(importance.values()),
    }
    size = {"num_features": len(features), "num_blocks": 1, "block_size": len(features), "max_num_blocks": 1}
    metadata = {"features": {}, **dict.fromkeys(blocks, size)}
    return {"features": list(features), "rich_metadata": metadata, **{f"{name}/0": values for name, values in blocks.items()}}


def _properties(
    explanation_id: str, folder: str, features: Sequence[str], facts: TableFacts, experiment_id: str
) -> dict[str, str | None]:
    return {
        "type": "explanation",
        "model_type": "classification",
        "data_type": "tabular",
        "explain_type": "shap",
        "model_task": "classification",
        "method": "shap",
        "model_class": "sklearn",
        "is_raw": "True",
        "is_engineered": "False",
        "metadata_artifact_path": f"{folder}/rich_metadata",
        "version": _VERSION,
        "explanation_id": explanation_id,
        "comment": None,
        "global": "True",
        "local": "False",
        "num_classes": str(len(facts.classes)),
        "num_features": str(len(features)),
        "experiment_id": experiment_id,
    }
