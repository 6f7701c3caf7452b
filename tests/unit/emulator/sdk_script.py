"""What people do with azureml-core, in the manner of Microsoft's samples; knows of no emulator. Prints what it saw as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from azureml.core import Dataset, Datastore, Environment, Experiment, Model, Workspace
from azureml.core.authentication import MsiAuthentication, ServicePrincipalAuthentication
from azureml.core.compute import AmlCompute, ComputeTarget

TABLE = pd.DataFrame({"age": range(200), "job": ["münchen, süd"] * 200, "y": ["yes", "no"] * 100})


def refused(call: Callable[[], object]) -> str:
    """The message of what the SDK raises."""
    try:
        call()
    except Exception as error:
        return str(error)
    return ""


def data(workspace: Workspace) -> dict[str, Any]:
    store = workspace.get_default_datastore()
    Path("data").mkdir()
    TABLE.to_csv("data/bank.csv", index=False)
    store.upload("data", "bank", overwrite=True, show_progress=False)
    dataset = Dataset.Tabular.from_delimited_files(store.path("bank/bank.csv"))
    registered = dataset.register(workspace, "bank", tags={"of": "test"}, create_new_version=True)
    frame = Dataset.get_by_name(workspace, "bank").to_pandas_dataframe()
    store.download("down", prefix="bank", show_progress=False)
    second = Datastore.register_azure_blob_container(
        workspace, "second", "more", store.account_name, account_key=store.account_key, overwrite=True
    )
    second.upload_files(["data/bank.csv"], show_progress=False)
    files = Dataset.File.from_files(second.path("bank.csv")).download("files", overwrite=True)
    return {
        "same": frame.equals(TABLE),
        "version": registered.version,
        "tags": registered.tags,
        "by id": Dataset.get_by_id(workspace, registered.id).name,
        "downloaded": Path("down/bank/bank.csv").read_bytes() == Path("data/bank.csv").read_bytes(),
        "files": [Path(file).name for file in files],
        "missing": refused(lambda: Dataset.get_by_name(workspace, "none")),
        "taken": refused(lambda: dataset.register(workspace, "bank")),
    }


def runs(workspace: Workspace) -> dict[str, Any]:
    experiment = Experiment(workspace, "runs")
    run = experiment.start_logging(snapshot_directory="data")
    run.log("accuracy", 0.9)
    run.log_list("losses", [3, 2, 1])
    run.log_row("row", a=1, b=2)
    run.upload_file("outputs/bank.csv", "data/bank.csv")
    run.tag("kind", "test")
    run.complete()
    run.download_file("outputs/bank.csv", "artifact.csv")
    other = experiment.start_logging(snapshot_directory=None)
    other.fail("on purpose")
    return {
        "status": run.get_status(),
        "metrics": run.get_metrics(),
        "files": run.get_file_names(),
        "tags": run.get_tags(),
        "artifact": Path("artifact.csv").read_bytes() == Path("data/bank.csv").read_bytes(),
        "snapshot": Path(run.restore_snapshot(path=".")).stat().st_size > 0,
        "failed": other.get_status(),
        "newest first": [each.id for each in experiment.get_runs()] == [other.id, run.id],
        "model": run.register_model("from-run", model_path="outputs/bank.csv").run_id == run.id,
    }


def things(workspace: Workspace) -> dict[str, Any]:
    wanted = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", min_nodes=1, max_nodes=4)
    compute = ComputeTarget.create(workspace, "cpu", wanted)
    compute.wait_for_completion(min_node_count=1)
    first = Model.register(workspace, "data/bank.csv", "mine", tags={"a": "b"})
    second = Model.register(workspace, "data/bank.csv", "mine")
    found = Model(workspace, "mine")
    return {
        "compute": compute.provisioning_state,
        "computes": list(workspace.compute_targets),
        "versions": [first.version, second.version, found.version],
        "model": Path(found.download("model", exist_ok=True)).read_bytes() == Path("data/bank.csv").read_bytes(),
        "environment": Environment("mine").register(workspace).version,
        "workspaces": list(Workspace.list(workspace.subscription_id)),
        "no model": refused(lambda: Model(workspace, "none")),
    }


def authentications(workspace: Workspace) -> list[str]:
    """The workspace's id, as each kind of authentication sees it."""
    principal = [os.environ[name] for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")]
    names = (workspace.subscription_id, workspace.resource_group, workspace.name)
    kinds = (MsiAuthentication(), ServicePrincipalAuthentication(*principal))
    return [Workspace(*names, auth=kind)._workspace_id == workspace._workspace_id for kind in kinds]


def main() -> None:
    workspace = Workspace.from_config()
    seen = {"workspace": workspace.name, "authentications": authentications(workspace)}
    seen |= {"data": data(workspace), "runs": runs(workspace), "things": things(workspace)}
    Path(sys.argv[1]).write_text(json.dumps(seen), "utf-8")


if __name__ == "__main__":
    main()
