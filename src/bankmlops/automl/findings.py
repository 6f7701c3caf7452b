"""What each guardrail finds in a table: one function of an `ExaminedTable` each, so a new one is a function and its place in
`GUARDRAILS`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy

from bankmlops.automl.examined_table import ExaminedTable
from bankmlops.automl.folds import IN_EVERY_FIT
from bankmlops.automl.leakage import strongest
from bankmlops.automl.unread_texts import first_such, has_decimal_comma, is_local_date, is_number, mostly

IMBALANCE_RATIO = 0.2  # Azure's: the rarest class has no more rows than this share of the most frequent one's
DUPLICATE_SHARE = 0.01
MAXIMUM_NAMED = 8


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


def _class_balance(table: ExaminedTable) -> Finding:
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


def _missing_values(table: ExaminedTable) -> Finding:
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


def _high_cardinality(table: ExaminedTable) -> Finding:
    texts = [column for column in table.specification.columns if column.categories]
    distinct = {column.name: int(table.codes[column.name].max()) + 1 - (column.name in table.missing) for column in texts}
    crowded = {column.name: distinct[column.name] for column in texts if distinct[column.name] > len(column.categories)}
    if not crowded:
        return Finding("High cardinality", Status.PASSED, "No text column has more values than can be told apart.")
    shown = [f"{name} {count:,} values" for name, count in crowded.items()]
    kept = max(len(column.categories) for column in texts if column.name in crowded)
    action = f"The {kept} most frequent values are told apart; the others count as one."
    return Finding("High cardinality", Status.DONE, f"Many different texts: {_named(shown)}.", action, tuple(crowded))


def _dates(table: ExaminedTable) -> Finding | None:
    found = {column.name: column.parts for column in table.specification.columns if column.parts}
    if not found:
        return None
    shown = [f"{name} ({', '.join(parts)})" for name, parts in found.items()]
    return Finding("Dates", Status.DONE, f"Columns of dates: {_named(shown)}.", "Each part is a number of its own.", tuple(found))


def _words(table: ExaminedTable) -> Finding | None:
    found = {column.name: len(column.words) for column in table.specification.columns if column.words}
    if not found:
        return None
    shown = [f"{name} ({count} words)" for name, count in found.items()]
    return Finding("Texts", Status.DONE, f"Columns of texts: {_named(shown)}.", "Each word is there or not.", tuple(found))


def _dropped(table: ExaminedTable) -> Finding:
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


def _duplicates(table: ExaminedTable) -> Finding:
    _, whole = table.groups
    repeated = len(whole) - int(whole.max()) - 1
    description = f"{repeated:,} rows repeat another one, label included ({repeated / len(whole):.2%})."
    if repeated <= DUPLICATE_SHARE * len(whole):
        return Finding("Duplicate rows", Status.PASSED, description, "They are kept: too few to matter." if repeated else "")
    return Finding("Duplicate rows", Status.ALERTED, description, "They are kept. Were the same events written twice?")


def _contradictions(table: ExaminedTable) -> Finding:
    features, whole = table.groups
    labels_of = numpy.bincount(features[numpy.unique(whole, return_index=True)[1]])
    rows = int((labels_of[features] > 1).sum())
    description = f"{rows:,} rows have the same features as another one with a different label ({rows / len(whole):.2%})."
    if rows <= DUPLICATE_SHARE * len(whole):
        return Finding("Contradicting rows", Status.PASSED, description)
    return Finding("Contradicting rows", Status.ALERTED, description, "They are kept. No model can be right about all of them.")


def _across_folds(table: ExaminedTable) -> Finding | None:
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


def _leakage(table: ExaminedTable) -> Finding:
    (name, area), *_ = strongest(table.areas_alone, 1)
    if not table.leaks:
        return Finding(
            "Leakage", Status.PASSED, f"No column gives the label away; the strongest alone is {name} (AUC {area:.3f})."
        )
    shown = _named([f"{each} (AUC {table.areas_alone[each]:.3f})" for each in table.leaks])
    action = "They are used. Make sure that each is known when a prediction is made, and is not written down after the outcome."
    return Finding("Leakage", Status.ALERTED, f"Alone almost enough to tell the label: {shown}.", action, tuple(table.leaks))


def _known_late(table: ExaminedTable) -> Finding | None:
    if table.known is None or not table.known_late:
        return None
    facts, advice = (" ".join(parts) for parts in zip(*((late.fact, late.advice) for late in table.known_late), strict=True))
    names = tuple(late.column for late in table.known_late)
    return Finding("Not known in time", Status.ALERTED, f"{table.known.name}, {_named(names)}: {facts}", advice, names)


def _numbers_as_text(table: ExaminedTable) -> Finding:
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


def _dates_as_text(table: ExaminedTable) -> Finding | None:
    found = tuple(mostly(table.columns, is_local_date))
    if not found:
        return None
    shown = [f"{name} ({first_such(table.columns[name], is_local_date)!r})" for name in found]
    description = f"Mostly dates that aren't ISO 8601: {_named(shown)}."
    action = "Each counts as a category, or the column as an identifier. Write 2026-01-31, and year, month and day are used."
    return Finding("Dates stored as text", Status.ALERTED, description, action, found)


def _named(names: list[str] | tuple[str, ...]) -> str:
    more = len(names) - MAXIMUM_NAMED
    return ", ".join(names[:MAXIMUM_NAMED]) + (f" and {more} more" if more > 0 else "")


GUARDRAILS = (
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
