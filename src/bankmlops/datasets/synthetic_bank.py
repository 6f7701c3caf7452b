"""Draw rows of the stand-in: the class first, then the month, the client and the call given the class.

Row n depends on the seed and on n alone: each row has 16 random numbers of its own, so a table can be made in any pieces and in
any order, and the first rows of a longer table are the shorter table.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy
import pyarrow as pa

from bankmlops.datasets import synthetic_statistics as known

Array = numpy.ndarray[Any, Any]
Floats = numpy.ndarray[Any, numpy.dtype[numpy.float64]]
Codes = numpy.ndarray[Any, numpy.dtype[numpy.int64]]

COLUMNS: dict[str, pa.DataType] = {
    "age": pa.int64(),
    "job": pa.string(),
    "marital": pa.string(),
    "education": pa.string(),
    "default": pa.string(),
    "housing": pa.string(),
    "loan": pa.string(),
    "contact": pa.string(),
    "month": pa.string(),
    "day_of_week": pa.string(),
    "duration": pa.int64(),
    "campaign": pa.int64(),
    "pdays": pa.int64(),
    "previous": pa.int64(),
    "poutcome": pa.string(),
    "emp.var.rate": pa.float64(),
    "cons.price.idx": pa.float64(),
    "cons.conf.idx": pa.float64(),
    "euribor3m": pa.float64(),
    "nr.employed": pa.float64(),
    "y": pa.string(),
}
SCHEMA = pa.schema(list(COLUMNS.items()))


class Draw(IntEnum):
    """Which of a row's random numbers decides what. A new one changes every row."""

    CLASS = 0
    PERIOD = 1
    EURIBOR = 2
    JOB = 3
    AGE = 4
    MARITAL = 5
    EDUCATION = 6
    DEFAULT = 7
    LOANS = 8
    CONTACT = 9
    DAY = 10
    DURATION = 11
    CAMPAIGN = 12
    OUTCOME = 13
    PREVIOUS = 14
    DAYS_SINCE = 15


def bank_rows(seed: int, start: int, count: int, changed: Codes | None = None) -> pa.Table:
    """`count` rows from row `start` on of the table that `seed` (0 or more) names, with the columns of `SCHEMA`.

    `changed` int64 [count] is 1 for a row of another world: most calls are in the campaign's late months, and how long a call was
    means the opposite of what it meant.
    """
    draws = _draws(seed, start, count)
    changed = numpy.zeros(count, dtype=numpy.int64) if changed is None else changed
    label = _choice(draws[Draw.CLASS], [known.CLASS_SHARES], numpy.zeros(count, dtype=numpy.int64))
    period = _choice(draws[Draw.PERIOD], _PERIOD_SHARES, label + len(known.CLASSES) * changed)
    phase = _PHASES[period] * len(known.CLASSES)
    segment = phase + label
    call = _call(draws, segment, period, label) | _duration(draws, phase + (label ^ changed))
    columns = _client(draws, segment) | call | _history(draws, segment) | _economy(draws, period)
    columns["y"] = _texts(known.CLASSES, label)
    return pa.table([columns[name] for name in COLUMNS], schema=SCHEMA)


def _draws(seed: int, start: int, count: int) -> Floats:
    """float64 [16, count] in [0, 1): `random` takes one step of the generator for each."""
    generator = numpy.random.Generator(numpy.random.PCG64(seed).advance(start * len(Draw)))
    return numpy.ascontiguousarray(generator.random((count, len(Draw))).T)


def _client(draws: Floats, segment: Codes) -> dict[str, Any]:
    job = _choice(draws[Draw.JOB], [each.jobs for each in known.SEGMENTS], segment)
    age = _quantile(draws[Draw.AGE], known.AGE_QUANTILES, [each.ages for each in known.JOBS], job)
    group = numpy.searchsorted(known.MARITAL_AGES, age, side="right")
    loans = _choice(draws[Draw.LOANS], [known.LOAN_SHARES], numpy.zeros_like(job))
    return {
        "age": age,
        "job": _texts([each.name for each in known.JOBS], job),
        "marital": _texts(known.MARITALS, _choice(draws[Draw.MARITAL], known.MARITAL_SHARES, group)),
        "education": _texts(known.EDUCATIONS, _choice(draws[Draw.EDUCATION], [each.educations for each in known.JOBS], job)),
        "default": _texts(known.DEFAULTS, _default(draws[Draw.DEFAULT], segment, job)),
        "housing": _texts([housing for housing, _ in known.LOANS], loans),
        "loan": _texts([loan for _, loan in known.LOANS], loans),
    }


def _default(draw: Floats, segment: Codes, job: Codes) -> Codes:
    factors = numpy.array([each.default_factor for each in known.SEGMENTS])
    unknown = factors[segment] * numpy.array([each.default_unknown for each in known.JOBS])[job]
    return numpy.where(draw < unknown, 1, numpy.where(draw >= 1.0 - known.DEFAULT_YES, 2, 0))


