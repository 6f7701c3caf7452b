"""Published pipelines, pipeline endpoints and schedules, over one small AutoML step."""

from __future__ import annotations

import pickle
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import requests
from azureml.core import Dataset, Workspace
from azureml.core.authentication import InteractiveLoginAuthentication
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.pipeline.core import Pipeline, PipelineData, PipelineEndpoint, PipelineRun, PublishedPipeline, TrainingOutput
from azureml.pipeline.core.schedule import Schedule, ScheduleRecurrence
from azureml.pipeline.steps import AutoMLStep, AutoMLStepRun
from azureml.train.automl import AutoMLConfig
from checks import main, raised, sdk_call

SETTLED = ("Finished", "Failed", "Canceled")


def table() -> pd.DataFrame:
    random = np.random.default_rng(3)
    age = random.integers(18, 80, 400)
    job = random.choice(["admin", "nurse", "farmer"], 400)
    return pd.DataFrame({"age": age, "job": job, "y": np.where(age + random.normal(0, 10, 400) > 50, "yes", "no")})


@cache
def pipeline(ws: Workspace) -> Pipeline:
    store = ws.get_default_datastore()
    Path("table").mkdir(exist_ok=True)
    table().to_csv("table/bank.csv", index=False)
    store.upload("table", "schedules", overwrite=True, show_progress=False)
    data = Dataset.Tabular.from_delimited_files(store.path("schedules/bank.csv"))
    compute = ComputeTarget.create(ws, "steps", AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=1))
    config = AutoMLConfig(
        task="classification",
        training_data=data,
        label_column_name="y",
        primary_metric="AUC_weighted",
        compute_target=compute,
        experiment_timeout_hours=0.25,
        n_cross_validations=2,
        allowed_models=["LogisticRegression"],
    )
    outputs = [
        PipelineData("metrics", store, pipeline_output_name="metrics_output", training_output=TrainingOutput("Metrics")),
        PipelineData("model", store, pipeline_output_name="model_output", training_output=TrainingOutput("Model")),
        PipelineData("first", store, pipeline_output_name="first", training_output=TrainingOutput("Model", iteration=0)),
        PipelineData("surest", store, pipeline_output_name="surest", training_output=TrainingOutput("Model", metric="log_loss")),
    ]
    step = AutoMLStep("train", automl_config=config, outputs=outputs, allow_reuse=False)
    return Pipeline(ws, [step], description="one step")


@cache
def published(ws: Workspace) -> PublishedPipeline:
    return pipeline(ws).publish("corners", description="first", version="1.0")


def ended(run: PipelineRun) -> str:
    until = time.monotonic() + 120
    while run.get_status() not in SETTLED and time.monotonic() < until:
        time.sleep(0.3)
    return run.get_status()


@sdk_call(
    "Pipeline",
    "Pipeline.validate",
    "Pipeline.submit",
    "PipelineRun.get_steps",
    "PipelineRun.find_step_run",
    "StepRun.get_job_log",
    "StepRun.get_stdout_log",
    "StepRun.get_stderr_log",
    "PipelineRun.get_pipeline_output",
    "AutoMLStepRun",
    "AutoMLStepRun.get_best_child",
    "PipelineRun.get_graph",
    "PipelineRun.get_status",
    "PipelineRun.get_tags",
    "PipelineRun.wait_for_completion",
    "PipelineRun.publish_pipeline",
    "StepRun.get_status",
    "StepRun.pipeline_run_id",
    "StepRun.get_details_with_logs",
    "AutoMLStepRun.get_default_metrics_output",
    "AutoMLStepRun.get_default_model_output",
)
def a_run_and_its_step(ws: Workspace) -> None:
    assert pipeline(ws).validate() == []
    run = pipeline(ws).submit("schedules")
    assert ended(run) == "Finished"
    step = next(iter(run.get_steps()))
    assert run.find_step_run("train")[0].id == step.id
    assert step.get_status() == "Finished"
    assert step.get_job_log()
    assert step.get_stdout_log()
    assert step.get_stderr_log() == ""
    assert list(run.get_graph().nodes)
    automl = AutoMLStepRun(step)
    assert automl.get_status() == "Completed"
    children = {child.id for child in automl.get_children()}
    assert children == {f"{step.id}_{number}" for number in range(len(children))}
    best = automl.get_best_child().id
    assert best in children
    other = next(int(child.rpartition("_")[2]) for child in sorted(children) if child != best)
    assert set(automl.get_output(iteration=other)[1].predict(table().drop(columns="y"))) == {"yes", "no"}
    assert run.get_pipeline_output("metrics_output").download(".", show_progress=False) == 1
    rows = table().drop(columns="y")
    for name, child in (("first", automl.get_output(iteration=0)), ("surest", automl.get_output(metric="log_loss"))):
        output = run.get_pipeline_output(name)
        assert output.download(".", show_progress=False) == 1
        model = pickle.loads(Path(output._path_on_datastore).read_bytes())  # noqa: S301 - trained in this check
        assert np.array_equal(model.predict_proba(rows), child[1].predict_proba(rows)), name
    assert run.wait_for_completion(show_output=False) == "Finished"
    assert isinstance(run.get_tags(), dict)
    assert step.pipeline_run_id == run.id
    assert step.get_details_with_logs()["status"] == "Completed"
    defaults = (automl.get_default_metrics_output(), automl.get_default_model_output())
    assert all(each.get_port_data_reference() is not None for each in defaults)
    assert run.publish_pipeline("of-a-run", "published from a run", "1.0").name == "of-a-run"


