"""Script steps of pipelines: the words of a command, parameters, and what their checks leave behind, which is nothing."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from bankmlops.emulator.pipelines.pipeline_steps import steps_of
from bankmlops.emulator.pipelines.pipeline_values import Values
from bankmlops.emulator.scripts.script_request import parse_script_request
from bankmlops.emulator.scripts.script_steps import with_saved_datasets
from bankmlops.emulator.scripts.snapshots import EMPTY
from bankmlops.emulator.state import Document
from bankmlops.errors import InvalidRequestError, NotFoundError
from support.served_emulator import Served

PIPELINES = "/pipelines/v1.0"
GIVEN = "$AZUREML_DATAREFERENCE_"


@pytest.fixture(autouse=True)
def _compute(served: Served) -> None:
    assert served.call("PUT", "", "/computes/cpu", json={"properties": {"properties": {"scaleSettings": {}}}}).status_code == 201


def _module(served: Served, **structure: Any) -> str:
    module = {"Name": "step", "StepType": "CommandStep", "StorageId": EMPTY, "StructuredInterface": structure}
    return str(served.call("POST", PIPELINES, "/Modules", json=module).json()["Id"])


def _node(module_id: str, name: str = "n", **parameters: str) -> dict[str, Any]:
    values = {"Target": "cpu", "Command": "printf", **parameters}
    given = [{"Name": each, "Value": value, "ValueType": "0"} for each, value in values.items()]
    return {"Id": name, "ModuleId": module_id, "ModuleParameters": given}


def _graph(*nodes: dict[str, Any], edges: tuple[dict[str, Any], ...] = ()) -> Document:
    return {"ModuleNodes": list(nodes), "DatasetNodes": [], "Edges": list(edges)}


def _literals(*words: str) -> list[dict[str, str]]:
    return [{"ValueType": "Literal", "Value": word} for word in words]


def _configuration(served: Served, structure: Mapping[str, Any], **parameters: str) -> Document:
    [step] = steps_of(served.workspace, _graph(_node(_module(served, **structure), **parameters)), Values())
    return dict(step.configuration)


def test_the_words_of_a_command(served: Served) -> None:
    """A shell gets the words that the client wrote in quotes as they were, values as they are, and operators as operators."""
    words = ["[%s]", "", "it's", "a b", "print(1)", "back\\slash"]
    nested = {"ValueType": "NestedList", "NestedArgumentList": [*_literals("--x="), {"ValueType": "Parameter", "Value": "odd"}]}
    arguments = [*_literals(*words), nested, *_literals("&&", "echo", "1 ;", "echo", "$((1+1))", ";", "true")]
    command = _configuration(served, {"Arguments": arguments}, odd="o'dd; echo no")["command"]
    said = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert said == "[][it's][a b][print(1)][back\\slash][--x=o'dd; echo no]1 \n2\n"


def test_a_home_with_a_blank() -> None:
    """Paths are quoted in a command, and stand as they are in an argument."""
    data = {"r": {"dataStoreName": "store", "pathOnDataStore": "a"}}
    words = {"command": f"cat {GIVEN}r > DatasetOutputConfig:o", "arguments": [f"--r={GIVEN}r"]}
    request = parse_script_request({**words, "dataReferences": data, "outputData": {"o": {}}})
    assert shlex.split(request.command_line("/a home/in", "/a home/out")) == ["cat", "/a home/in/r/a", ">", "/a home/out/o"]
    assert request.argument(request.arguments[0], "/a home/in", "") == "--r=/a home/in/r/a"


def test_parameters_of_a_step(served: Served) -> None:
    """One that is not set has its default; one without any value is refused, not handed on as "None"."""
    variable = {"Name": "rate", "SetEnvironmentVariable": True, "EnvironmentVariableOverride": "RATE"}
    asked = [{"ValueType": "Parameter", "Value": "rate"}]
    configuration = _configuration(served, {"Arguments": asked, "Parameters": [{**variable, "DefaultValue": 0.5}]})
    assert (configuration["command"], configuration["environmentVariables"]) == ("printf 0.5", {"RATE": "0.5"})
    for structure in ({"Arguments": asked}, {"Parameters": [variable]}):
        with pytest.raises(InvalidRequestError, match="'rate' has no value"):
            _configuration(served, structure)


def test_a_dataset_of_an_output_is_kept_when_its_reader_starts(served: Served) -> None:
    """To look at a pipeline writes nothing; the step that starts gets the id of a dataset that is there."""
    writer = _node(_module(served, Outputs=[{"Name": "raw"}]), "writer")
    reader = _node(_module(served, Inputs=[{"Name": "raw", "DataStoreMode": "Direct"}]), "reader")
    edge = {"SourceOutputPort": {"NodeId": "writer", "PortName": "raw"}}
    edge["DestinationInputPort"] = {"NodeId": "reader", "PortName": "raw"}
    _, step = steps_of(served.workspace, _graph(writer, reader, edges=(edge,)), Values())
    assert served.workspace.documents.find("saved_dataset") == []
    configuration = with_saved_datasets(served.workspace, dict(step.configuration))
    [saved] = served.workspace.documents.find("saved_dataset")
    [given] = parse_script_request(configuration).inputs
    assert (given.dataset_id, given.is_direct) == (saved["id"], True)


def test_a_start_that_is_refused_leaves_no_run(served: Served) -> None:
    """A published pipeline whose compute is gone does not start, and no run of it waits."""
    body = {"Name": "p", "Graph": _graph(_node(_module(served)))}
    pipeline = served.call("POST", PIPELINES, "/Pipelines/Create", json=body).json()
    assert served.call("DELETE", "", "/computes/cpu").status_code == 202
    submit = f"/PipelineRuns/PipelineSubmit/{pipeline['Id']}"
    assert served.call("POST", PIPELINES, submit, json={"ExperimentName": "e"}).status_code == 404
    assert served.call("GET", PIPELINES, f"/PipelineRuns/Pipeline/{pipeline['Id']}").json() == []


def test_a_datastore_that_is_not_of_this_emulator(served: Served) -> None:
    """What can't be read or written is found before a step starts."""
    section = {"accountName": "elsewhere", "containerName": "c"}
    body = {"name": "far", "dataStoreType": "AzureBlob", "azureStorageSection": section}
    assert served.call("POST", "/datastore/v1.0", "/datastores", json=body).status_code == 200
    node = _node(_module(served, Outputs=[{"Name": "raw"}]))
    node["ModuleOutputSettings"] = [{"Name": "raw", "DataStoreName": "far"}]
    with pytest.raises(InvalidRequestError, match="storage account elsewhere can't be written to"):
        steps_of(served.workspace, _graph(node), Values())
    node["ModuleOutputSettings"] = [{"Name": "raw", "DataStoreName": "none"}]
    with pytest.raises(NotFoundError, match="datastore none"):
        steps_of(served.workspace, _graph(node), Values())
