"""The OData filters and orders that the SDK sends to run history: `RootRunId eq X and Properties/runTemplate eq "automl_child"`.

expression := term ("or" term)*      term := factor ("and" factor)*
factor := "(" expression ")" | field operator value       operator := eq ne gt ge lt le
The name of a tag or property may have blanks. `Tags/X ne null or Tags/X eq null` is how the SDK asks whether there is an X, with
or without a value (azureml-core, _restclient/_odata/constants.py, TAG_EXISTS_FORMAT_STR).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bankmlops.emulator.state import Document
from bankmlops.errors import InvalidRequestError

_NAMED = r"(?:Tags|Properties)/.{1,256}?(?=\s+(?:eq|ne|gt|ge|lt|le)\s)"
_TOKEN = re.compile(rf"""\s*(?:([()])|"([^"]*)"|'([^']*)'|((?i:{_NAMED})|[^\s()]+))""")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_MAX_LENGTH = 16_384


@dataclass(frozen=True, slots=True)
class Filter:
    """A test of documents, and what any that pass have in their top-level fields (lower-case), so that no others need be read."""

    test: Callable[[Document], bool]
    required: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, document: Document) -> bool:
        return self.test(document)


def matches(expression: str | None) -> Filter:
    """The filter that an expression stands for; an empty one holds for all. Raises `InvalidRequestError`."""
    if not expression or not expression.strip():
        return Filter(lambda _document: True)
    if len(expression) > _MAX_LENGTH:
        raise InvalidRequestError(f"the filter is longer than {_MAX_LENGTH} characters")
    parser = _Parser(_tokens(expression), expression)
    found = parser.expression()
    parser.expect_end()
    return found


def ordered(documents: Sequence[Document], order: Sequence[str]) -> list[Document]:
    """Sort by "Field asc" or "Field desc" entries, the first the most important; missing values come first."""
    result = list(documents)
    for entry in reversed(order):
        path, _, direction = entry.partition(" ")
        result.sort(key=lambda document, path=path: _sort_key(document, path), reverse=direction.strip() == "desc")  # type: ignore[misc]
    return result


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    text = expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise InvalidRequestError(f"filter {expression!r}: column {position + 1} is not understood")
        position = match.end()
        bracket, double, single, word = match.groups()
        if bracket:
            tokens.append(("bracket", bracket))
        elif word is not None:
            tokens.append(("word", word))
        else:
            tokens.append(("text", double if double is not None else single))
    return tokens


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str]], expression: str) -> None:
        self._tokens = tokens
        self._expression = expression
        self._position = 0

    def expression(self) -> Filter:
        alternatives = [self._term()]
        while self._accept("or"):
            alternatives.append(self._term())
        if len(alternatives) == 1:
            return alternatives[0]
        return Filter(lambda document: any(each(document) for each in alternatives))

    def expect_end(self) -> None:
        if self._position < len(self._tokens):
            self._fail()

    def _term(self) -> Filter:
        factors = [self._factor()]
        while self._accept("and"):
            factors.append(self._factor())
        required = {name: value for factor in factors for name, value in factor.required.items()}
        return Filter(lambda document: all(each(document) for each in factors), required)

    def _factor(self) -> Filter:
        if self._accept("("):
            inner = self.expression()
            if not self._accept(")"):
                self._fail()
            return inner
        name, comparison, value = self._next()[1], self._next()[1].lower(), self._value()
        if comparison not in _COMPARISONS:
            self._fail()
        return _comparison(name, comparison, value)

    def _value(self) -> str | None:
        kind, value = self._next()
        if kind == "text":
            return value
        if value.lower() == "null":
            return None
        # The SDK writes a moment bare, with a blank between date and time: `CreatedUtc ge 2026-11-24 13:00:00`.
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value) and re.match(r"\d\d:", self._peek()):
            return f"{value}T{self._next()[1]}"
        return value

    def _accept(self, text: str) -> bool:
        if self._position < len(self._tokens) and self._tokens[self._position][0] != "text" and self._peek().lower() == text:
            self._position += 1
            return True
        return False

    def _peek(self) -> str:
        return self._tokens[self._position][1] if self._position < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._position >= len(self._tokens):
            self._fail()
        self._position += 1
        return self._tokens[self._position - 1]

    def _fail(self) -> None:
        raise InvalidRequestError(f"filter {self._expression!r}: not understood near item {self._position + 1}")


def _comparison(path: str, comparison: str, value: str | None) -> Filter:
    compare = _COMPARISONS[comparison]

    def test(document: Document) -> bool:
        actual = _field(document, path)
        if value is None and actual is None and "/" in path:
            return comparison == "eq" and _has(document, path)
        if value is None or actual is None:
            return compare(actual, value) if comparison in ("eq", "ne") else False
        return compare(str(actual), value)

    exact = comparison == "eq" and value is not None and "/" not in path
    return Filter(test, {path.lower(): str(value)} if exact else {})


def _field(document: Document, path: str) -> Any:
    # Names are without regard to case in their first segment (RunId, runId); the key of a tag or property is taken as it is.
    head, _, rest = path.partition("/")
    value = next((item for key, item in document.items() if key.lower() == head.lower()), None)
    return value.get(rest) if rest and isinstance(value, dict) else value


def _has(document: Document, path: str) -> bool:
    head, _, rest = path.partition("/")
    return any(key.lower() == head.lower() and isinstance(item, dict) and rest in item for key, item in document.items())


def _sort_key(document: Document, path: str) -> tuple[bool, str]:
    value = _field(document, path)
    return (value is not None, "" if value is None else str(value))
