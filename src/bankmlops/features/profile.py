"""How the training data was spread, column by column: what later inputs are compared with. Written beside the specification."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from unicodedata import normalize
from zlib import crc32

import numpy

from bankmlops.errors import InvalidRequestError
from bankmlops.features.dates import moment_of
from bankmlops.features.specification import BOOLEAN_SPELLINGS, ColumnSpecification, FeatureSpecification
from bankmlops.features.text import text_of
from bankmlops.features.words import MAXIMUM_TEXTS, words_of

Array = numpy.ndarray[Any, Any]

FORMAT = 1
MAXIMUM_ROWS = 100_000
USUAL_TEXTS = 10
CHARACTERS, KNOWN_WORDS = "characters", "known words"
QUANTILES = tuple(tenth / 10 for tenth in range(1, 10))


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """Shares of a column's rows, which sum to 1: of each bin, and last of the missing values.

    The bins of numbers end at `edges`, which belong to the bin that they end, and one more is open above. Those of categories are
    `categories` and, behind them, every other one. Of a text the number is its `measure`: how many characters it has, or which
    share of its words is among `words`, the CRC-32 of each.
    """

    name: str
    edges: tuple[float, ...]
    categories: tuple[str, ...]
    shares: tuple[float, ...]
    measure: str = ""
    words: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The column, and what of its texts is measured."""
        return f"{self.name} ({self.measure})" if self.measure else self.name

    @property
    def is_numeric(self) -> bool:
        """Whether its bins are of numbers."""
        return not self.categories


@dataclass(frozen=True, slots=True)
class DataProfile:
    """The profile of a table of `rows` rows; `unwatched` are the columns of texts that an earlier version left without one."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    unwatched: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The profile as JSON."""
        columns = [asdict(column) for column in self.columns]
        document = {"format": FORMAT, "rows": self.rows, "columns": columns, "unwatched": self.unwatched}
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str) -> DataProfile:
        """Read what `to_json` wrote. Raises `InvalidRequestError` where it is something else."""
        try:
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']!r}")
            columns = tuple(_column(each) for each in document["columns"])
            return DataProfile(int(document["rows"]), columns, tuple(str(name) for name in document.get("unwatched", ())))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidRequestError(f"the training profile can't be read ({type(error).__name__}: {error})") from error


def profile_of(specification: FeatureSpecification, columns: Mapping[str, Array]) -> DataProfile:
    """The profile of the specification's columns; `columns` are name -> 1-d array, as training takes them.

    Texts that are read for their words have one of their characters and one of their known words: see `ColumnProfile`.
    Of a long table it is that of `MAXIMUM_ROWS` rows at most, evenly spaced, of texts of `MAXIMUM_TEXTS`.
    """
    known = [column for column in specification.columns if column.name in columns]
    rows = len(columns[known[0].name]) if known else 0
    step = max(math.ceil(rows / MAXIMUM_ROWS), 1)
    profiles = (profile for column in known for profile in _profiles(column, columns[column.name][::step].tolist()))
    return DataProfile(len(range(0, rows, step)), tuple(profiles))


def shares_of(profile: ColumnProfile, values: Sequence[object]) -> tuple[float, ...]:
    """The shares of other values of the column in the profile's own bins, as `ColumnProfile.shares` has them."""
    if profile.is_numeric:
        return _shares(_number_bins(profile.edges, _measured(profile, values)), len(profile.edges) + 1)
    places = {name: place for place, name in enumerate(profile.categories)}
    bins = [-1 if text is None else places.get(text, len(places)) for text in categories_of(profile, values)]
    return _shares(numpy.array(bins, dtype=numpy.int64), len(places) + 1)


def categories_of(profile: ColumnProfile, values: Iterable[object]) -> list[str | None]:
    """The category that each value of a column of categories is counted as: None where it is missing, an empty text too.

    Where the categories are those of booleans, all that scoring takes for one ("true", "1") is it.
    """
    spellings = BOOLEAN_SPELLINGS if set(profile.categories) <= {"False", "True"} else {}
    return [text and spellings.get(text, text) for text in _texts(values)]


def _texts(values: Iterable[object]) -> Iterable[str | None]:
    """Each value's text; None where it is missing, an empty text too."""
    return (text_of(value) or None for value in values)


