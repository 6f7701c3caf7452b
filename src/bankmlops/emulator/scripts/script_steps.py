"""A script step of a pipeline as the run definition of a `ScriptRunConfig`: its arguments, its data, and where its outputs go."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.pipelines.pipeline_graphs import find_existing_module
from bankmlops.emulator.pipelines.pipeline_sources import find_existing_source
from bankmlops.emulator.pipelines.pipeline_values import Values
from bankmlops.emulator.scripts.script_data import DIRECT, MOUNT, Place, parse_outputs
from bankmlops.emulator.scripts.script_files import check_data
from bankmlops.emulator.scripts.script_request import REFERENCE, parse_script_request
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.dataflows import dataflow_of_files, dataflow_of_table, has_blocks
from bankmlops.emulator.storage.datasets import save_dataset, saved_id
from bankmlops.emulator.storage.datastores import DEFAULT_DATASTORE
from bankmlops.errors import InvalidRequestError

SCRIPTS = ("PythonScriptStep", "CommandStep")
_PARAMETER = "1"
_UNSAVED = "unsaved"
_QUOTED = re.compile(r"""\A\Z|[\s'"\\]|[^$<>(]\(""")


@dataclass(frozen=True, slots=True)
class GraphRun:
    """One run of a graph: what its parameters are worth, and the run that each node gets."""

    workspace: WorkspaceState
    graph: Document
    values: Values
    run_ids: Mapping[str, str]


def parameters_of(node: Document, values: Values) -> dict[str, str | None]:
    """A node's parameters by name; those that are pipeline parameters with the value of this run."""
    return {
        each["Name"]: values.text(each["Value"]) if str(each.get("ValueType")) == _PARAMETER else each.get("Value")
        for each in node.get("ModuleParameters") or []
    }


def script_configuration(run: GraphRun, node: Document, module: Document) -> Document:
    """The run definition of a script step. Raises `InvalidRequestError` for what the emulator can't carry out."""
    base = json.loads(node.get("Runconfig") or "{}")
    structure = module.get("StructuredInterface") or {}
    parameters = {**_defaults(structure), **_set_ones(parameters_of(node, run.values))}
    target, command = parameters.get("Target"), parameters.get("Command")
    word, value = (_shell_word, shlex.quote) if command else (str, str)
    arguments = [_argument(each, parameters, word, value) for each in structure.get("Arguments") or []]
    if not target:
        raise InvalidRequestError(f"step {module.get('Name')!r} has no compute; give it a compute_target")
    configuration = {
        **base,
        "script": parameters.get("Script"),
        "command": " ".join([_shell_word(command), *arguments]) if command else "",
        "target": target,
        "nodeCount": parameters.get("NodeCount") or base.get("nodeCount") or 1,
        "arguments": [] if command else arguments,
        "environmentVariables": {**(base.get("environmentVariables") or {}), **_variables(structure, parameters)},
        "data": {**(base.get("data") or {}), **dict(_inputs(run, node, structure))},
        "outputData": {**(base.get("outputData") or {}), **_outputs(node, structure)},
    }
    check_data(run.workspace, parse_script_request(configuration))
    return configuration


def with_saved_datasets(workspace: WorkspaceState, configuration: Document) -> Document:
    """The run definition with the ids of the datasets that other steps' outputs are to be read as, which are kept from now on."""

    def saved(entry: Document) -> Document:
        unsaved = (entry.get("dataLocation") or {}).get(_UNSAVED)
        return {**entry, "dataLocation": _dataset(save_dataset(workspace, *unsaved))} if unsaved else entry

    return {**configuration, "data": {name: saved(entry) for name, entry in configuration["data"].items()}}


def outputs_of(configuration: Document, run_id: str) -> dict[str, Place]:
    """Where the outputs of a script step go, by name."""
    return {each.name: each.place for each in parse_outputs(configuration, run_id)}


def _shell_word(word: str) -> str:
    """One of the words into which the SDK has split a line, for a shell again.

    What can only have been quoted is quoted; operators, a final ";" too, variables and substitutions stay the shell's.
    """
    text, end = (word[:-1], ";") if len(word) > 1 and word.endswith(";") else (word, "")
    return (shlex.quote(text) if _QUOTED.search(text) else text) + end


def _defaults(structure: Document) -> dict[str, str]:
    return _set_ones({each["Name"]: each.get("DefaultValue") for each in structure.get("Parameters") or []})


def _set_ones(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items() if value is not None}


def _argument(given: Document, parameters: Mapping[str, str], word: Callable[[str], str], value: Callable[[str], str]) -> str:
    """An argument, with what the client wrote and a parameter's value each written as it has to be there."""
    kind, text = str(given.get("ValueType")), str(given.get("Value"))
    if kind == "Parameter":
        return value(_required(parameters, text))
    if kind in ("Input", "Output"):
        return f"${REFERENCE}{text}"
    if kind == "NestedList":
        return "".join(_argument(each, parameters, word, value) for each in given.get("NestedArgumentList") or [])
    return word(text)


def _variables(structure: Document, parameters: Mapping[str, str]) -> dict[str, str]:
    return {
        str(each.get("EnvironmentVariableOverride") or each["Name"]): _required(parameters, each["Name"])
        for each in structure.get("Parameters") or []
        if each.get("SetEnvironmentVariable")
    }


def _required(parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        raise InvalidRequestError(f"parameter {name!r} has no value: give it a default, or a value at submission")
    return parameters[name]


def _inputs(run: GraphRun, node: Document, structure: Document) -> Iterable[tuple[str, Document]]:
    for port in structure.get("Inputs") or []:
        source = None if port.get("SkipProcessing") else _source(run.graph, node["Id"], port["Name"])
        if source is not None:
            mode = str(port.get("DataStoreMode") or MOUNT).lower()
            reading = str(_named(node, "ModuleInputSettings", port["Name"]).get("AdditionalTransformations") or "")
            entry = {
                "dataLocation": _location(run, source, mode, reading),
                "mechanism": mode,
                "environmentVariableName": port["Name"],
            }
            yield port["Name"], {**entry, "referenceName": port.get("DataReferenceName")}


def _source(graph: Document, node_id: str, port: str) -> Document | None:
    wanted = (node_id, port)
    for edge in graph.get("Edges") or []:
        end = edge.get("DestinationInputPort") or {}
        if (end.get("NodeId"), end.get("PortName")) == wanted:
            found: Document = edge["SourceOutputPort"]
            return found
    return None


def _location(run: GraphRun, source: Document, mode: str, reading: str) -> Document:
    node_id = source["NodeId"]
    for each in run.graph.get("DatasetNodes") or []:
        if each["Id"] == node_id:
            return _location_of_data(run, each)
    place, transformations = _output_place(run, node_id, source["PortName"])
    if mode == DIRECT:
        is_table = has_blocks(transformations) or has_blocks(reading)
        table = dataflow_of_table(run.workspace, place, transformations, reading) if is_table else ""
        dataflow = table or dataflow_of_files(run.workspace, place)
        return {**_dataset(_UNSAVED), _UNSAVED: ["tabular" if table else "file", dataflow]}
    return _path(place)


def _location_of_data(run: GraphRun, node: Document) -> Document:
    if node.get("DataPathParameterName"):
        return _path(run.values.path(node["DataPathParameterName"]))
    definition = node.get("DataSetDefinition")
    if definition:
        name = definition.get("ParameterName")
        return _dataset(run.values.dataset(name) if name else saved_id(run.workspace, definition.get("Value") or {}))
    reference = find_existing_source(run.workspace, str(node.get("DatasetId")))["DataLocation"]["DataReference"][
        "AzureBlobReference"
    ]
    return _path(Place(reference["AmlDataStoreName"], reference["RelativePath"]))


def _output_place(run: GraphRun, node_id: str, port: str) -> tuple[Place, str]:
    """Where another step's output goes, and how the SDK reads it as a table, if it does."""
    node = next((each for each in run.graph.get("ModuleNodes") or [] if each["Id"] == node_id), None)
    if node is None:
        raise InvalidRequestError(f"the graph has no node {node_id}")
    structure = find_existing_module(run.workspace, str(node["ModuleId"])).get("StructuredInterface") or {}
    entry = _outputs(node, structure).get(port)
    if entry is None:
        setting = _setting(node, port)
        return Place(setting.get("DataStoreName") or DEFAULT_DATASTORE, f"azureml/{run.run_ids[node_id]}/{port}"), ""
    place = outputs_of({"outputData": {port: entry}}, run.run_ids[node_id])[port]
    return place, str(
        entry["additionalOptions"]["registrationOptions"]["datasetRegistrationOptions"]["additionalTransformation"] or ""
    )


def _outputs(node: Document, structure: Document) -> dict[str, Document]:
    ports = [each for each in structure.get("Outputs") or [] if not each.get("SkipProcessing") and not each.get("TrainingOutput")]
    return {each["Name"]: _output(_setting(node, each["Name"])) for each in ports}


def _setting(node: Document, port: str) -> Document:
    return _named(node, "ModuleOutputSettings", port)


def _named(node: Document, member: str, port: str) -> Document:
    return next((each for each in node.get(member) or [] if each.get("Name") == port), {"Name": port})


def _output(setting: Document) -> Document:
    """A `PipelineData` has a path that the script makes itself; an `OutputFileDatasetConfig` is a folder that is there."""
    options = setting.get("DatasetOutputOptions")
    registration = setting.get("DatasetRegistration") or {}
    path = (options or {}).get("PathOnDatastore") if options is not None else "azureml/{run-id}/{output-name}"
    return {
        "outputLocation": {"dataPath": {"datastoreName": setting.get("DataStoreName"), "relativePath": path}},
        "mechanism": setting.get("DataStoreMode") or MOUNT,
        "isMade": options is not None,
        "additionalOptions": {
            "pathOnCompute": setting.get("PathOnCompute"),
            "registrationOptions": {
                "name": registration.get("Name"),
                "description": registration.get("Description"),
                "tags": registration.get("Tags"),
                "datasetRegistrationOptions": {"additionalTransformation": registration.get("AdditionalTransformations")},
            },
        },
    }


def _path(place: Place) -> dict[str, Any]:
    return {"dataPath": {"datastoreName": place.datastore, "relativePath": place.path}}


def _dataset(dataset_id: str) -> dict[str, Any]:
    return {"dataset": {"id": dataset_id}}
