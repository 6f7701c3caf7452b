"""How an AutoML run looks in Azure's run history: the parent's properties and tags, its children, their metrics and files."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bankmlops.emulator.automl import automl_files
from bankmlops.emulator.history import artifacts, metrics, runs
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.scripts.curated_environments import AUTOML, VERSION
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.table_facts import TableFacts
from bankmlops.types import ChildRun, Run, RunStatus

PROBLEM_INFO = "ProblemInfoJsonString"
STATUS_TAG = "_aml_system_automl_status"
BEST_CHILD_TAG = "automl_best_child_run_id"
_OUTPUTS = "outputs/"


def begin(workspace: WorkspaceState, run_id: str) -> None:
    """The run is being set up."""
    runs.set_status(workspace, run_id, "Running")
    runs.update_run(workspace, run_id, {"tags": {STATUS_TAG: "Running"}})


def show_terms(workspace: WorkspaceState, run_id: str, asked_minutes: float, minutes: float, warnings: Sequence[str]) -> None:
    """Say that an emulator trains, in how much of the time that was asked for, and what of the request it passes over."""
    properties = {
        "bankmlops.emulated": "true",
        "bankmlops.experiment_timeout_minutes_asked": f"{asked_minutes:g}",
        "bankmlops.experiment_timeout_minutes": f"{minutes:g}",
    }
    told = [{"source": "emulator", "message": line} for line in warnings]
    runs.update_run(workspace, run_id, {"properties": properties, "warnings": told})


def show_setup(workspace: WorkspaceState, run_id: str, facts: TableFacts) -> None:
    """Set-up has ended: what it found out, and the guardrails. Idempotent."""
    if is_set_up(runs.get_run(workspace, run_id)):
        return
    artifacts.put_run_text(workspace, run_id, automl_files.GUARDRAILS, automl_files.guardrails(facts))
    runs.update_run(workspace, run_id, {"properties": {PROBLEM_INFO: automl_files.problem_info(facts)}})


def is_set_up(run: Document) -> bool:
    """Whether set-up has ended, one way or the other."""
    return PROBLEM_INFO in run["properties"] or run["status"] in runs.FINAL


def show_progress(workspace: WorkspaceState, run_id: str, run: Run) -> None:
    """The backend's line of progress, and the share of the budget that is spent, as tags."""
    tags = {"bankmlops.progress": run.progress, "bankmlops.fraction": f"{run.fraction:.2f}"}
    if not tags.items() <= runs.get_run(workspace, run_id)["tags"].items():
        runs.update_run(workspace, run_id, {"tags": tags})


def add_child(
    workspace: WorkspaceState, run_id: str, number: int, child: ChildRun, primary_metric: str, places: Mapping[int, int]
) -> None:
    """A trial that has ended becomes child `number` of the run; `places` says which children earlier iterations became."""
    parent = runs.get_run(workspace, run_id)
    experiment = runs.get_experiment(workspace, parent["experimentId"])["name"]
    child_id = f"{run_id}_{number}"
    end = datetime.now(UTC)
    runs.upsert_run(
        workspace,
        experiment,
        child_id,
        {
            "parentRunId": run_id,
            "status": "Running",
            "runType": "azureml.scriptrun",
            "target": parent["target"],
            "runDefinition": {"target": parent["target"], "environment": {"name": AUTOML, "version": VERSION}},
            "startTimeUtc": _moment(end - timedelta(seconds=child.seconds)),
            "endTimeUtc": _moment(end),
            "properties": {**_child_properties(parent, number, child, primary_metric), **_model_properties(child_id)},
            "tags": _ensemble_tags(child, places),
        },
    )
    _log_metrics(workspace, child_id, child.metrics)
    artifacts.promise_run_files(workspace, child_id, automl_files.MODEL_FILES)
    runs.update_run(workspace, child_id, {"status": str(child.status)})


def put_file(workspace: WorkspaceState, child_id: str, path: str, file: Path) -> None:
    """A file of the backend's run: an output is the best child's, a log the parent's."""
    owner = child_id if path.startswith(_OUTPUTS) else child_id.rpartition("_")[0]
    artifacts.put_run_file(workspace, owner, path, file)


def has_file(workspace: WorkspaceState, run_id: str, path: str) -> bool:
    """Whether the run has this file, and not its name alone."""
    name = artifacts.blob_name(workspace, artifacts.RUN_ORIGIN, f"dcid.{run_id}", path)
    return workspace.emulator.blobs.get(name) is not None


