"""What fitting learnt about a table, as a value and as JSON: the one thing that training and scoring share about features."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from itertools import accumulate
from typing import Any

import numpy

from bankmlops.errors import InvalidRequestError
from bankmlops.features.dates import PARTS, parts_of

FORMAT = 1
_LARGEST = float(numpy.finfo(numpy.float32).max)
DateReader = Callable[[str | None], tuple[float, ...] | None]
BOOLEAN_SPELLINGS: Mapping[str | bool, str] = {
    **dict.fromkeys((False, "false", "FALSE", "0"), "False"),
    **dict.fromkeys((True, "true", "TRUE", "1"), "True"),
}


class ColumnKind(StrEnum):
    """The JSON Schema type of a column's values."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRING = "string"

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers."""
        return self in (ColumnKind.INTEGER, ColumnKind.NUMBER)


_JSON_TYPES: Mapping[ColumnKind, Set[type]] = {
    ColumnKind.INTEGER: {int},
    ColumnKind.NUMBER: {int, float},
    ColumnKind.BOOLEAN: {bool},
    ColumnKind.STRING: {str},
}


@dataclass(frozen=True, slots=True)
class ColumnSpecification:
    """One input column: numeric with the `fill` of a missing value, or one-hot over sorted `categories` ("False", "True").

    Where numbers are taken for categories, `categories` are their texts in the order of the numbers, which are float64.
    `nullable` says whether training saw a gap in it, or that nobody knows; `minimum` and `maximum` are of the numbers that
    training saw, None where nobody knows. A column of dates has `parts` instead, those of `dates.PARTS` that differ among its
    rows, and the `fills` of a missing date; one of texts that are read has the `words` that are looked for, sorted.
    """

    name: str
    kind: ColumnKind
    fill: float = 0.0
    categories: tuple[str, ...] = ()
    nullable: bool = True
    minimum: float | None = None
    maximum: float | None = None
    parts: tuple[str, ...] = ()
    fills: tuple[float, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether it fills one column of the matrix with its numbers (else one for each category, part of a date or word)."""
        return self.kind.is_numeric and not self.categories

    @property
    def is_read(self) -> bool:
        """Whether each of its texts is read, as a date or for its words; others are known or unknown as they stand."""
        return bool(self.parts or self.words)

    @property
    def width(self) -> int:
        """How many columns of the matrix it fills."""
        return 1 if self.is_numeric else len(self.categories) + len(self.parts) + len(self.words)

    @property
    def values(self) -> tuple[str | bool | float, ...]:
        """Its categories as JSON has them."""
        if self.kind.is_numeric:
            return tuple(int(text) if text.lstrip("-").isdigit() else float(text) for text in self.categories)
        return tuple(text == "True" for text in self.categories) if self.kind is ColumnKind.BOOLEAN else self.categories

    @property
    def holds_booleans(self) -> bool:
        """Whether it is a boolean column, or one with gaps, which is fitted as text."""
        return not self.kind.is_numeric and not self.is_read and set(self.categories) <= {"False", "True"}

    @property
    def json_types(self) -> Set[type]:
        """The types of its values when they come from JSON, 3.0 for 3 apart."""
        also = ({type(None)} if self.nullable else set()) | ({bool} if self.holds_booleans else set())
        return frozenset(_JSON_TYPES[self.kind] | also)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each of its matrix columns: `age`, `job=admin.`, `when.year`, or `note~refund`."""
        if self.is_numeric:
            return (self.name,)
        if self.words:
            return tuple(f"{self.name}~{word}" for word in self.words)
        return (*(f"{self.name}={category}" for category in self.categories), *(f"{self.name}.{part}" for part in self.parts))


@dataclass(frozen=True)
class FeatureSpecification:
    """The fitted transformation of a table: `columns` in matrix order, the label, its `classes` as sorted text.

    `dropped` are the columns that held nothing to learn from (constants and identifiers); scoring doesn't ask for them.
    """

    columns: tuple[ColumnSpecification, ...]
    label_column: str
    classes: tuple[str, ...]
    dropped: tuple[str, ...] = ()

    @cached_property
    def width(self) -> int:
        """How many columns the matrix has."""
        return sum(column.width for column in self.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """One name for each column of the matrix."""
        return tuple(name for column in self.columns for name in column.names)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """How many matrix columns each of `columns` fills."""
        return tuple(column.width for column in self.columns)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The first matrix column of each of `columns`."""
        return tuple(accumulate(self.widths, initial=0))[:-1]

    @cached_property
    def fills(self) -> numpy.ndarray[Any, numpy.dtype[numpy.float32]]:
        """float32 [width]: what stands in for a missing number, 0 at the one-hot columns."""
        fills = numpy.zeros(self.width, dtype=numpy.float32)
        for column, offset in zip(self.columns, self.offsets, strict=True):
            if column.is_numeric:
                fills[offset] = column.fill
        return fills

    @cached_property
    def numeric_positions(self) -> tuple[tuple[str, Set[type], int], ...]:
        """Name of each numeric column, the types that JSON gives it (3.0 for 3 apart), and its matrix column."""
        pairs = zip(self.columns, self.offsets, strict=True)
        return tuple((column.name, column.json_types, offset) for column, offset in pairs if column.is_numeric)

    @cached_property
    def category_positions(self) -> tuple[tuple[str, Set[type], Mapping[str | bool | None, int]], ...]:
        """Name of each column of texts or booleans, the types that JSON gives it, and the matrix column of each known value."""
        pairs = [
            (column, offset)
            for column, offset in zip(self.columns, self.offsets, strict=True)
            if not column.kind.is_numeric and not column.is_read
        ]
        return tuple((column.name, column.json_types, _positions(column, offset)) for column, offset in pairs)

    @cached_property
    def number_positions(self) -> tuple[tuple[str, Set[type], Mapping[float, int]], ...]:
        """Name of each column of numbers that are categories, the types that JSON gives it, and the matrix column of each."""
        pairs = zip(self.columns, self.offsets, strict=True)
        return tuple(
            (column.name, column.json_types, {float(text): offset + place for place, text in enumerate(column.categories)})
            for column, offset in pairs
            if column.kind.is_numeric and column.categories
        )

    @cached_property
    def date_positions(self) -> tuple[tuple[str, Set[type], slice, DateReader], ...]:
        """Name of each column of dates, the types that JSON gives it, its matrix columns, and what reads a date."""
        pairs = [(column, offset) for column, offset in zip(self.columns, self.offsets, strict=True) if column.parts]
        return tuple(
            (column.name, column.json_types, slice(offset, offset + column.width), reader_of(column)) for column, offset in pairs
        )

    @cached_property
    def word_positions(self) -> tuple[tuple[str, Set[type], Mapping[str, int]], ...]:
        """Name of each column that is read for its words, the types that JSON gives it, and the matrix column of each word."""
        pairs = [(column, offset) for column, offset in zip(self.columns, self.offsets, strict=True) if column.words]
        return tuple(
            (column.name, column.json_types, {word: offset + place for place, word in enumerate(column.words)})
            for column, offset in pairs
        )

    @cached_property
    def known(self) -> Set[str]:
        """Every name that a row may hold: its columns', the label's, and those that training dropped."""
        return frozenset((*(column.name for column in self.columns), self.label_column, *self.dropped))

    @cached_property
    def class_codes(self) -> Mapping[str, int]:
        """The index of each class."""
        return {name: code for code, name in enumerate(self.classes)}

    def to_json(self) -> str:
        """The specification as JSON, the same text for the same specification."""
        columns = [_column_to_dict(column) for column in self.columns]
        content = {
            "format": FORMAT,
            "label_column": self.label_column,
            "classes": list(self.classes),
            "columns": columns,
            "dropped": list(self.dropped),
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> FeatureSpecification:
        """Read what `to_json` wrote. Raises `InvalidRequestError` where it is something else."""
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise InvalidRequestError(f"feature specification: format {content['format']!r} where {FORMAT} would serve")
            return FeatureSpecification(
                columns=_columns_from_list(content["columns"]),
                label_column=str(content["label_column"]),
                classes=tuple(str(name) for name in content["classes"]),
                dropped=tuple(str(name) for name in content["dropped"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise InvalidRequestError(f"feature specification: not readable ({type(error).__name__}: {error})") from error


def reader_of(column: ColumnSpecification) -> DateReader:
    """What makes matrix columns of one of a column's dates, or of a gap; None from it says that a text is no date."""
    return partial(_date_numbers, places=tuple(PARTS.index(part) for part in column.parts), fills=column.fills)


def _date_numbers(text: str | None, places: tuple[int, ...], fills: tuple[float, ...]) -> tuple[float, ...] | None:
    if text is None:
        return fills
    found = parts_of(text)
    return None if found is None else tuple(float(found[place]) for place in places)


def _positions(column: ColumnSpecification, offset: int) -> Mapping[str | bool | None, int]:
    positions: dict[str | bool | None, int] = {text: offset + index for index, text in enumerate(column.categories)}
    if column.holds_booleans:
        positions |= {spelling: positions[text] for spelling, text in BOOLEAN_SPELLINGS.items() if text in positions}
    return positions


def _column_to_dict(column: ColumnSpecification) -> dict[str, object]:
    content: dict[str, object] = {"name": column.name, "kind": str(column.kind), "nullable": column.nullable}
    if column.is_numeric:
        return content | {"fill": column.fill, "minimum": column.minimum, "maximum": column.maximum}
    if column.parts:
        return content | {"parts": dict(zip(column.parts, column.fills, strict=True))}
    if column.words:
        return content | {"words": list(column.words)}
    return content | {"categories": list(column.categories)}


def _columns_from_list(contents: list[Mapping[str, Any]]) -> tuple[ColumnSpecification, ...]:
    columns = tuple(_column_from_dict(content) for content in contents)
    if len({column.name for column in columns}) < max(1, len(columns)):
        raise ValueError("no columns, or two of one name")
    return columns


def _column_from_dict(content: Mapping[str, Any]) -> ColumnSpecification:
    name, kind, nullable = str(content["name"]), ColumnKind(content["kind"]), bool(content.get("nullable", True))
    if kind.is_numeric and "categories" not in content:
        ends = (content.get(end) for end in ("minimum", "maximum"))
        minimum, maximum = (None if end is None else _float32(end) for end in ends)
        return ColumnSpecification(name, kind, _float32(content["fill"]), (), nullable, minimum, maximum)
    if "parts" in content:
        fills = {str(part): _float32(fill) for part, fill in content["parts"].items()}
        if kind is not ColumnKind.STRING or not fills or not fills.keys() <= set(PARTS):
            raise ValueError("no parts of a date")
        return ColumnSpecification(name, kind, nullable=nullable, parts=tuple(fills), fills=tuple(fills.values()))
    if "words" in content:
        return ColumnSpecification(name, kind, nullable=nullable, words=_words(kind, content["words"]))
    categories = tuple(str(text) for text in content["categories"])
    if kind.is_numeric and not (categories and all(_float32(text) is not None for text in categories)):
        raise ValueError("no categories")
    return ColumnSpecification(name, kind, categories=categories, nullable=nullable)


def _words(kind: ColumnKind, content: list[str]) -> tuple[str, ...]:
    words = tuple(str(word) for word in content)
    if kind is not ColumnKind.STRING or not words or len(set(words)) < len(words):
        raise ValueError("no words of a text")
    return words


def _float32(value: Any) -> float:
    number = float(value)
    if not abs(number) <= _LARGEST:  # NaN too
        raise ValueError(f"{number!r} where a float32 would serve")
    return number
