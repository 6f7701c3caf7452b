"""Whether a step's result is known already, and why not: a result stands while the step's code and inputs are what they were.

What a step's result follows from is its code (a revision for the built-in kinds, the content's hash for a function) and its
inputs, with datasets and models at their version and files as the hash of their content. Only a step that ended well is
remembered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from sqlite3 import Row
from typing import Any

from bankmlops.backend import Backend
from bankmlops.errors import BankMLOpsError, InvalidRequestError, NotFoundError
from bankmlops.local.json_columns import now_text
from bankmlops.local.pipelines.files import path_of, read_file_output
from bankmlops.local.pipelines.requests import StepRequest
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines.kinds import FUNCTION, KINDS, InputType
from bankmlops.pipelines.references import ParameterReference, references_in
from bankmlops.types import RunStatus
from bankmlops.types.defaults import empty_mapping

_SHOWN_HASH, _SHOWN_CHARACTERS, _SHOWN_CHANGES = 12, 60, 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What an attempt at a step works on, decided once: its inputs at their versions, and the result if that is known already."""

    inputs: Mapping[str, Any] = field(default_factory=empty_mapping)
    hash: str = ""
    reason: str = ""
    began: float = 0.0
    is_reusable: bool = False
    reused: Mapping[str, str] | None = None
    reused_from: str = ""


class PipelineResults:
    """The results of steps that ended well, in the table `pipeline_results`; any process may read and write it."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self.workspace = workspace

    def keep(self, request: StepRequest, plan: Plan, outputs: Mapping[str, str]) -> None:
        """Remember a result (idempotent)."""
        fingerprint = fingerprint_of(request, plan.inputs)
        with self.workspace.database() as database:
            database.execute(
                "INSERT OR REPLACE INTO pipeline_results (run_id, pipeline, step, hash, fingerprint, outputs, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    request.run_id,
                    request.pipeline_name,
                    request.step.name,
                    plan.hash,
                    json.dumps(fingerprint),
                    json.dumps(dict(outputs)),
                    now_text(),
                ),
            )

    def find(self, request: StepRequest, wanted: str) -> Row | None:
        """The newest result of this step with this hash."""
        return self._newest("AND hash = ?", request.pipeline_name, request.step.name, wanted)

    def last(self, request: StepRequest) -> Row | None:
        """The newest result of this step."""
        return self._newest("", request.pipeline_name, request.step.name)

    def _newest(self, condition: str, *values: str) -> Row | None:
        with self.workspace.database() as database:
            row: Row | None = database.execute(
                f"SELECT * FROM pipeline_results WHERE pipeline = ? AND step = ? {condition} ORDER BY created DESC LIMIT 1",  # noqa: S608
                values,
            ).fetchone()
        return row


def make_plan(request: StepRequest, backend: Backend, results: PipelineResults, began: float) -> Plan:
    """The plan of an attempt that began at `began`, in seconds since the epoch. Raises `NotFoundError` for what is not there."""
    inputs = _pinned(request, backend)
    wanted = hash_of(fingerprint_of(request, inputs))
    if KINDS[request.step.kind].is_effect:
        return Plan(inputs, wanted, f"a {request.step.kind} step acts on the workspace, so it always runs", began)
    if not request.allow_reuse:
        why = "for this run" if request.step.allow_reuse else "for this step"
        return Plan(inputs, wanted, f"reuse is off {why}", began, is_reusable=True)
    found = results.find(request, wanted)
    if found is None:
        return Plan(inputs, wanted, _why_not(request, inputs, results.last(request)), began, is_reusable=True)
    outputs: dict[str, str] = json.loads(found["outputs"])
    if gone := _what_is_gone(results.workspace, backend, outputs):
        return Plan(inputs, wanted, gone, began, is_reusable=True)
    reason = f"REUSED from run {found['run_id']} ({wanted[:_SHOWN_HASH]})"
    return Plan(inputs, wanted, reason, began, True, outputs, found["run_id"])


def fingerprint_of(request: StepRequest, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the result follows from, as JSON: `code`, `inputs`, and, for the reader alone, the `parameters` behind the inputs."""
    named = [found.name for found in references_in(request.step.inputs) if isinstance(found, ParameterReference)]
    return {
        "code": _code(request),
        "inputs": {name: _content(value) for name, value in inputs.items()},
        "parameters": {name: request.parameters[name] for name in named},
    }


