"""The steps of a pipeline's graph: which there are, in which order, and what each asks for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bankmlops.emulator.automl.automl_request import parse_request
from bankmlops.emulator.automl.training_outputs import output_kinds
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.pipelines.pipeline_graphs import find_existing_module
from bankmlops.emulator.pipelines.pipeline_values import Values
from bankmlops.emulator.scripts.computes import find_compute
from bankmlops.emulator.scripts.script_steps import SCRIPTS, GraphRun, outputs_of, script_configuration
from bankmlops.emulator.scripts.snapshots import find_snapshot
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.datasets import find_dataflow
from bankmlops.errors import InvalidRequestError

AUTOML = "AutoMLCloud"
AUTOML_STEP = "AutoMLStep"


@dataclass(frozen=True, slots=True)
class StepRequest:
    """One step, and the run that it is to be.

    An AutoML step has as `parent` what the SDK would have posted to Jasmine, and `outputs` maps a port to "Metrics" or "Model".
    A script step has a `configuration`, as a `ScriptRunConfig`'s, and `outputs` maps a port to its path on its datastore.
    """

    run_id: str
    node_id: str
    module_id: str
    name: str
    outputs: Mapping[str, str]
    datastores: Mapping[str, str]
    kind: str = AUTOML_STEP
    parent: Mapping[str, Any] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    snapshot_id: str = ""


def steps_of(workspace: WorkspaceState, graph: Document, values: Values) -> list[StepRequest]:
    """The steps in an order that respects the edges. Raises `InvalidRequestError` for a graph that can't be carried out here."""
    nodes = {str(node["Id"]): node for node in graph.get("ModuleNodes") or []}
    if not nodes:
        raise InvalidRequestError("the pipeline has no steps")
    run = GraphRun(workspace, graph, values, {node_id: str(uuid.uuid4()) for node_id in nodes})
    return [_step(run, nodes[node_id]) for node_id in _in_order(list(nodes), graph.get("Edges") or [])]


def _in_order(node_ids: list[str], edges: list[Document]) -> list[str]:
    needs: dict[str, set[str]] = {node_id: set() for node_id in node_ids}
    for edge in edges:
        source = (edge.get("SourceOutputPort") or {}).get("NodeId")
        target = (edge.get("DestinationInputPort") or {}).get("NodeId")
        if source in needs and target in needs:
            needs[target].add(source)
    order: list[str] = []
    while len(order) < len(node_ids):
        ready = [node_id for node_id in node_ids if node_id not in order and needs[node_id] <= set(order)]
        if not ready:
            raise InvalidRequestError("the pipeline's steps wait for each other in a circle")
        order += ready
    return order


def _step(run: GraphRun, node: Document) -> StepRequest:
    module = find_existing_module(run.workspace, str(node["ModuleId"]))
    name = str(module.get("Name") or node["Id"])
    if module.get("ModuleExecutionType") == AUTOML:
        return _automl_step(run, node, module, name)
    kind = module.get("StepType") or module.get("ModuleExecutionType")
    if kind not in SCRIPTS:
        raise InvalidRequestError(
            f"step {name!r} is a {kind} step; the emulator carries out {AUTOML_STEP}, {' and '.join(SCRIPTS)}"
        )
    return _script_step(run, node, module, name)


def _script_step(run: GraphRun, node: Document, module: Document, name: str) -> StepRequest:
    run_id = run.run_ids[str(node["Id"])]
    try:
        configuration = script_configuration(run, node, module)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"step {name!r}: {error}") from error
    find_compute(run.workspace, str(configuration["target"]))
    snapshot_id = str(module.get("StorageId") or "")
    find_snapshot(run.workspace, snapshot_id)
    places = outputs_of(configuration, run_id)
    return StepRequest(
        run_id=run_id,
        node_id=str(node["Id"]),
        module_id=str(module["Id"]),
        name=name,
        kind=str(module["StepType"]),
        outputs={port: place.path for port, place in places.items()},
        datastores={port: place.datastore for port, place in places.items()},
        configuration=configuration,
        snapshot_id=snapshot_id,
    )


def _automl_step(run: GraphRun, node: Document, module: Document, name: str) -> StepRequest:
    parent = _parent_request(name, node)
    request = parse_request(parent["amlSettingsJsonString"], parent["dataPrepJsonString"])
    find_dataflow(run.workspace, request.dataset_id)
    settings = node.get("ModuleOutputSettings") or []
    return StepRequest(
        run_id=run.run_ids[str(node["Id"])],
        node_id=str(node["Id"]),
        module_id=str(module["Id"]),
        name=name,
        parent=parent,
        outputs=output_kinds(module),
        datastores={each["Name"]: each.get("DataStoreName") or "" for each in settings},
    )


def _parent_request(name: str, node: Document) -> dict[str, Any]:
    metadata = _values(node.get("ModuleMetadataParameters"))
    parameters = _values(node.get("ModuleParameters"))
    try:
        config = json.loads(metadata["AutoMLConfig"])
        settings = str(config["aml_settings_json_string"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"step {name!r}: its AutoMLConfig is not understood") from error
    return {
        "numIterations": config.get("num_iterations"),
        "primaryMetric": config.get("primary_metric"),
        "target": parameters.get("target"),
        "amlSettingsJsonString": settings if settings.startswith('{"') else settings.replace('\\"', '"'),
        "dataPrepJsonString": parameters.get("data_prep_json_string") or "",
        "properties": config.get("properties") or {},
    }


def _values(parameters: list[Document] | None) -> dict[str, Any]:
    return {each["Name"]: each.get("Value") for each in parameters or []}