def _call(draws: Floats, segment: Codes, period: Codes, label: Codes) -> dict[str, Any]:
    by_telephone = draws[Draw.CONTACT] >= numpy.array([each.cellular for each in known.PERIODS])[period]
    return {
        "contact": _texts(known.CONTACTS, by_telephone.astype(numpy.int64)),
        "month": _texts([each.month for each in known.PERIODS], period),
        "day_of_week": _texts(known.DAYS, _choice(draws[Draw.DAY], known.DAY_SHARES, label)),
        "campaign": 1 + _choice(draws[Draw.CAMPAIGN], _CAMPAIGN_SHARES, segment),
    }


def _duration(draws: Floats, segment: Codes) -> dict[str, Any]:
    durations = [each.durations for each in known.SEGMENTS]
    return {"duration": _quantile(draws[Draw.DURATION], known.DURATION_QUANTILES, durations, segment)}


def _history(draws: Floats, segment: Codes) -> dict[str, Any]:
    outcome = _choice(draws[Draw.OUTCOME], [each.outcomes for each in known.SEGMENTS], segment)
    days = _choice(draws[Draw.DAYS_SINCE], known.DAYS_SINCE_SHARES, outcome)
    return {
        "pdays": numpy.array(known.DAYS_SINCE, dtype=numpy.int64)[days],
        "previous": _choice(draws[Draw.PREVIOUS], known.PREVIOUS_SHARES, outcome),
        "poutcome": _texts(known.OUTCOMES, outcome),
    }


def _economy(draws: Floats, period: Codes) -> dict[str, Any]:
    low, high = numpy.array([each.euribor for each in known.PERIODS]).T
    return {
        "emp.var.rate": numpy.array([each.employment_variation for each in known.PERIODS])[period],
        "cons.price.idx": numpy.array([each.consumer_prices for each in known.PERIODS])[period],
        "cons.conf.idx": numpy.array([each.consumer_confidence for each in known.PERIODS])[period],
        "euribor3m": numpy.round(low[period] + (high - low)[period] * draws[Draw.EURIBOR], 3),
        "nr.employed": numpy.array([each.employed for each in known.PERIODS])[period],
    }


def _choice(draw: Floats, shares: Sequence[Sequence[float]], given: Codes) -> Codes:
    """An index into `shares[given]` for each row: the inverse of the cumulated shares, all conditions laid end to end."""
    table = numpy.array(shares, dtype=numpy.float64)
    bounds = numpy.cumsum(table, axis=1) / table.sum(axis=1, keepdims=True)
    flat = (bounds + numpy.arange(len(table))[:, None]).ravel()
    found = numpy.searchsorted(flat, draw + given, side="right")
    # Adding the condition can round a draw close to 1 up into the next one.
    codes: Codes = numpy.minimum(found - given * table.shape[1], _last_possible(table)[given])
    return codes


def _last_possible(table: Floats) -> Codes:
    last: Codes = table.shape[1] - 1 - numpy.argmax(table[:, ::-1] > 0, axis=1)
    return last


def _quantile(draw: Floats, levels: Sequence[float], values: Sequence[Sequence[float]], given: Codes) -> Codes:
    """The whole number at the level `draw` of the distribution `values[given]`, straight lines between the known levels."""
    conditions = 2.0 * numpy.arange(len(values))  # a gap between them keeps the levels apart
    flat = (conditions[:, None] + numpy.array(levels)).ravel()
    found = numpy.interp(conditions[given] + draw, flat, numpy.array(values, dtype=numpy.float64).ravel())
    return numpy.rint(found).astype(numpy.int64)


def _texts(categories: Sequence[str], codes: Codes) -> pa.Array:
    return pa.array(categories, type=pa.string()).take(pa.array(codes))


def _campaign_shares(head: Sequence[int]) -> list[float]:
    decay = known.CAMPAIGN_DECAY ** numpy.arange(known.CAMPAIGN_MAXIMUM - len(head) + 1)
    return [*head[:-1], *(head[-1] * decay / decay.sum())]


_PHASES: Codes = numpy.array([each.phase for each in known.PERIODS], dtype=numpy.int64)
_LATE = [20 if each.phase is known.Phase.THAW else 1 for each in known.PERIODS]
# Of each class in the ordinary world, then in the changed one.
_PERIOD_SHARES = tuple(
    [getattr(each, name) * factor for each, factor in zip(known.PERIODS, factors, strict=True)]
    for factors in ([1] * len(known.PERIODS), _LATE)
    for name in ("share_no", "share_yes")
)
_CAMPAIGN_SHARES = [_campaign_shares(each.campaigns) for each in known.SEGMENTS]