def hash_of(fingerprint: Mapping[str, Any]) -> str:
    """The sha256 of code and inputs."""
    document = json.dumps([fingerprint["code"], fingerprint["inputs"]], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()


def _code(request: StepRequest) -> str:
    step = request.step
    if step.kind == FUNCTION:
        return f"{step.source} {step.function} {','.join(step.outputs)}"
    return f"{step.kind} revision {KINDS[step.kind].revision}"


def _content(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _content(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_content(entry) for entry in value]
    found = read_file_output(value)
    return f"sha256:{found.sha256}" if found else value


def _pinned(request: StepRequest, backend: Backend) -> Mapping[str, Any]:
    """The inputs, datasets and models at a version, numbers as numbers; those that are None left out."""
    kinds = KINDS[request.step.kind].inputs
    given = {name: value for name, value in request.inputs.items() if value is not None}
    if request.step.kind == "evaluate":
        given = _with_served_champion(given, backend)
    pinned = {
        name: _at_version(name, value, kinds[name].type if name in kinds else None, backend) for name, value in given.items()
    }
    for name in (name for name, each in kinds.items() if each.required and pinned.get(name) is None):
        raise InvalidRequestError(f"input {name!r} has no value: the step that it comes from gave none")
    return {name: value for name, value in pinned.items() if value is not None}


def _at_version(name: str, value: Any, kind: InputType | None, backend: Backend) -> Any:
    if kind in (InputType.DATASET, InputType.DATA) and ":" not in value:
        return f"{value}:{backend.get_dataset(value).version}"
    if kind is InputType.MODEL and ":" not in value:
        try:
            return f"{value}:{backend.get_model(value).version}"
        except NotFoundError:
            if name == "champion":  # the first of its name has nobody to beat
                return None
            raise
    return float(value) if kind is InputType.NUMBER else value


def _with_served_champion(inputs: Mapping[str, Any], backend: Backend) -> dict[str, Any]:
    """The model that the endpoint `champion_endpoint` serves stands for the champion."""
    rest = {name: value for name, value in inputs.items() if name != "champion_endpoint"}
    if "champion_endpoint" not in inputs:
        return rest
    try:
        endpoint = backend.get_endpoint(inputs["champion_endpoint"])
    except NotFoundError:
        return rest
    return {**rest, "champion": f"{endpoint.model_name}:{endpoint.model_version}"}


def _what_is_gone(workspace: LocalWorkspace, backend: Backend, outputs: Mapping[str, str]) -> str:
    """Why a known result does not serve any more; empty where it does."""
    try:
        for value in outputs.values():
            if found := read_file_output(value):
                path_of(workspace, found)
        if run_id := outputs.get("automl_run_id"):
            status = backend.get_run(run_id).status
            return "" if status is RunStatus.COMPLETED else f"AutoML run {run_id} is {status}"
    except BankMLOpsError as error:
        return f"the earlier result is gone: {error}"
    return ""


def _why_not(request: StepRequest, inputs: Mapping[str, Any], last: Row | None) -> str:
    if last is None:
        return "never ran"
    before, now = json.loads(last["fingerprint"]), fingerprint_of(request, inputs)
    if before["code"] != now["code"]:
        return "its code changed"
    names = dict.fromkeys([*now["inputs"], *before["inputs"]])
    changed = [name for name in names if now["inputs"].get(name) != before["inputs"].get(name)]
    lines = dict.fromkeys(_change(request, name, before, now) for name in changed)
    shown = list(lines)[:_SHOWN_CHANGES]
    return "; ".join(shown) + (f" and {len(lines) - len(shown)} more" if len(lines) > len(shown) else "")


def _change(request: StepRequest, name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    bound = [each.name for each in references_in(request.step.inputs.get(name)) if isinstance(each, ParameterReference)]
    old, new = before["inputs"].get(name), now["inputs"].get(name)
    for parameter in bound:
        values = before["parameters"].get(parameter), now["parameters"][parameter]
        if values[0] is not None and values[0] != values[1]:
            return f"parameter {parameter} {_shown(values[0])} -> {_shown(values[1])}"
    kinds = KINDS[request.step.kind].inputs
    kind = kinds[name].type if name in kinds else None
    if kind in (InputType.DATASET, InputType.MODEL) and isinstance(old, str) and isinstance(new, str):
        (old_name, _, old_version), (new_name, _, new_version) = old.partition(":"), new.partition(":")
        if old_name == new_name:
            return f"{kind} {new_name} version {old_version} -> {new_version}"
    return f"input {name} {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
