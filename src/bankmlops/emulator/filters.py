"""The OData filters and orders that the SDK sends to run history: `RootRunId eq X and Properties/runTemplate eq "automl_child"`.

expression := term ("or" term)*      term := factor ("and" factor)*
factor := "(" expression ")" | field operator value       operator := eq ne gt ge lt le
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from bankmlops.emulator.state import Document
from bankmlops.errors import InvalidRequestError

Predicate = Callable[[Document], bool]

_TOKEN = re.compile(r"""\s*(?:([()])|"([^"]*)"|'([^']*)'|([^\s()]+))""")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_MAX_LENGTH = 16_384


def matches(expression: str | None) -> Predicate:
    """The test that an expression stands for; an empty one holds for all. Raises `InvalidRequestError`."""
    if not expression or not expression.strip():
        return lambda _document: True
    if len(expression) > _MAX_LENGTH:
        raise InvalidRequestError(f"the filter is longer than {_MAX_LENGTH} characters")
    parser = _Parser(_tokens(expression), expression)
    predicate = parser.expression()
    parser.expect_end()
    return predicate


def ordered(documents: Sequence[Document], order: Sequence[str]) -> list[Document]:
    """Sort by "Field asc" or "Field desc" entries, the first the most important; missing values come first."""
    result = list(documents)
    for entry in reversed(order):
        field, _, direction = entry.partition(" ")
        result.sort(key=lambda document, field=field: _sort_key(document, field), reverse=direction.strip() == "desc")  # type: ignore[misc]
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

    def expression(self) -> Predicate:
        alternatives = [self._term()]
        while self._accept("or"):
            alternatives.append(self._term())
        return lambda document: any(each(document) for each in alternatives)

    def expect_end(self) -> None:
        if self._position < len(self._tokens):
            self._fail()

    def _term(self) -> Predicate:
        factors = [self._factor()]
        while self._accept("and"):
            factors.append(self._factor())
        return lambda document: all(each(document) for each in factors)

    def _factor(self) -> Predicate:
        if self._accept("("):
            inner = self.expression()
            if not self._accept(")"):
                self._fail()
            return inner
        field, comparison, value = self._next()[1], self._next()[1].lower(), self._value()
        if comparison not in _COMPARISONS:
            self._fail()
        return _comparison(field, comparison, value)

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


def _comparison(field: str, comparison: str, value: str | None) -> Predicate:
    compare = _COMPARISONS[comparison]

    def predicate(document: Document) -> bool:
        actual = _field(document, field)
        if value is None or actual is None:
            return compare(actual, value) if comparison in ("eq", "ne") else False
        return compare(str(actual), value)

    return predicate


def _field(document: Document, path: str) -> Any:
    # Names are without regard to case in their first segment (RunId, runId); the key of a tag or property is taken as it is.
    head, _, rest = path.partition("/")
    value = next((item for key, item in document.items() if key.lower() == head.lower()), None)
    return value.get(rest) if rest and isinstance(value, dict) else value


def _sort_key(document: Document, field: str) -> tuple[bool, str]:
    value = _field(document, field)
    return (value is not None, "" if value is None else str(value))
