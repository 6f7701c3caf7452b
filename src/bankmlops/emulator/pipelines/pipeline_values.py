"""What a pipeline's parameters are worth in one run: the defaults of its graph, and what the submission says instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.scripts.script_data import Place
from bankmlops.emulator.state import Document
from bankmlops.emulator.storage.datasets import saved_id
from bankmlops.errors import InvalidRequestError

_REFERENCES = ("SavedDataSetReference", "DataSetReference")
ASSIGNMENTS = ("ParameterAssignments", "DataPathAssignments", "DataSetDefinitionValueAssignments")


@dataclass(frozen=True, slots=True)
class Values:
    """By name: texts, paths on datastores, and ids of saved datasets."""

    texts: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, Place] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A parameter's value. Raises `InvalidRequestError` where it has none."""
        return str(_required(self.texts, name))

    def path(self, name: str) -> Place:
        """A `DataPath` parameter's value. Raises `InvalidRequestError` where it has none."""
        found: Place = _required(self.paths, name)
        return found

    def dataset(self, name: str) -> str:
        """A dataset parameter's value. Raises `InvalidRequestError` where it has none."""
        return str(_required(self.datasets, name))


def values_of(workspace: WorkspaceState, interface: Document, submission: Document) -> Values:
    """The values of one run.

    Raises `InvalidRequestError` for a parameter that the pipeline has not and for a value of the wrong shape, `NotFoundError` for
    a dataset that is not there.
    """
    texts = _with_defaults(interface, "Parameters", submission, ASSIGNMENTS[0])
    paths = _with_defaults(interface, "DataPathParameters", submission, ASSIGNMENTS[1])
    datasets = _with_defaults(interface, "DataPathParameterList", submission, ASSIGNMENTS[2])
    return Values(
        {name: _text(name, value) for name, value in texts.items()},
        {name: _path(name, value) for name, value in paths.items()},
        {name: saved_id(workspace, _reference(name, value)) for name, value in datasets.items()},
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise _misshapen(name, "give a text or a number")
    return str(value)


def _path(name: str, value: Any) -> Place:
    datastore, path = _member(value, "DataStoreName"), _member(value, "RelativePath") or ""
    if not isinstance(datastore, str) or not datastore or not isinstance(path, str):
        raise _misshapen(name, 'give {"DataStoreName": "a datastore", "RelativePath": "a/path"}')
    return Place(datastore, path.strip("/"))


def _reference(name: str, value: Any) -> Document:
    for member in _REFERENCES:
        if _member(_member(value, member), "Id"):
            return {member: value[member]}
    raise _misshapen(name, 'give {"SavedDataSetReference": {"Id": "the id of a saved dataset"}}')


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _misshapen(name: str, advice: str) -> InvalidRequestError:
    return InvalidRequestError(f"pipeline parameter {name!r} has a value of the wrong shape: {advice}")


def _with_defaults(interface: Document, member: str, submission: Document, assignment: str) -> dict[str, Any]:
    defaults = {each["Name"]: each.get("DefaultValue") for each in interface.get(member) or []}
    given = submission.get(assignment) or {}
    if not isinstance(given, Mapping):
        raise InvalidRequestError(f"{assignment}: give an object of values by the names of parameters")
    unknown = given.keys() - defaults.keys()
    if unknown:
        known = ", ".join(sorted(defaults)) or "none"
        raise InvalidRequestError(f"{assignment}: the pipeline has no parameter {', '.join(sorted(unknown))}; it has {known}")
    return {name: value for name, value in {**defaults, **given}.items() if value is not None}


def _required(values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise InvalidRequestError(f"pipeline parameter {name!r} has no value: give it a default, or a value at submission")
    return values[name]