@sdk_call(
    "Pipeline.publish",
    "PublishedPipeline.list",
    "PublishedPipeline.get",
    "PublishedPipeline.submit",
    "PublishedPipeline.disable",
    "PublishedPipeline.enable",
    "PublishedPipeline.endpoint",
    "PipelineRun.cancel",
    "PipelineRun.get_pipeline_runs",
    "PipelineRun.get",
    "PublishedPipeline.id",
    "PublishedPipeline.name",
    "PublishedPipeline.description",
    "PublishedPipeline.version",
    "PublishedPipeline.status",
    "PublishedPipeline.graph_id",
    "PublishedPipeline.get_all",
    "PublishedPipeline.get_graph",
    "PublishedPipeline.get_step_names",
    "PublishedPipeline.get_portal_url",
    "PublishedPipeline.portal_url",
)
def published_pipelines(ws: Workspace) -> None:
    own = pipeline(ws).publish("to-disable", "for a while", "1.0")
    assert own.id in [each.id for each in PublishedPipeline.list(ws)]
    again = PublishedPipeline.get(ws, own.id)
    assert (again.name, again.description, again.version, again.status) == ("to-disable", "for a while", "1.0", "Active")
    assert again.graph_id == own.graph_id
    assert [node.name for node in again.get_graph().module_nodes] == ["train"]
    assert list(again.get_step_names()) == ["train"]
    assert own.id in [each.id for each in PublishedPipeline.get_all(ws)]
    assert own.id in again.get_portal_url()
    assert again.portal_url
    own.disable()
    assert own.id not in [each.id for each in PublishedPipeline.list(ws)]
    assert own.id in [each.id for each in PublishedPipeline.list(ws, active_only=False)]
    header = InteractiveLoginAuthentication().get_authentication_header()
    answer = requests.post(own.endpoint, headers=header, json={"ExperimentName": "disabled"}, timeout=60)
    assert answer.status_code == 409, answer.text
    own.enable()
    run = own.submit(ws, "to-cancel")
    run.cancel()
    assert ended(run) == "Canceled"
    assert PipelineRun.get(ws, run.id).id == run.id
    assert [each.id for each in PipelineRun.get_pipeline_runs(ws, own.id)] == [run.id]


@sdk_call(
    "PipelineEndpoint.publish",
    "PipelineEndpoint.get",
    "PipelineEndpoint.list",
    "PipelineEndpoint.submit",
    "PipelineEndpoint.add",
    "PipelineEndpoint.add_default",
    "PipelineEndpoint.set_default_version",
    "PipelineEndpoint.get_default_version",
    "PipelineEndpoint.list_versions",
    "PipelineEndpoint.list_pipelines",
    "PipelineEndpoint.get_pipeline",
    "PipelineEndpoint.set_name",
    "PipelineEndpoint.disable",
    "PipelineEndpoint.enable",
    "PipelineEndpoint.archive",
    "PipelineEndpoint.reactivate",
    "PipelineEndpoint.set_default",
    "PipelineEndpoint.id",
    "PipelineEndpoint.name",
    "PipelineEndpoint.description",
    "PipelineEndpoint.status",
    "PipelineEndpoint.endpoint",
    "PipelineEndpoint.default_version",
    "PipelineEndpoint.get_all",
)
def pipeline_endpoints(ws: Workspace) -> None:
    first, second = published(ws), pipeline(ws).publish("second", "another", "2.0")
    endpoint = PipelineEndpoint.publish(ws, "door", description="to the bank", pipeline=first)
    assert endpoint.get_default_version() == "0"
    endpoint.add(second)
    assert [each.version for each in endpoint.list_versions()] == ["0", "1"]
    endpoint.set_default_version("1")
    assert PipelineEndpoint.get(ws, name="door").get_pipeline().id == second.id
    endpoint.set_default(first)
    assert endpoint.get_default_version() == "0"
    assert {each.id for each in endpoint.list_pipelines()} == {first.id, second.id}
    third = pipeline(ws).publish("third", "another", "3.0")
    endpoint.add_default(third)
    assert PipelineEndpoint.get(ws, id=endpoint.id).get_default_version() == "2"
    endpoint.set_name("portal")
    found = PipelineEndpoint.get(ws, name="portal")
    assert (found.id, found.description) == (endpoint.id, "to the bank")
    assert "portal" in [each.name for each in PipelineEndpoint.list(ws)]
    assert "portal" in [each.name for each in PipelineEndpoint.get_all(ws)]
    assert found.default_version == found.get_default_version()
    run = found.submit("through-the-door", pipeline_version="0")
    assert run.get_properties()["azureml.pipelineid"] == first.id
    run.cancel()
    found.disable()
    assert "portal" not in [each.name for each in PipelineEndpoint.list(ws)]
    header = InteractiveLoginAuthentication().get_authentication_header()
    assert requests.post(found.endpoint, headers=header, json={"ExperimentName": "no"}, timeout=60).status_code == 409
    found.enable()
    found.archive()
    assert "portal" not in [each.name for each in PipelineEndpoint.list(ws, active_only=False)]
    found.reactivate("portal")
    assert PipelineEndpoint.get(ws, name="portal").status == "Active"
    assert ended(run) == "Canceled"


