"""What a `ScriptRunConfig` asks for, read from the run definition that the SDK posts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bankmlops.emulator.state import Document
from bankmlops.errors import InvalidRequestError

MAX_SECONDS = 24 * 3600.0
MAX_WORDS = 10_000
_DATASET_ARGUMENT = "DatasetConsumptionConfig:"
_OUTPUT_ARGUMENT = "DatasetOutputConfig:"
_DIRECT = "direct"
_DELIVERED = ("mount", "download")
_NAME = re.compile(r"[A-Za-z0-9_]{1,100}\Z")


@dataclass(frozen=True, slots=True)
class Input:
    """A dataset that the script gets: its id where `mechanism` is "direct", a folder with its files otherwise."""

    name: str
    variable: str
    dataset_id: str
    mechanism: str

    @property
    def is_direct(self) -> bool:
        """Whether the script is given the id alone, and reads for itself."""
        return self.mechanism == _DIRECT


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """`script` with `arguments`, or `command`; `seconds` is the longest that it may run."""

    target: str
    script: str
    arguments: tuple[str, ...]
    command: str
    seconds: float
    variables: Mapping[str, str]
    inputs: tuple[Input, ...]

    def argument(self, text: str, folder: str) -> str:
        """An argument as the script gets it: a dataset's placeholder becomes its id, or its folder below `folder`."""
        if not text.startswith(_DATASET_ARGUMENT):
            return text
        name = text.removeprefix(_DATASET_ARGUMENT)
        for each in self.inputs:
            if each.name == name:
                return each.dataset_id if each.is_direct else f"{folder}/{each.name}"
        raise InvalidRequestError(f"argument {text!r}: the run has no input of that name")


def parse_script_request(configuration: Document) -> ScriptRequest:
    """Read `Configuration` of a run definition. Raises `InvalidRequestError` for what is not carried out here."""
    _check_kind(configuration)
    command = configuration.get("command") or ""
    environment = configuration.get("environment") or {}
    variables = {**(environment.get("environmentVariables") or {}), **(configuration.get("environmentVariables") or {})}
    asked = configuration.get("maxRunDurationSeconds")
    return ScriptRequest(
        target=str(configuration.get("target") or "local"),
        script=str(configuration.get("script") or ""),
        arguments=_words(configuration.get("arguments")),
        command=command if isinstance(command, str) else " ".join(_words(command)),
        seconds=min(float(asked), MAX_SECONDS) if asked else MAX_SECONDS,
        variables={str(name): str(value) for name, value in variables.items()},
        inputs=tuple(_input(name, data) for name, data in (configuration.get("data") or {}).items()),
    )


def _check_kind(configuration: Document) -> None:
    framework, communicator = configuration.get("framework") or "Python", configuration.get("communicator") or "None"
    if framework != "Python" or communicator != "None" or int(configuration.get("nodeCount") or 1) > 1:
        raise InvalidRequestError(
            f"framework {framework}, communicator {communicator}, {configuration.get('nodeCount')} nodes: "
            "the emulator runs a Python script or a command on one node"
        )
    if configuration.get("outputData") or configuration.get("dataReferences"):
        raise InvalidRequestError("output datasets and data references are not emulated: write into ./outputs, or to a datastore")
    if not configuration.get("script") and not configuration.get("command"):
        raise InvalidRequestError("the run definition has neither script nor command")


def _words(value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else [str(each) for each in value or []]
    if len(words) > MAX_WORDS:
        raise InvalidRequestError(f"the run has more than {MAX_WORDS} arguments")
    if any(word.startswith(_OUTPUT_ARGUMENT) for word in words):
        raise InvalidRequestError("output datasets are not emulated: write into ./outputs, or to a datastore")
    return tuple(words)


def _input(name: str, data: Document) -> Input:
    mechanism = str(data.get("mechanism") or _DIRECT).lower()
    dataset = ((data.get("dataLocation") or {}).get("dataset") or {}).get("id")
    if not _NAME.match(name) or not dataset or mechanism not in (_DIRECT, *_DELIVERED):
        raise InvalidRequestError(f"input {name!r}: give a registered or saved dataset, direct, as_mount() or as_download()")
    return Input(name, str(data.get("environmentVariableName") or name), str(dataset), mechanism)
