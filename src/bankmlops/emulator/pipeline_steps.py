"""The AutoML steps of a pipeline's graph: which there are, in which order, and what each asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bankmlops.emulator.automl_request import parse_request
from bankmlops.emulator.datasets import find_dataflow
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.pipeline_graphs import find_existing_module
from bankmlops.emulator.state import Document
from bankmlops.errors import InvalidRequestError

AUTOML = "AutoMLCloud"


@dataclass(frozen=True, slots=True)
class StepRequest:
    """One AutoML step; `parent` is what the SDK would have posted to Jasmine, `outputs` maps a port to "Metrics" or "Model"."""

    node_id: str
    module_id: str
    name: str
    parent: Mapping[str, Any]
    outputs: Mapping[str, str]
    datastores: Mapping[str, str]


def steps_of(workspace: WorkspaceState, graph: Document) -> list[StepRequest]:
    """The steps in an order that respects the edges. Raises `InvalidRequestError` for a graph that can't be carried out here."""
    nodes = {str(node["Id"]): node for node in graph.get("ModuleNodes") or []}
    if not nodes:
        raise InvalidRequestError("the pipeline has no steps")
    return [_step(workspace, nodes[node_id]) for node_id in _in_order(list(nodes), graph.get("Edges") or [])]


def check_assignments(submission: Document) -> None:
    """Raise `InvalidRequestError` where a submission assigns parameters, which an AutoML step has no use for."""
    for name in ("ParameterAssignments", "DataPathAssignments", "DataSetDefinitionValueAssignments"):
        if submission.get(name):
            raise InvalidRequestError(f"pipeline parameters are not emulated: leave {', '.join(map(str, submission[name]))} out")


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


def _step(workspace: WorkspaceState, node: Document) -> StepRequest:
    module = find_existing_module(workspace, str(node["ModuleId"]))
    name = str(module.get("Name") or node["Id"])
    if module.get("ModuleExecutionType") != AUTOML:
        kind = module.get("StepType") or module.get("ModuleExecutionType")
        raise InvalidRequestError(f"step {name!r} is a {kind} step; the emulator carries out AutoMLStep alone")
    parent = _parent_request(name, node)
    request = parse_request(parent["amlSettingsJsonString"], parent["dataPrepJsonString"])
    find_dataflow(workspace, request.dataset_id)
    settings = node.get("ModuleOutputSettings") or []
    return StepRequest(
        node_id=str(node["Id"]),
        module_id=str(module["Id"]),
        name=name,
        parent=parent,
        outputs=_training_outputs(module),
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


def _training_outputs(module: Document) -> dict[str, str]:
    """Port -> "Metrics" or "Model", for the ports that a training run fills."""
    found = {}
    for output in (module.get("StructuredInterface") or {}).get("Outputs") or []:
        training = output.get("TrainingOutput")
        if not training:
            continue
        if training.get("Iteration") or training.get("Metric"):
            raise InvalidRequestError(
                f"output {output['Name']!r}: the emulator gives the best model alone, not one by iteration or metric"
            )
        found[output["Name"]] = str(training.get("TrainingOutputType"))
    return found
