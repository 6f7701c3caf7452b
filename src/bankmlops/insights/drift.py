"""How far an endpoint's collected inputs have moved from what its model was trained on, column by column."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bankmlops.backend import Backend
from bankmlops.errors import ConflictError, InvalidRequestError
from bankmlops.features.profile import ColumnProfile, DataProfile, categories_of, shares_of
from bankmlops.types import Endpoint

THRESHOLD = 0.2
MINIMUM_ROWS = 100
MAXIMUM_ROWS = 200_000
PROFILE = "outputs/bundle/profile.json"
_SMALLEST_SHARE = 1e-4
_SHOWN_CATEGORIES = 20

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column. `psi` is the population stability index over its bins and the missing values, `jensen_shannon` the distance
    (base 2, 0 to 1); `training` and `now` are the shares of the bins, missing values last; `new_categories` counts values that no
    bin of the training had."""

    name: str
    psi: float
    jensen_shannon: float
    missing_training: float
    missing_now: float
    new_categories: Mapping[str, int]
    bins: tuple[str, ...]
    training: tuple[float, ...]
    now: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """All columns, the one that moved most first. `drifted` are those whose PSI is above the threshold, `unwatched` those
    of texts that an earlier version left without a profile; one with a profile is there once for each measure of its texts."""

    endpoint: str
    model: str
    rows: int
    training_rows: int
    first: str
    last: str
    written: datetime
    threshold: float
    drifted: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]
    unwatched: tuple[str, ...] = ()


def measure_drift(
    backend: Backend, endpoint: Endpoint, *, threshold: float = THRESHOLD, minimum_rows: int = MINIMUM_ROWS
) -> Drift:
    """Compare what was collected from the endpoint's present model with that model's training.

    Raises `InvalidRequestError` where its training left no profile, or one without columns, and `ConflictError` where too few
    rows were collected.
    """
    profile = _training_profile(backend, endpoint)
    named = f"{endpoint.model_name}:{endpoint.model_version}"
    if not profile.columns:
        raise InvalidRequestError(
            f"model {named} has no column to watch, since training left no profile of its texts; train it again"
        )
    with tempfile.TemporaryDirectory(prefix="bankmlops-monitor-") as folder:
        files = [path for path in backend.download_telemetry(endpoint.name, Path(folder)) if path.name.startswith("collected")]
        times, rows = _newest(_records(files, named))
    if len(rows) < minimum_rows:
        raise ConflictError(
            f"endpoint {endpoint.name!r} has collected {len(rows):,} rows of model {named}, and {minimum_rows:,} are the "
            "least that tell something; deploy it with --collect-model-data, and let it be asked"
        )
    columns = sorted((compare(column, rows) for column in profile.columns), key=lambda each: -each.psi)
    drifted = tuple(column.name for column in columns if column.psi > threshold)
    return Drift(
        endpoint.name,
        named,
        len(rows),
        profile.rows,
        times[0],
        times[-1],
        datetime.now(UTC),
        threshold,
        drifted,
        tuple(columns),
        profile.unwatched,
    )


def compare(profile: ColumnProfile, rows: Sequence[Row]) -> ColumnDrift:
    """One column of the rows beside its training."""
    values = [row.get(profile.name) for row in rows]
    now = shares_of(profile, values)
    return ColumnDrift(
        profile.title,
        population_stability_index(profile.shares, now),
        jensen_shannon_distance(profile.shares, now),
        profile.shares[-1],
        now[-1],
        {} if profile.is_numeric else _new_categories(profile, values),
        _bins(profile),
        profile.shares,
        now,
    )


def population_stability_index(training: Sequence[float], now: Sequence[float]) -> float:
    """The sum of (now - training) * ln(now / training); a share below 0.0001 counts as that. Below 0.1 is read as stable."""
    pairs = [(max(before, _SMALLEST_SHARE), max(after, _SMALLEST_SHARE)) for before, after in zip(training, now, strict=True)]
    return sum((after - before) * math.log(after / before) for before, after in pairs)


def jensen_shannon_distance(training: Sequence[float], now: Sequence[float]) -> float:
    """The square root of the Jensen-Shannon divergence to base 2: 0 for the same shares, 1 where no bin is in common."""
    middle = [(before + after) / 2 for before, after in zip(training, now, strict=True)]
    divergence = (_entropy(training, middle) + _entropy(now, middle)) / 2
    return math.sqrt(max(divergence, 0.0))


def _entropy(shares: Sequence[float], others: Sequence[float]) -> float:
    return sum(share * math.log2(share / other) for share, other in zip(shares, others, strict=True) if share > 0)


def _training_profile(backend: Backend, endpoint: Endpoint) -> DataProfile:
    model = backend.get_model(endpoint.model_name, endpoint.model_version)
    if not model.run_id or PROFILE not in backend.list_artifacts(model.run_id):
        raise InvalidRequestError(
            f"version {model.version} of model {model.name!r} has no training profile (its run has no {PROFILE}); train it again"
        )
    with tempfile.TemporaryDirectory(prefix="bankmlops-monitor-") as folder:
        return DataProfile.from_json(backend.download_artifact(model.run_id, PROFILE, Path(folder)).read_text(encoding="utf-8"))


def _records(files: Iterable[Path], model: str) -> Iterator[tuple[str, Sequence[Row]]]:
    """Time and rows of each request; a line that is being written is no record yet."""
    for path in files:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if record.get("model") == model:
                    yield record["timestamp"], record["rows"]


def _newest(records: Iterable[tuple[str, Sequence[Row]]]) -> tuple[list[str], list[Row]]:
    times: list[str] = []
    rows: list[Row] = []
    for time, more in records:
        times.append(time)
        rows += more
        del rows[:-MAXIMUM_ROWS]
    return times, rows


def _new_categories(profile: ColumnProfile, values: Sequence[object]) -> Mapping[str, int]:
    known = set(profile.categories)
    counts = Counter(text for text in categories_of(profile, values) if text is not None and text not in known)
    return {text[:80]: count for text, count in counts.most_common(_SHOWN_CATEGORIES)}


def _bins(profile: ColumnProfile) -> tuple[str, ...]:
    if not profile.is_numeric:
        return (*profile.categories, "other", "missing")
    ends = [f"{edge:.6g}" for edge in profile.edges]
    below = [f"{'below' if end == after else 'up to'} {end}" for end, after in zip(ends, [*ends[1:], ""], strict=True)]
    return (*below, f"above {ends[-1]}" if ends else "any", "missing")