def describe_model(workspace: WorkspaceState, child_id: str, facts: TableFacts) -> None:
    """Put the scoring scripts, the conda file and the versions beside a child's model."""
    texts = {
        automl_files.SCORING_SCRIPT: automl_files.scoring_script(child_id, facts),
        automl_files.SCORING_SCRIPT_V2: automl_files.scoring_script_v2(child_id, facts),
        automl_files.CONDA_FILE: automl_files.conda_file(),
        automl_files.DEPENDENCIES: json.dumps(automl_files.dependencies(), indent=1),
    }
    for path, text in texts.items():
        artifacts.put_run_text(workspace, child_id, path, text)


def _model_properties(child_id: str) -> dict[str, str]:
    """Where the child's model is and the files beside it, which those of a trial that did not win are to be."""
    address = f"aml://artifact/{artifacts.RUN_ORIGIN}/dcid.{child_id}/"
    return {
        "model_output_path": automl_files.MODEL,
        "scoring_data_location": address + automl_files.SCORING_SCRIPT,
        "scoring_data_location_v2": address + automl_files.SCORING_SCRIPT_V2,
        "conda_env_data_location": address + automl_files.CONDA_FILE,
        "model_data_location": address + automl_files.MODEL,
        "model_name": "AutoML" + uuid.uuid5(uuid.NAMESPACE_URL, child_id).hex[:12],
    }


def show_winner(workspace: WorkspaceState, run_id: str, number: int, children: int, run: Run) -> None:
    """Which child is the best, with its metrics; and how many there are."""
    _log_metrics(workspace, run_id, run.metrics)
    tags = {BEST_CHILD_TAG: f"{run_id}_{number}", "iterations": str(children)}
    if run.primary_metric in run.metrics:
        tags["best_score"] = repr(run.metrics[run.primary_metric])
    runs.update_run(workspace, run_id, {"tags": tags})


def end(workspace: WorkspaceState, run_id: str, status: RunStatus, message: str = "") -> None:
    """The run has this final status; `message` says why it failed."""
    changes: Document = {"tags": {STATUS_TAG: str(status)}}
    if message:
        changes["error"] = {"error": {"code": "UserError", "message": message, "details": []}, "time": _moment(datetime.now(UTC))}
        set_up = PROBLEM_INFO in runs.get_run(workspace, run_id)["properties"]
        # The SDK prints this property, and not a puzzle, where a run fails before set-up has ended.
        changes["properties"] = {"errors": message if set_up else f"Setup iteration failed: {message}"}
    with workspace.documents.store.transaction():
        runs.update_run(workspace, run_id, changes)
        runs.set_status(workspace, run_id, str(status))


def _child_properties(parent: Document, number: int, child: ChildRun, primary_metric: str) -> dict[str, str]:
    return {
        "runTemplate": "automl_child",
        "azureml.runsource": "automl",
        "iteration": str(number),
        "run_algorithm": child.algorithm,
        "run_preprocessor": "",
        "training_percent": "100",
        "training_type": "MeanCrossValidation",
        "primary_metric": primary_metric,
        "score": repr(child.score),
        "fit_time": f"{child.seconds:.3f}",
        "pipeline_id": uuid.uuid5(uuid.NAMESPACE_URL, child.id).hex,
        "pipeline_spec": json.dumps({"objects": [{"class_name": child.algorithm, "param_kwargs": dict(child.parameters)}]}),
        "dependencies_versions": parent["properties"].get("dependencies_versions", "{}"),
    }


def _ensemble_tags(child: ChildRun, places: Mapping[int, int]) -> dict[str, str]:
    """What an ensemble is made of, in the tags that Azure's ensembles bear; nothing for another trial.

    Microsoft's v1 guide "Configure AutoML training", on ensembles, names `ensembled_iterations`, `ensembled_algorithms` and
    `ensemble_weights`.
    """
    parameters = child.parameters
    if "ensembled_iterations" not in parameters:
        return {}
    iterations = json.loads(parameters["ensembled_iterations"])
    tags = {name: parameters[name] for name in ("ensembled_algorithms", "ensemble_weights") if name in parameters}
    return {**tags, "ensembled_iterations": str([places.get(number, number) for number in iterations])}


def _log_metrics(workspace: WorkspaceState, run_id: str, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        if math.isfinite(value):
            metrics.log_metric(workspace, run_id, name, value)


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
