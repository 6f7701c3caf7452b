"""What a `ScriptRunConfig` asks for, read from the run definition that the SDK posts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bankmlops.emulator.scripts.script_data import Input, Output, parse_inputs, parse_outputs
from bankmlops.emulator.state import Document
from bankmlops.errors import InvalidRequestError

LOCAL = "local"
MAX_SECONDS = 24 * 3600.0
MAX_WORDS = 10_000
REFERENCE = "AZUREML_DATAREFERENCE_"
_PLACEHOLDER = re.compile(
    r"\A(?:DatasetConsumptionConfig|DatasetOutputConfig):(.*)\Z|\$" + REFERENCE + r"([A-Za-z0-9_]+)", re.DOTALL
)


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
    outputs: tuple[Output, ...]

    @property
    def fetched(self) -> tuple[Input, ...]:
        """The datasets whose files the script gets."""
        return tuple(each for each in self.inputs if not each.is_direct and not each.place)

    def argument(self, text: str, given: str, left: str) -> str:
        """An argument as the script gets it: placeholders become ids, or paths below `given` (inputs) and `left` (outputs)."""
        return self._filled(text, given, left, str)

    def command_line(self, given: str, left: str) -> str:
        """The command for a shell, its placeholders filled as those of arguments are."""
        return " ".join(self._filled(word, given, left, shlex.quote) for word in self.command.split(" "))

    def _filled(self, text: str, given: str, left: str, written: Callable[[str], str]) -> str:
        values = {name: each.value(given) for each in self.inputs for name in (each.name, each.reference) if name}
        values.update({each.name: each.value(left) for each in self.outputs})

        def value(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if name not in values:
                raise InvalidRequestError(f"argument {text!r}: the run has no input or output of that name")
            return written(values[name])

        return _PLACEHOLDER.sub(value, text)


def parse_script_request(configuration: Document, run_id: str = "") -> ScriptRequest:
    """Read `Configuration` of a run definition. Raises `InvalidRequestError` for what is not carried out here."""
    _check_kind(configuration)
    command = configuration.get("command") or ""
    environment = configuration.get("environment") or {}
    variables = {**(environment.get("environmentVariables") or {}), **(configuration.get("environmentVariables") or {})}
    asked = configuration.get("maxRunDurationSeconds")
    request = ScriptRequest(
        target=str(configuration.get("target") or LOCAL),
        script=str(configuration.get("script") or ""),
        arguments=_words(configuration.get("arguments")),
        command=command if isinstance(command, str) else " ".join(_words(command)),
        seconds=min(float(asked), MAX_SECONDS) if asked else MAX_SECONDS,
        variables={str(name): str(value) for name, value in variables.items()},
        inputs=parse_inputs(configuration),
        outputs=parse_outputs(configuration, run_id),
    )
    _check_words(request)
    return request


def _check_kind(configuration: Document) -> None:
    framework, communicator = configuration.get("framework") or "Python", configuration.get("communicator") or "None"
    if framework != "Python" or communicator != "None" or int(configuration.get("nodeCount") or 1) > 1:
        raise InvalidRequestError(
            f"framework {framework}, communicator {communicator}, {configuration.get('nodeCount')} nodes: "
            "the emulator runs a Python script or a command on one node"
        )
    if not configuration.get("script") and not configuration.get("command"):
        raise InvalidRequestError("the run definition has neither script nor command")


def _check_words(request: ScriptRequest) -> None:
    for word in request.arguments:
        request.argument(word, "", "")
    request.command_line("", "")
    wrong = [name for name, value in request.variables.items() if not name or "=" in name or "\0" in name + value]
    if wrong:
        raise InvalidRequestError(f"environment variable {wrong[0]!r}: give a name without '=', and no null characters")


def _words(value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else [str(each) for each in value or []]
    if len(words) > MAX_WORDS:
        raise InvalidRequestError(f"the run has more than {MAX_WORDS} arguments")
    return tuple(words)