@sdk_call(
    "Schedule.create",
    "Schedule.list",
    "Schedule.get",
    "Schedule.disable",
    "Schedule.enable",
    "Schedule.update",
    "Schedule.get_pipeline_runs",
    "Schedule.get_last_pipeline_run",
    "Schedule.get_schedules_for_pipeline_id",
    "ScheduleRecurrence",
    "Schedule.create_for_pipeline_endpoint",
    "Schedule.get_schedules_for_pipeline_endpoint_id",
    "Schedule.load_yaml",
    "Schedule.id",
    "Schedule.name",
    "Schedule.description",
    "Schedule.status",
    "Schedule.recurrence",
    "Schedule.pipeline_id",
    "Schedule.pipeline_endpoint_id",
    "Schedule.get_all",
    "ScheduleRecurrence.validate",
)
def schedules(ws: Workspace) -> None:
    own = pipeline(ws).publish("by-the-clock", "by the clock", "1.0")
    soon = (datetime.now(UTC) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%S")
    every_minute = ScheduleRecurrence(frequency="Minute", interval=15, start_time=soon)
    schedule = Schedule.create(
        ws, "quarter", own.id, "by-the-clock", recurrence=every_minute, description="each quarter", wait_for_provisioning=True
    )
    assert (schedule.status, schedule.name) == ("Active", "quarter")
    assert (schedule.pipeline_id, schedule.description) == (own.id, "each quarter")
    every_minute.validate()
    assert schedule.id in [each.id for each in Schedule.list(ws)]
    assert schedule.id in [each.id for each in Schedule.get_all(ws)]
    assert [each.id for each in Schedule.list(ws, pipeline_id=own.id)] == [schedule.id]
    assert [each.id for each in Schedule.get_schedules_for_pipeline_id(ws, own.id)] == [schedule.id]
    until = time.monotonic() + 60
    while not schedule.get_pipeline_runs() and time.monotonic() < until:
        time.sleep(0.5)
    fired = schedule.get_last_pipeline_run()
    assert fired.experiment.name == "by-the-clock"
    assert [each.id for each in schedule.get_pipeline_runs()] == [fired.id]
    fired.cancel()
    schedule.disable(wait_for_provisioning=True)
    assert Schedule.get(ws, schedule.id).status == "Disabled"
    assert schedule.id not in [each.id for each in Schedule.list(ws)]
    schedule.enable(wait_for_provisioning=True)
    daily = ScheduleRecurrence("Day", 1, hours=[9], minutes=[30])
    schedule.update(name="daily", recurrence=daily, description="each day", wait_for_provisioning=True)
    assert (Schedule.get(ws, schedule.id).name, Schedule.get(ws, schedule.id).recurrence.hours) == ("daily", [9])
    schedule.disable()
    endpoint = PipelineEndpoint.publish(ws, "clock", description="of the clock", pipeline=own)
    later = ScheduleRecurrence("Week", 1, start_time="2099-01-05T09:00:00", week_days=["Monday"])
    other = Schedule.create_for_pipeline_endpoint(ws, "weekly", endpoint.id, "by-the-clock", recurrence=later)
    assert [each.id for each in Schedule.get_schedules_for_pipeline_endpoint_id(ws, endpoint.id)] == [other.id]
    assert other.pipeline_endpoint_id == endpoint.id
    assert other.get_last_pipeline_run() is None
    assert raised(lambda: Schedule.create(ws, "wrong", own.id, "x", recurrence=ScheduleRecurrence("Minute", 0)))
    assert ended(fired) == "Canceled"


if __name__ == "__main__":
    main()
