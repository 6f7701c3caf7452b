"""AutoML as the SDK shows it: guardrails, the iteration table, the ensembles, any iteration's model, what a failed run says."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from azureml.core import Dataset, Experiment, Run, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.data import TabularDataset
from azureml.train.automl import AutoMLConfig
from azureml.train.automl.run import AutoMLRun
from checks import main, sdk_call

ROWS = 400
STEPS = {
    "StackEnsemble": "stackensembleclassifier",
    "LightGBM": "lightgbm",
    "LogisticRegression": "logisticregression",
    "VotingEnsemble": "prefittedsoftvotingclassifier",
}


def table() -> pd.DataFrame:
    random = np.random.default_rng(3)
    age = random.integers(18, 80, ROWS).astype(float)
    age[:5] = np.nan
    job = random.choice(["admin", "nurse", "farmer"], ROWS)
    return pd.DataFrame(
        {"age": age, "job": job, "y": np.where(np.nan_to_num(age) + random.normal(0, 20, ROWS) > 65, "yes", "no")}
    )


def dataset(ws: Workspace, frame: pd.DataFrame, name: str) -> TabularDataset:
    store = ws.get_default_datastore()
    Path(name).mkdir(exist_ok=True)
    frame.to_csv(f"{name}/table.csv", index=False)
    store.upload(name, name, overwrite=True, show_progress=False)
    return Dataset.Tabular.from_delimited_files(store.path(f"{name}/table.csv"))


def compute(ws: Workspace) -> ComputeTarget:
    wanted = AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=4)
    return ws.compute_targets.get("automl") or ComputeTarget.create(ws, "automl", wanted)


def config(ws: Workspace, data: TabularDataset, label: str = "y", **changes: object) -> AutoMLConfig:
    settings = {
        "experiment_timeout_hours": 0.25,
        "n_cross_validations": 2,
        "primary_metric": "AUC_weighted",
        "allowed_models": ["LogisticRegression", "LightGBM"],
        "enable_stack_ensemble": True,
        "enable_voting_ensemble": True,
        "model_explainability": True,
        **changes,
    }
    return AutoMLConfig(
        task="classification",
        training_data=data,
        label_column_name=label,
        compute_target=compute(ws),
        debug_log="automl.log",
        **settings,
    )


@cache
def trained(ws: Workspace) -> tuple[AutoMLRun, str]:
    """One run for all checks, and what `wait_for_completion(show_output=True)` printed."""
    run = Experiment(ws, "automl").submit(config(ws, dataset(ws, table(), "automl")), show_output=False)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        run.wait_for_completion(show_output=True)
    return run, output.getvalue()


@sdk_call("AutoMLConfig", "Experiment.submit", "AutoMLRun.wait_for_completion", "AutoMLRun.get_guardrails")
def guardrails_and_the_table_of_iterations(ws: Workspace) -> None:
    run, said = trained(ws)
    assert run.get_status() == "Completed"
    assert "DATA GUARDRAILS" in said, said
    assert "Missing feature values imputation" in said
    assert re.search(r"ITER\s+PIPELINE\s+DURATION\s+METRIC\s+BEST", said), said
    lines = [line for line in said.splitlines() if re.match(r"\s*\d+\s+\S.*\d:\d\d:\d\d", line)]
    assert len(lines) == len(list(run.get_children()))
    assert "VotingEnsemble" in lines[-2] + lines[-1]
    assert "StackEnsemble" in lines[-2] + lines[-1]
    results = {fault["friendly_type"]: fault["result"] for fault in run.get_guardrails(to_console=False)["faults"]}
    assert results["Missing feature values imputation"] == "done", results


@sdk_call("AutoMLRun.summary", "AutoMLRun.get_best_child", "AutoMLRun.get_children", "AutoMLRun.get_metrics")
def the_best_child_by_any_metric(ws: Workspace) -> None:
    run, _ = trained(ws)
    summary = run.summary()
    assert {"VotingEnsemble", "StackEnsemble"} <= {row[0] for row in summary}, summary
    children = {child.id: child for child in run.get_children()}
    best = run.get_best_child()
    assert best.id in children
    for metric in ("accuracy", "log_loss"):
        values = {child_id: child.get_metrics(metric)[metric] for child_id, child in children.items()}
        wanted = (min if metric == "log_loss" else max)(values.values())
        assert values[run.get_best_child(metric).id] == wanted, (metric, values)
    assert run.get_metrics()["AUC_weighted"] == best.get_metrics()["AUC_weighted"]


@sdk_call("AutoMLRun.get_output")
def the_model_of_any_iteration(ws: Workspace) -> None:
    run, _ = trained(ws)
    rows = table().drop(columns="y").head(3)
    best_run, model = run.get_output()
    assert best_run.id == run.get_best_child().id
    assert set(model.predict(rows)) <= {"yes", "no"}
    number = int(best_run.properties["iteration"])
    assert run.get_output(iteration=number)[0].id == best_run.id
    assert run.get_output(metric="AUC_weighted")[0].id == best_run.id
    assert run.register_model("of-automl", iteration=number).version == 1
    assert run.register_model("of-automl", metric="AUC_weighted").version == 2


@sdk_call("AutoMLRun.get_output", "AutoMLRun.get_best_child", "AutoMLRun.register_model")
def the_models_of_trials_that_did_not_win(ws: Workspace) -> None:
    run, _ = trained(ws)
    frame, best = table(), run.get_best_child().id
    rows, labels = frame.drop(columns="y"), frame["y"]
    others = {child.properties["run_algorithm"]: child for child in run.get_children() if child.id != best}
    for algorithm in [name for name in STEPS if name in others][:2]:
        child = others[algorithm]
        found, model = run.get_output(iteration=int(child.properties["iteration"]))
        assert found.id == child.id
        assert [name for name, _ in model.steps] == ["datatransformer", STEPS[algorithm]]
        accuracy = (model.predict(rows) == labels).mean()
        assert abs(accuracy - child.get_metrics("accuracy")["accuracy"]) < 0.1, (algorithm, accuracy)
    found, model = run.get_output(metric="log_loss")
    assert found.id == run.get_best_child("log_loss").id
    assert set(model.predict(rows)) == {"yes", "no"}
    number = int(child.properties["iteration"])
    registered = run.register_model("of-a-trial", iteration=number)
    with Path(registered.download("of-a-trial")).open("rb") as file:
        assert set(pickle.load(file).predict(rows)) == {"yes", "no"}  # noqa: S301 - trained in this check


@sdk_call("Run.register_model", "Model.download")
def a_folder_of_a_trial_is_a_model(ws: Workspace) -> None:
    run, _ = trained(ws)
    best = run.get_best_child().id
    child = next(each for each in run.get_children() if each.id not in (best, f"{run.id}_0"))
    for number, path in enumerate(("outputs", "./outputs/"), 1):
        model = child.register_model("folder-of-a-trial", model_path=path)
        assert (model.version, model.run_id) == (number, child.id)
        where = Path(model.download(f"folder-{number}"))
        (file,) = where.rglob("model.pkl")
        assert set(pickle.loads(file.read_bytes()).predict(table().drop(columns="y"))) == {"yes", "no"}  # noqa: S301
        assert list(where.rglob("scoring_file_v_1_0_0.py"))


@sdk_call("Run.get_environment")
def what_else_the_best_child_has(ws: Workspace) -> None:
    run, _ = trained(ws)
    best = run.get_best_child()
    environment = best.get_environment()
    assert environment.name == "AzureML-AutoML"
    assert "scikit-learn" in environment.python.conda_dependencies.serialize_to_string()
    best.download_file("outputs/featurization_summary.json", "summary.json")
    summary = {record["RawFeatureName"]: record for record in json.loads(Path("summary.json").read_text("utf-8"))}
    assert {name: record["TypeDetected"] for name, record in summary.items()} == {"age": "Numeric", "job": "Categorical"}
    best.download_file("outputs/engineered_feature_names.json", "names.json")
    names = json.loads(Path("names.json").read_text("utf-8"))
    assert len(names) == sum(record["EngineeredFeatureCount"] for record in summary.values())
    explained = Run(run.experiment, f"{run.id}_ModelExplain")
    explained.wait_for_completion()
    assert explained.status == "Completed"
    assert run.get_properties()["ModelExplainRunId"] == explained.id


@sdk_call("AutoMLRun.get_children", "Run.get_tags")
def ensembles_say_what_they_are_made_of(ws: Workspace) -> None:
    run, _ = trained(ws)
    children = {child.properties["run_algorithm"]: child for child in run.get_children()}
    for name in ("VotingEnsemble", "StackEnsemble"):
        tags = children[name].get_tags()
        algorithms = json.loads(tags["ensembled_algorithms"].replace("'", '"'))
        iterations = json.loads(tags["ensembled_iterations"])
        assert len(algorithms) == len(iterations) > 0
        assert {f"{run.id}_{number}" for number in iterations} <= {child.id for child in children.values()} | {
            each.id for each in run.get_children()
        }
    weights = json.loads(children["VotingEnsemble"].get_tags()["ensemble_weights"])
    assert abs(sum(weights) - 1) < 1e-6


@sdk_call("Run.get_details", "AutoMLRun.cancel", "AutoMLRun.get_details")
def a_cancelled_and_a_failed_run(ws: Workspace) -> None:
    one_class = table().assign(y="no")
    failed = Experiment(ws, "automl").submit(config(ws, dataset(ws, one_class, "one-class")), show_output=False)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        failed.wait_for_completion(show_output=True)
    assert failed.get_status() == "Failed"
    error = failed.get_details()["error"]["error"]
    assert error["code"] == "UserError"
    assert error["message"] in output.getvalue(), (output.getvalue(), error)
    cancelled = Experiment(ws, "automl").submit(config(ws, dataset(ws, table(), "automl")), show_output=False)
    cancelled.cancel()
    cancelled.wait_for_completion(show_output=False)
    assert cancelled.get_status() == "Canceled"
    other = config(ws, dataset(ws, table(), "automl"), label="missing")
    failed = Experiment(ws, "automl").submit(other, show_output=False)
    failed.wait_for_completion(show_output=False)
    assert "missing" in failed.get_details()["error"]["error"]["message"]


if __name__ == "__main__":
    main()
