"""Bank marketing with the Azure ML SDK v1: AutoML, a web service, a published pipeline, in the manner of Microsoft's samples."""

# ruff: noqa: T201

import json
import sys
from pathlib import Path

import pandas as pd
import requests
from azureml.core import Dataset, Environment, Experiment, Model, Workspace
from azureml.core.authentication import InteractiveLoginAuthentication
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException
from azureml.core.model import InferenceConfig
from azureml.core.webservice import AciWebservice, Webservice
from azureml.pipeline.core import Pipeline, PipelineData, PipelineRun, TrainingOutput
from azureml.pipeline.steps import AutoMLStep
from azureml.train.automl import AutoMLConfig

csv = Path(sys.argv[1])
label = "y"

# Workspace, experiment, compute
ws = Workspace.from_config()
experiment = Experiment(ws, "bankmarketing-automl")
try:
    compute_target = ComputeTarget(workspace=ws, name="automl-cluster")
except ComputeTargetException:
    config = AmlCompute.provisioning_configuration(vm_size="STANDARD_DS12_V2", max_nodes=4)
    compute_target = ComputeTarget.create(ws, "automl-cluster", config)
compute_target.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=10)

# Data
datastore = ws.get_default_datastore()
datastore.upload_files([str(csv)], target_path="bankmarketing", overwrite=True, show_progress=False)
dataset = Dataset.Tabular.from_delimited_files(path=[(datastore, f"bankmarketing/{csv.name}")])
dataset = dataset.register(workspace=ws, name="Bank-marketing", description="Bank Marketing DataSet", create_new_version=True)
frame = dataset.to_pandas_dataframe()
print(frame.describe())

# AutoML
automl_settings = {
    "experiment_timeout_hours": 0.3,
    "max_concurrent_iterations": 5,
    "primary_metric": "AUC_weighted",
    "n_cross_validations": 2,
    "allowed_models": ["LightGBM", "LogisticRegression"],
}
automl_config = AutoMLConfig(
    compute_target=compute_target,
    task="classification",
    training_data=dataset,
    label_column_name=label,
    path=".",
    enable_early_stopping=True,
    featurization="auto",
    debug_log="automl_errors.log",
    **automl_settings,
)
remote_run = experiment.submit(automl_config, show_output=False)
remote_run.wait_for_completion(show_output=True)
best_run, fitted_model = remote_run.get_output()
print(best_run)
print(fitted_model.steps)
guardrails = remote_run.get_guardrails()
children = list(remote_run.get_children())
best_metrics = best_run.get_metrics()
predicted = fitted_model.predict(frame.drop(columns=[label]).head(5))

# Model, with AutoML's own scoring script and environment
best_run.download_file("outputs/scoring_file_v_1_0_0.py", "inference/score.py")
best_run.download_file("outputs/conda_env_v_1_0_0.yml", "inference/env.yml")
model = remote_run.register_model(model_name="bankmarketing", description="AutoML Model trained on bank marketing data")
environment = Environment.from_conda_specification(name="myenv", file_path="inference/env.yml")
inference_config = InferenceConfig(entry_script="inference/score.py", environment=environment)
aciconfig = AciWebservice.deploy_configuration(
    cpu_cores=1,
    memory_gb=1,
    auth_enabled=True,
    tags={"area": "bmData", "type": "automl_classification"},
    description="sample service",
)
service = Model.deploy(ws, "bankmarketing-aci", [model], inference_config, aciconfig)
service.wait_for_deployment(show_output=True)
print(service.state, service.scoring_uri)

# Telemetry, logs
service = Webservice(name="bankmarketing-aci", workspace=ws)
service.update(enable_app_insights=True)
service.wait_for_deployment()

# Consume
rows = json.loads(frame.drop(columns=[label]).head(3).to_json(orient="records"))
primary, secondary = service.get_keys()
answers = {}
for name, key in {"primary": primary, "secondary": secondary, "wrong": "wrong-key"}.items():
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    response = requests.post(service.scoring_uri, data=json.dumps({"data": rows}), headers=headers, timeout=60)
    answers[name] = [response.status_code, response.json() if response.ok else response.text]
answers["sdk"] = [200, service.run(json.dumps({"data": rows}))]
swagger = requests.get(service.swagger_uri, timeout=60).json()
logs = service.get_logs()
for line in logs.split("\n"):
    print(line)

# Pipeline
metrics_data = PipelineData(
    name="metrics_data",
    datastore=datastore,
    pipeline_output_name="metrics_output",
    training_output=TrainingOutput(type="Metrics"),
)
model_data = PipelineData(
    name="model_data",
    datastore=datastore,
    pipeline_output_name="best_model_output",
    training_output=TrainingOutput(type="Model"),
)
automl_step = AutoMLStep(name="automl_module", automl_config=automl_config, outputs=[metrics_data, model_data], allow_reuse=True)
pipeline = Pipeline(description="pipeline_with_automlstep", workspace=ws, steps=[automl_step])
pipeline_run = experiment.submit(pipeline)
pipeline_run.wait_for_completion()
metrics_output = pipeline_run.get_pipeline_output("metrics_output")
metrics_output.download(".", show_progress=True)
metrics_frame = pd.DataFrame(json.loads(Path(metrics_output._path_on_datastore).read_text()))
best_model_output = pipeline_run.get_pipeline_output("best_model_output")
best_model_output.download(".", show_progress=True)
steps = list(pipeline_run.get_steps())

published_pipeline = pipeline_run.publish_pipeline(
    name="Bankmarketing Train", description="Training bankmarketing pipeline", version="1.0"
)
auth_header = InteractiveLoginAuthentication().get_authentication_header()
endpoint = published_pipeline.endpoint
response = requests.post(endpoint, headers=auth_header, json={"ExperimentName": "pipeline-rest-endpoint"}, timeout=60)
response.raise_for_status()
run_id = response.json().get("Id")
published_run = PipelineRun(ws.experiments["pipeline-rest-endpoint"], run_id)
published_run.wait_for_completion(show_output=False)
unauthorized = requests.post(endpoint, json={"ExperimentName": "pipeline-rest-endpoint"}, timeout=60)

service.delete()
compute_target.delete()

summary = {
    "run": [remote_run.get_status(), best_run.id],
    "algorithms": [child.properties["run_algorithm"] for child in children],
    "best_algorithm": best_run.properties["run_algorithm"],
    "best_metrics": best_metrics,
    "steps": [name for name, _ in fitted_model.steps],
    "guardrails": [fault["friendly_type"] for fault in guardrails["faults"]],
    "predicted": predicted.tolist(),
    "model": [model.name, model.version],
    "answers": answers,
    "operations": sorted(entry["operationId"] for path in swagger["paths"].values() for entry in path.values()),
    "definitions": sorted(swagger["definitions"]),
    "input": sorted(swagger["definitions"]["ServiceInput"]["properties"]["data"]["items"]["properties"]),
    "app_insights": service.enable_app_insights,
    "logs": logs,
    "keys": [primary, secondary],
    "pipeline": [pipeline_run.get_status(), [step.name for step in steps]],
    "pipeline_metrics": metrics_frame.shape,
    "pipeline_model_bytes": Path(best_model_output._path_on_datastore).stat().st_size,
    "triggered": published_run.get_status(),
    "unauthorized": unauthorized.status_code,
}
Path(sys.argv[2]).write_text(json.dumps(summary, default=str))