def _profiles(column: ColumnSpecification, values: Sequence[object]) -> tuple[ColumnProfile, ...]:
    if column.words:
        return _of_texts(column, values[:: max(math.ceil(len(values) / MAXIMUM_TEXTS), 1)])
    if column.is_numeric or column.parts:
        return (_of_numbers(ColumnProfile(column.name, (), (), ()), values),)
    empty = ColumnProfile(column.name, (), column.categories, ())
    return (replace(empty, shares=shares_of(empty, values)),)


def _of_texts(column: ColumnSpecification, values: Sequence[object]) -> tuple[ColumnProfile, ...]:
    """That of the characters; and that of the known words, which are those that the model looks for and enough texts have.

    A rare word was looked for since these texts have it: others, drawn alike, would have fewer of its kind.
    """
    looked_for = frozenset(column.words)
    counts = Counter(word for text in _texts(values) for word in words_of(text or "") & looked_for)
    usual = tuple(sorted(crc32(word.encode()) for word, count in counts.items() if count >= USUAL_TEXTS))
    measures: list[tuple[str, tuple[int, ...]]] = [(CHARACTERS, ()), *([(KNOWN_WORDS, usual)] if usual else [])]
    return tuple(_of_numbers(ColumnProfile(column.name, (), (), (), measure, words), values) for measure, words in measures)


def _of_numbers(empty: ColumnProfile, values: Sequence[object]) -> ColumnProfile:
    numbers = _measured(empty, values)
    edges = _edges(numbers)
    return replace(empty, edges=edges, shares=_shares(_number_bins(edges, numbers), len(edges) + 1))


def _edges(numbers: Array) -> tuple[float, ...]:
    """The deciles. A value that is several of them has a bin of its own, or a move away from it would not show."""
    present = numbers[numpy.isfinite(numbers)]
    if not present.size:
        return ()
    counts = Counter(float(edge) for edge in numpy.quantile(present, QUANTILES))
    below = [float(numpy.nextafter(edge, -numpy.inf)) for edge, count in counts.items() if count > 1]
    return tuple(sorted({*counts, *below}))


def _measured(profile: ColumnProfile, values: Sequence[object]) -> Array:
    """The numbers that its bins are of, NaN for what is missing."""
    if not profile.measure:
        return numpy.array([_number(value) for value in values], dtype=numpy.float64)
    words = frozenset(profile.words)
    measure: Callable[[str], float] = _characters if profile.measure == CHARACTERS else partial(_known_share, known=words)
    return numpy.array([math.nan if text is None else measure(text) for text in _texts(values)], dtype=numpy.float64)


def _characters(text: str) -> float:
    """However their accents were typed."""
    return float(len(normalize("NFC", text)))


def _known_share(text: str, known: Set[int]) -> float:
    words = words_of(text)
    return sum(crc32(word.encode()) in known for word in words) / max(len(words), 1)


def _number(value: object) -> float:
    """NaN for what is missing, and for what is no number; a date is its seconds since 1970."""
    moment = moment_of(value) if isinstance(value, str) else None
    if moment is not None:
        return (moment - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001 (a moment of `dates` has no time zone)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _number_bins(edges: tuple[float, ...], numbers: Array) -> Array:
    bins = numpy.searchsorted(numpy.array(edges), numbers, side="left")
    return numpy.where(numpy.isnan(numbers), -1, bins)


def _shares(bins: Array, count: int) -> tuple[float, ...]:
    """Of `count` bins, and of -1, which is what is missing."""
    counts = numpy.bincount(numpy.where(bins < 0, count, bins), minlength=count + 1)
    return tuple((counts / max(len(bins), 1)).tolist())


def _column(document: Mapping[str, Any]) -> ColumnProfile:
    edges, shares = (tuple(float(value) for value in document[name]) for name in ("edges", "shares"))
    categories = tuple(str(name) for name in document["categories"])
    if len(shares) != (len(categories) or len(edges)) + 2:
        raise ValueError("shares that do not fit the bins")
    measure = str(document.get("measure", ""))
    if measure not in ("", CHARACTERS, KNOWN_WORDS):
        raise ValueError(f"measure {measure!r}")
    words = tuple(int(word) for word in document.get("words", ()))
    return ColumnProfile(str(document["name"]), edges, categories, shares, measure, words)
