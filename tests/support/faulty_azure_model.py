"""A model in an Azure ML workspace whose scoring script fails when it begins, made with Microsoft's SDK."""

from __future__ import annotations

import os
from pathlib import Path

from bankmlops.azure.configuration import AzureConfig
from bankmlops.types import Model

SCRIPT = """
def init():
    raise ValueError("the model was trained on other columns")


def run(data):
    return data
"""
CONDA = "name: faulty\ndependencies:\n- python=3.11\n"


def register_faulty_model(config: AzureConfig, folder: Path) -> Model:
    """Registered from a run of its own, with the files that AutoML leaves beside a model."""
    from azureml.core import Experiment, Workspace
    from azureml.core.authentication import ServicePrincipalAuthentication

    principal = (os.environ[f"AZURE_{name}"] for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"))
    authentication = ServicePrincipalAuthentication(*principal)
    workspace = Workspace(config.subscription_id, config.resource_group, config.workspace_name, auth=authentication)
    run = Experiment(workspace, "faulty").start_logging(snapshot_directory=None)
    files = {"model.pkl": "not a model", "scoring_file_v_1_0_0.py": SCRIPT, "conda_env_v_1_0_0.yml": CONDA}
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
        run.upload_file(f"outputs/{name}", str(folder / name))
    registered = run.register_model("faulty-model", model_path="outputs/model.pkl")
    run.complete()
    return Model(str(registered.name), str(registered.version), str(run.id))
