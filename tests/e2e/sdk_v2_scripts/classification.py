"""Microsoft's SDK v2 in the order of its own tutorials: sign in, data asset, AutoML job, its files; another job is cancelled.

It knows nothing of an emulator: it would run in the cloud as it stands. Arguments: a CSV file, and a file for what it learnt.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from azure.ai.ml import Input, MLClient, automl
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import AmlCompute, Data, Job
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential

MLTABLE = """paths:
  - file: ./bank.csv
transformations:
  - read_delimited:
      delimiter: ','
      encoding: utf8
      header: all_files_same_headers
"""
ENDED = ("Completed", "Failed", "Canceled")


def sign_in() -> MLClient:
    names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
    return MLClient.from_config(ClientSecretCredential(*(os.environ[name] for name in names)))


def write_table(csv: str) -> Path:
    folder = Path("bank-table")
    folder.mkdir()
    shutil.copy(csv, folder / "bank.csv")
    (folder / "MLTable").write_text(MLTABLE)
    return folder


def register(ml_client: MLClient, folder: Path) -> dict[str, Any]:
    wanted = Data(name="bank-marketing", path=str(folder), type=AssetTypes.MLTABLE, description="Bank Marketing")
    first = ml_client.data.create_or_update(wanted)
    (folder / "notes.txt").write_text("another version")
    again = Data(name="bank-marketing", path=str(folder), type=AssetTypes.MLTABLE)
    second = ml_client.data.create_or_update(again)
    found = ml_client.data.get("bank-marketing", version=first.version)
    latest = ml_client.data.get("bank-marketing", label="latest").version
    listed = [each.version for each in ml_client.data.list(name="bank-marketing")]
    ml_client.data.archive("bank-marketing", version=second.version)
    return {
        "versions": [first.version, second.version],
        "path": found.path,
        "description": found.description,
        "latest": latest,
        "listed": [each.name for each in ml_client.data.list()],
        "listed_versions": listed,
        "in_use": [each.version for each in ml_client.data.list(name="bank-marketing")],
    }


def classification(path: str, label: str = "y") -> Any:
    job = automl.classification(
        compute="cpu-cluster",
        experiment_name="bank-marketing",
        training_data=Input(type=AssetTypes.MLTABLE, path=path),
        target_column_name=label,
        primary_metric="AUC_weighted",
        n_cross_validations=2,
        enable_model_explainability=True,
        tags={"team": "marketing"},
    )
    job.set_limits(
        timeout_minutes=30, trial_timeout_minutes=20, max_trials=6, max_concurrent_trials=2, enable_early_termination=True
    )
    job.set_training(
        allowed_training_algorithms=["LightGBM", "logistic_regression"], enable_stack_ensemble=False, enable_vote_ensemble=True
    )
    job.set_featurization(mode="custom", column_name_and_types={"month": "Categorical"})
    return job


def train(ml_client: MLClient, path: str) -> tuple[Job, dict[str, Any]]:
    submitted = ml_client.jobs.create_or_update(classification(path))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        ml_client.jobs.stream(submitted.name)
    ml_client.jobs.update(submitted.name, display_name="The campaign", tags={"reviewed": "yes"})
    job = ml_client.jobs.get(submitted.name)
    return job, {
        "display_name": job.display_name,
        "submitted": submitted.status,
        "studio": submitted.services["Studio"].endpoint,
        "status": job.status,
        "streamed": output.getvalue(),
        "limits": [job.limits.timeout_minutes, job.limits.max_trials],
        "data": job.training_data.path,
        "compute": job.compute,
        "tags": job.tags,
        "children": {each.name: each.status for each in ml_client.jobs.list(parent_job_name=job.name)},
    }


def download(ml_client: MLClient, job: Job) -> dict[str, Any]:
    best = job.tags["automl_best_child_run_id"]
    ml_client.jobs.download(best, download_path="downloads")
    files = {str(each.relative_to("downloads")): each.stat().st_size for each in Path("downloads").rglob("*") if each.is_file()}
    child = ml_client.jobs.get(best)
    return {"best": best, "files": files, "algorithm": child.properties["run_algorithm"], "score": child.properties["score"]}


def cancel(ml_client: MLClient, folder: Path) -> dict[str, Any]:
    submitted = ml_client.jobs.create_or_update(classification(str(folder)))
    ml_client.jobs.begin_cancel(submitted.name).result()
    seen = wait(ml_client, submitted.name)
    return {"name": submitted.name, "states": seen}


def wait(ml_client: MLClient, name: str, seconds: float = 240) -> list[str]:
    """The states that the job was seen in, each once, in their order."""
    seen: list[str] = []
    until = time.monotonic() + seconds
    while not seen or seen[-1] not in ENDED:
        if time.monotonic() > until:
            raise TimeoutError(f"{name}: {seen}")
        status = ml_client.jobs.get(name).status
        seen += [status] if status not in seen else []
        time.sleep(0.5)
    return seen


def failing(ml_client: MLClient) -> dict[str, Any]:
    """A column that is not there; a task, a table and an algorithm that the service refuses."""
    path = "azureml:bank-marketing:1"
    name = ml_client.jobs.create_or_update(classification(path, label="missing")).name
    states = wait(ml_client, name)
    regression = automl.regression(
        compute="cpu-cluster", training_data=Input(type=AssetTypes.MLTABLE, path=path), target_column_name="age"
    )
    return {
        "states": states,
        "streamed": raised(lambda: ml_client.jobs.stream(name)),
        "regression": raised(lambda: ml_client.jobs.create_or_update(regression)),
        "no table": raised(lambda: ml_client.jobs.create_or_update(classification("azureml:bank-marketing:9"))),
        "ended": raised(lambda: ml_client.jobs.begin_cancel(name).result()),
    }


def raised(call: Any) -> str:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            call()
    except HttpResponseError as error:
        return f"{error.status_code}: {error.message}"
    except Exception as error:
        return str(error)
    return ""


def main() -> None:
    ml_client = sign_in()
    workspace = ml_client.workspaces.get(ml_client.workspace_name)
    learnt: dict[str, Any] = {"workspace": [workspace.name, workspace.location, workspace.id]}
    learnt["compute"] = ml_client.compute.begin_create_or_update(AmlCompute(name="cpu-cluster", max_instances=2)).result().name
    learnt["datastores"] = {each.name: each.type for each in ml_client.datastores.list()}
    learnt["default"] = ml_client.datastores.get_default().name
    folder = write_table(sys.argv[1])
    learnt["data"] = register(ml_client, folder)
    job, learnt["job"] = train(ml_client, "azureml:bank-marketing:1")
    learnt["download"] = download(ml_client, job)
    learnt["cancelled"] = cancel(ml_client, folder)
    learnt["failed"] = failing(ml_client)
    ml_client.jobs.archive(learnt["cancelled"]["name"])
    learnt["jobs"] = {each.name: [each.status, each.experiment_name] for each in ml_client.jobs.list()}
    learnt["name"] = job.name
    Path(sys.argv[2]).write_text(json.dumps(learnt, indent=1))


if __name__ == "__main__":
    main()
