"""Submit an AutoML run, print its id, and end: the run goes on without this process."""

# ruff: noqa: T201

import sys

from azureml.core import Dataset, Experiment, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.train.automl import AutoMLConfig

ws = Workspace.from_config()
compute_target = ComputeTarget.create(ws, "automl-cluster", AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=1))
datastore = ws.get_default_datastore()
datastore.upload_files([sys.argv[1]], target_path="bank", overwrite=True, show_progress=False)
dataset = Dataset.Tabular.from_delimited_files(path=(datastore, "bank/*.csv"))
config = AutoMLConfig(
    task="classification",
    training_data=dataset,
    label_column_name="y",
    primary_metric="accuracy",
    compute_target=compute_target,
    experiment_timeout_hours=0.25,
    n_cross_validations=2,
    allowed_models=["LightGBM", "LogisticRegression"],
    debug_log="automl.log",
)
print("run", Experiment(ws, "resumed").submit(config, show_output=False).id)
