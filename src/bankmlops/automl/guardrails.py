"""What is noteworthy about a table before anything is trained on it: found, and what was done about it.

The words are Azure AutoML's: a guardrail is passed (nothing found), done (found and dealt with) or alerted (found, and yours to
judge). Each is one function of `_Examined`, so that a new one is a function and its place in `_GUARDRAILS`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy

from bankmlops.automl.folds import IN_EVERY_FIT
from bankmlops.automl.known_tables import KnownLate, KnownTable, recognise
from bankmlops.automl.leakage import MAXIMUM_ROWS, area_alone, grouped, strongest
from bankmlops.automl.unread_texts import first_such, has_decimal_comma, is_local_date, is_number, mostly
from bankmlops.features import ColumnSpecification, FeatureSpecification

Array = numpy.ndarray[Any, Any]

MAXIMUM_EXAMINED = 500_000  # rows, spread evenly over the table: a second or so each 100,000
IMBALANCE_RATIO = 0.2  # Azure's: the rarest class has no more rows than this share of the most frequent one's
DUPLICATE_SHARE = 0.01
LEAKAGE_AREA = 0.99
_MAXIMUM_NAMED = 8


class Status(StrEnum):
    """Azure's words for what a guardrail came to."""

    PASSED = "passed"
    DONE = "done"
    ALERTED = "alerted"


