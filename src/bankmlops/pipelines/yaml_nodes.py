"""A YAML document as plain values, with the place of each, so that an error can name the line.

Only what JSON has is read: true and false alone are booleans, and what looks like a date is text. Anchors are refused, since a
few lines of them can stand for gigabytes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from bankmlops.errors import InvalidRequestError

_MAXIMUM_BYTES = 1024 * 1024
_MAXIMUM_DEPTH = 20
_TAB = "character '\\t' that cannot start any token"
_BOOLEAN, _DATE = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"

Where = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The values, and where each path of keys and indices stands: (line, column), from 1."""

    path: Path
    values: Any
    places: dict[Where, tuple[int, int]]

    def value(self, where: Where) -> Any:
        """What is there; raises `KeyError` or `IndexError`."""
        return reduce(lambda found, key: found[key], where, self.values)

    def error(self, where: Where, message: str) -> InvalidRequestError:
        """The message behind the file, line and column of what is there, or of what it would be in."""
        nearest = next(where[:length] for length in range(len(where), -1, -1) if where[:length] in self.places)
        line, column = self.places[nearest]
        return InvalidRequestError(f"{self.path}:{line}:{column}: {message}")


def read_yaml(path: Path) -> Document:
    """Read a file. Raises `InvalidRequestError` with its line where it is no YAML, or none that serves."""
    text = _read(path)
    try:
        _refuse_wild(path, text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        message = str(error.problem or error.context).replace(_TAB, "a tab; spaces would serve")
        raise _refusal(path, error.problem_mark or error.context_mark, message) from None
    except yaml.YAMLError as error:
        raise InvalidRequestError(f"{path}: {' '.join(str(error).split())}") from None
    if root is None:
        raise InvalidRequestError(f"{path}: it is empty; `bankmlops pipelines schema` says what would serve")
    places: dict[Where, tuple[int, int]] = {}
    return Document(path, _value(path, root, (), places), places)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAXIMUM_BYTES:
            raise InvalidRequestError(f"{path} is larger than {_MAXIMUM_BYTES // 1024} KiB; a pipeline is not")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{path}: byte {error.start} is no UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise InvalidRequestError(f"can't read {path}: {error.strerror}") from None


def _refuse_wild(path: Path, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _refusal(path, event.start_mark, "anchors and aliases are not read; write it out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAXIMUM_DEPTH:
            raise _refusal(path, event.start_mark, f"it is nested more than {_MAXIMUM_DEPTH} deep")


def _value(path: Path, node: yaml.Node, where: Where, places: dict[Where, tuple[int, int]]) -> Any:
    places.setdefault(where, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        return dict(_pairs(path, node, where, places))
    if isinstance(node, yaml.SequenceNode):
        return [_value(path, entry, (*where, index), places) for index, entry in enumerate(node.value)]
    return _scalar(path, node)


def _pairs(path: Path, node: yaml.MappingNode, where: Where, places: dict[Where, tuple[int, int]]) -> Iterator[tuple[str, Any]]:
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _refusal(path, key_node.start_mark, "a key has to be a word")
        key = str(key_node.value)
        if (*where, key) in places:
            raise _refusal(path, key_node.start_mark, f"{key!r} is there twice; give each a name of its own")
        places[(*where, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        yield key, _value(path, value_node, (*where, key), places)


def _scalar(path: Path, node: yaml.Node) -> Any:
    if node.tag == _DATE or (node.tag == _BOOLEAN and node.value.lower() not in ("true", "false")):
        return node.value
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        raise _refusal(path, node.start_mark, f"{node.value[:50]!r} is no value; put it in quotes if it is text") from None
    finally:
        loader.dispose()


def _refusal(path: Path, mark: Any, message: str) -> InvalidRequestError:
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
    return InvalidRequestError(f"{where}: {message}")