@dataclass(frozen=True, slots=True)
class Finding:
    """One guardrail: `description` is what was found, `action` what was done or is to do, `columns` those concerned."""

    name: str
    status: Status
    description: str
    action: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Guardrails:
    """All findings on a table of `rows`, of which `examined` were looked at.

    `majority_share` is the accuracy of always answering `majority_class`; `alone` is the area under the ROC curve of each of the
    columns that say most by themselves; `suspects` are the columns that are known, or look, to give the label away.
    """

    rows: int
    examined: int
    majority_class: str
    majority_share: float
    findings: tuple[Finding, ...]
    alone: tuple[tuple[str, float], ...] = ()
    suspects: tuple[str, ...] = ()
    known_table: str = ""

    def to_json(self) -> str:
        """The findings as JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def examine(
    columns: Mapping[str, Array], specification: FeatureSpecification, labels: Array, folds: Array | None = None
) -> Guardrails:
    """Look at `columns`, which `specification` was fitted on; `labels` int [rows] are class codes.

    `folds` int8 [rows] are those of `automl.folds`. Of what the specification drops only what is among `columns` counts: what
    was asked to be ignored is no finding.
    """
    specification = replace(specification, dropped=tuple(name for name in specification.dropped if name in columns))
    kept = _spread_rows(len(labels))
    thinned = {name: array[kept] for name, array in columns.items() if name != specification.label_column}
    table = _Examined(thinned, specification, labels[kept], None if folds is None else folds[kept], recognise(columns))
    counts = numpy.bincount(labels, minlength=len(specification.classes))
    return Guardrails(
        rows=len(labels),
        examined=len(table.labels),
        majority_class=specification.classes[int(counts.argmax())],
        majority_share=float(counts.max() / counts.sum()),
        findings=tuple(finding for guardrail in _GUARDRAILS if (finding := guardrail(table)) is not None),
        alone=tuple((name, round(area, 6)) for name, area in strongest(table.areas_alone, _MAXIMUM_NAMED)),
        suspects=tuple(dict.fromkeys([*(late.column for late in table.known_late), *table.leaks])),
        known_table=table.known.name if table.known else "",
    )


def _spread_rows(count: int) -> Array:
    return numpy.unique(numpy.linspace(0, count - 1, min(count, MAXIMUM_EXAMINED)).astype(numpy.int64))


@dataclass(frozen=True)
class _Examined:
    """The table, its columns without the label, with what several guardrails need worked out once."""

    columns: Mapping[str, Array]
    specification: FeatureSpecification
    labels: Array
    folds: Array | None
    known: KnownTable | None

    @cached_property
    def missing(self) -> Mapping[str, int]:
        """How many values each column lacks, where it lacks any."""
        counts = {name: _missing(array) for name, array in self.columns.items()}
        return {name: count for name, count in counts.items() if count}

    @cached_property
    def codes(self) -> Mapping[str, Array]:
        """Each column's values, numbered from 0."""
        return {name: _codes(array) for name, array in self.columns.items()}

    @cached_property
    def groups(self) -> tuple[Array, Array]:
        """int64 [rows], int64 [rows]: the number of each row's features, and of its features with its label."""
        generator = numpy.random.default_rng(0)
        features = numpy.zeros(len(self.labels), dtype=numpy.uint64)  # a random sum: 64 bits tell half a million rows apart
        for codes in self.codes.values():
            features += codes.astype(numpy.uint64) * generator.integers(2**63, dtype=numpy.uint64)
        with_label = features + self.labels.astype(numpy.uint64) * generator.integers(2**63, dtype=numpy.uint64)
        return numpy.unique(features, return_inverse=True)[1], numpy.unique(with_label, return_inverse=True)[1]

    @cached_property
    def areas_alone(self) -> Mapping[str, float]:
        """What each used column says of the label by itself."""
        every = -(-len(self.labels) // MAXIMUM_ROWS)
        labels, classes = self.labels[::every], len(self.specification.classes)
        return {
            column.name: area_alone(self._values_of(column)[::every], labels, classes) for column in self.specification.columns
        }

    def _values_of(self, column: ColumnSpecification) -> Array:
        if column.is_numeric:
            return grouped(self.columns[column.name].astype(numpy.float64))
        return self.codes[column.name]

    @property
    def leaks(self) -> list[str]:
        return [name for name, area in self.areas_alone.items() if area >= LEAKAGE_AREA]

    @property
    def known_late(self) -> list[KnownLate]:
        used = {column.name for column in self.specification.columns}
        return [late for late in (self.known.known_late if self.known else ()) if late.column in used]


def _missing(array: Array) -> int:
    if array.dtype.kind == "f":
        return int((~numpy.isfinite(array)).sum())
    return sum(value is None for value in array.tolist()) if array.dtype.kind == "O" else 0


def _codes(array: Array) -> Array:
    if array.dtype.kind in "OUT":
        seen: dict[Any, int] = {}
        return numpy.fromiter((seen.setdefault(value, len(seen)) for value in array.tolist()), numpy.int64, len(array))
    return numpy.unique(array, return_inverse=True)[1]


def _class_balance(table: _Examined) -> Finding:
    classes = table.specification.classes
    counts = numpy.bincount(table.labels, minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    share, ratio = counts[most] / counts.sum(), counts[least] / counts[most]
    description = (
        f"{classes[most]!r} has {share:.1%} of the rows, {classes[least]!r} {counts[least] / counts.sum():.1%}: always answering "
        f"{classes[most]!r} has an accuracy of {share:.4f}."
    )
    action = "No rows are weighted or left out. Judge the model next to that baseline, and by AUC and log loss beside accuracy."
    actions = [action] if ratio <= IMBALANCE_RATIO else []
    alike = _spelled_alike(classes)
    if alike:
        shown = [" and ".join(f"{classes[code]!r} ({counts[code]:,} rows)" for code in codes) for codes in alike]
        description += f" Classes differ in case or blanks alone: {_named(shown)}."
        actions.append("Each spelling is a class of its own: write them alike if they mean the same.")
    return Finding("Class balance", Status.ALERTED if actions else Status.PASSED, description, " ".join(actions))


def _spelled_alike(classes: Sequence[str]) -> list[list[int]]:
    """The codes of classes that are the same but for case and blanks, for each such text."""
    found: dict[str, list[int]] = defaultdict(list)
    for code, name in enumerate(classes):
        found[" ".join(name.split()).casefold()].append(code)
    return [codes for codes in found.values() if len(codes) > 1]


def _missing_values(table: _Examined) -> Finding:
    if not table.missing:
        return Finding("Missing values", Status.PASSED, "No value is missing.")
    shares = {name: count / len(table.labels) for name, count in table.missing.items()}
    shown = [f"{name} {share:.1%}" for name, share in sorted(shares.items(), key=lambda pair: -pair[1])]
    fills = {column.name: column.fill for column in table.specification.columns if column.is_numeric}
    medians = [f"{name} with {fills[name]:g}" for name in table.missing if name in fills]
    action = f"Missing numbers are filled with the median ({_named(medians)}). " if medians else ""
    dates = {column.name for column in table.specification.columns if column.parts}
    if dates & table.missing.keys():
        action += "Missing dates are filled with the median of each of their parts. "
    read = {column.name for column in table.specification.columns if column.words}
    if read & table.missing.keys():
        action += "Missing texts have no words. "
    if table.missing.keys() - fills.keys() - dates - read:
        action += "Missing texts belong to none of their column's categories."
    return Finding("Missing values", Status.DONE, f"Missing: {_named(shown)}.", action.strip(), tuple(table.missing))


def _high_cardinality(table: _Examined) -> Finding:
    texts = [column for column in table.specification.columns if column.categories]
    distinct = {column.name: int(table.codes[column.name].max()) + 1 - (column.name in table.missing) for column in texts}
    crowded = {column.name: distinct[column.name] for column in texts if distinct[column.name] > len(column.categories)}
    if not crowded:
        return Finding("High cardinality", Status.PASSED, "No text column has more values than can be told apart.")
    shown = [f"{name} {count:,} values" for name, count in crowded.items()]
    kept = max(len(column.categories) for column in texts if column.name in crowded)
    action = f"The {kept} most frequent values are told apart; the others count as one."
    return Finding("High cardinality", Status.DONE, f"Many different texts: {_named(shown)}.", action, tuple(crowded))


def _dates(table: _Examined) -> Finding | None:
    found = {column.name: column.parts for column in table.specification.columns if column.parts}
    if not found:
        return None
    shown = [f"{name} ({', '.join(parts)})" for name, parts in found.items()]
    return Finding("Dates", Status.DONE, f"Columns of dates: {_named(shown)}.", "Each part is a number of its own.", tuple(found))


def _words(table: _Examined) -> Finding | None:
    found = {column.name: len(column.words) for column in table.specification.columns if column.words}
    if not found:
        return None
    shown = [f"{name} ({count} words)" for name, count in found.items()]
    return Finding("Texts", Status.DONE, f"Columns of texts: {_named(shown)}.", "Each word is there or not.", tuple(found))


def _dropped(table: _Examined) -> Finding:
    dropped = table.specification.dropped
    if not dropped:
        return Finding("Columns without information", Status.PASSED, "No column is constant or an identifier.")
    constant = [name for name in dropped if table.codes[name].max() == 0]
    others = [name for name in dropped if name not in constant]
    parts = [f"{word}: {_named(names)}" for word, names in (("constant", constant), ("identifiers", others)) if names]
    description = f"Nothing to learn from in {len(dropped)} of the columns ({'; '.join(parts)})."
    return Finding(
        "Columns without information", Status.DONE, description, "Left out; the endpoint doesn't ask for them.", dropped
    )


def _duplicates(table: _Examined) -> Finding:
    _, whole = table.groups
    repeated = len(whole) - int(whole.max()) - 1
    description = f"{repeated:,} rows repeat another one, label included ({repeated / len(whole):.2%})."
    if repeated <= DUPLICATE_SHARE * len(whole):
        return Finding("Duplicate rows", Status.PASSED, description, "They are kept: too few to matter." if repeated else "")
    return Finding("Duplicate rows", Status.ALERTED, description, "They are kept. Were the same events written twice?")


def _contradictions(table: _Examined) -> Finding:
    features, whole = table.groups
    labels_of = numpy.bincount(features[numpy.unique(whole, return_index=True)[1]])
    rows = int((labels_of[features] > 1).sum())
    description = f"{rows:,} rows have the same features as another one with a different label ({rows / len(whole):.2%})."
    if rows <= DUPLICATE_SHARE * len(whole):
        return Finding("Contradicting rows", Status.PASSED, description)
    return Finding("Contradicting rows", Status.ALERTED, description, "They are kept. No model can be right about all of them.")


def _across_folds(table: _Examined) -> Finding | None:
    if table.folds is None:
        return None
    features, _ = table.groups
    names, folds = numpy.unique(table.folds, return_inverse=True)
    pairs = numpy.unique(features * len(names) + folds) // len(names)
    held_out = table.folds != IN_EVERY_FIT
    rows, judged = int((numpy.bincount(pairs)[features] > 1)[held_out].sum()), int(held_out.sum())
    description = f"{rows:,} held-out rows have a twin among the rows that a model was fitted on ({rows / max(judged, 1):.2%})."
    if rows <= DUPLICATE_SHARE * judged:
        return Finding("Duplicates across folds", Status.PASSED, description)
    return Finding(
        "Duplicates across folds", Status.ALERTED, description, "Scores may be better than on rows that are really new."
    )


def _leakage(table: _Examined) -> Finding:
    (name, area), *_ = strongest(table.areas_alone, 1)
    if not table.leaks:
        return Finding(
            "Leakage", Status.PASSED, f"No column gives the label away; the strongest alone is {name} (AUC {area:.3f})."
        )
    shown = _named([f"{each} (AUC {table.areas_alone[each]:.3f})" for each in table.leaks])
    action = "They are used. Make sure that each is known when a prediction is made, and is not written down after the outcome."
    return Finding("Leakage", Status.ALERTED, f"Alone almost enough to tell the label: {shown}.", action, tuple(table.leaks))


def _known_late(table: _Examined) -> Finding | None:
    if table.known is None or not table.known_late:
        return None
    facts, advice = (" ".join(parts) for parts in zip(*((late.fact, late.advice) for late in table.known_late), strict=True))
    names = tuple(late.column for late in table.known_late)
    return Finding("Not known in time", Status.ALERTED, f"{table.known.name}, {_named(names)}: {facts}", advice, names)


def _numbers_as_text(table: _Examined) -> Finding:
    found = mostly(table.columns, is_number)
    if not found:
        return Finding("Numbers stored as text", Status.PASSED, "No text column holds numbers.")
    shown = [f"{name} (but for {', '.join(map(repr, others[:3]))})" if others else name for name, others in found.items()]
    used = any(column.name in found and column.categories for column in table.specification.columns)
    left_out = [name for name in found if name in table.specification.dropped]
    action = "Each number counts as a category. " if used else ""
    action += f"Left out: {_named(left_out)}. " if left_out else ""
    action += (
        "Take out what is no number, so that the column is read as numbers; "
        "until then `--numeric-columns` refuses it, and says for which row."
    )
    if any(first_such(table.columns[name], has_decimal_comma) for name in found):
        action += (
            " Decimal commas (1.234,5) are read where semicolons divide the fields and a whole column is such numbers; "
            "decimal points always serve."
        )
    return Finding("Numbers stored as text", Status.ALERTED, f"Mostly numbers: {_named(shown)}.", action, tuple(found))


def _dates_as_text(table: _Examined) -> Finding | None:
    found = tuple(mostly(table.columns, is_local_date))
    if not found:
        return None
    shown = [f"{name} ({first_such(table.columns[name], is_local_date)!r})" for name in found]
    description = f"Mostly dates that aren't ISO 8601: {_named(shown)}."
    action = "Each counts as a category, or the column as an identifier. Write 2026-01-31, and year, month and day are used."
    return Finding("Dates stored as text", Status.ALERTED, description, action, found)


def _named(names: list[str] | tuple[str, ...]) -> str:
    more = len(names) - _MAXIMUM_NAMED
    return ", ".join(names[:_MAXIMUM_NAMED]) + (f" and {more} more" if more > 0 else "")


_GUARDRAILS = (
    _class_balance,
    _missing_values,
    _high_cardinality,
    _dates,
    _words,
    _dropped,
    _numbers_as_text,
    _dates_as_text,
    _duplicates,
    _contradictions,
    _across_folds,
    _leakage,
    _known_late,
)
