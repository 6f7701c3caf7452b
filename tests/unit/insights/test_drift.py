"""Collected inputs beside the training: what moved is found, what did not is left alone, and both measures are what they are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy
import pytest
from scipy.spatial.distance import jensenshannon

from bankmlops.errors import ConflictError, InvalidRequestError
from bankmlops.features import fit
from bankmlops.features.profile import DataProfile, profile_of, shares_of
from bankmlops.insights.drift import compare, jensen_shannon_distance, measure_drift, population_stability_index
from bankmlops.insights.drift_report import drift_report
from bankmlops.types import Endpoint, EndpointState
from support.run_files import RunFiles

RANDOM = numpy.random.default_rng(7)
ROWS = 4000
COLUMNS = {
    "age": RANDOM.integers(18, 90, ROWS),
    "rate": numpy.where(RANDOM.random(ROWS) < 0.1, numpy.nan, RANDOM.normal(size=ROWS)),
    "pdays": numpy.where(RANDOM.random(ROWS) < 0.9, 999, RANDOM.integers(0, 20, ROWS)),
    "job": RANDOM.choice(numpy.array(["clerk", "student", "<b>"], dtype=object), ROWS),
    "owner": RANDOM.random(ROWS) < 0.3,
    "y": RANDOM.choice(numpy.array(["no", "yes"], dtype=object), ROWS),
}
PROFILE = profile_of(fit(COLUMNS, "y"), COLUMNS)
ENDPOINT = Endpoint("bank-endpoint", EndpointState.HEALTHY, "http://x/score", "", "process", "bank", "2")


def _rows(count: int, **changed: Any) -> list[dict[str, Any]]:
    """Rows of the training itself, with other values in the columns that are named."""
    picked = RANDOM.integers(0, ROWS, count)
    rows = []
    for index in picked.tolist():
        row = {
            name: values[index].item() if hasattr(values[index], "item") else values[index] for name, values in COLUMNS.items()
        }
        row["rate"] = None if math.isnan(row["rate"]) else row["rate"]
        rows.append(row | {name: change(row) for name, change in changed.items()})
    return rows


def _column(name: str) -> Any:
    return next(column for column in PROFILE.columns if column.name == name)


def test_profile() -> None:
    """Shares sum to 1, missing values have their own, and the profile survives JSON."""
    assert [column.name for column in PROFILE.columns] == ["age", "rate", "pdays", "job", "owner"]
    for column in PROFILE.columns:
        assert sum(column.shares) == pytest.approx(1.0)
        assert len(column.shares) == (len(column.categories) or len(column.edges)) + 2
    assert _column("rate").shares[-1] == pytest.approx(0.1, abs=0.02)
    assert _column("owner").categories == ("False", "True")
    assert DataProfile.from_json(PROFILE.to_json()) == PROFILE


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "rows": 1, "columns": [{"name": "a"}]}'])
def test_a_profile_that_can_not_be_read(text: str) -> None:
    """Something else is refused in one line."""
    with pytest.raises(InvalidRequestError, match="training profile"):
        DataProfile.from_json(text)


@pytest.mark.parametrize("name", ["age", "rate", "pdays", "job", "owner"])
def test_the_same_data_has_not_drifted(name: str) -> None:
    """A sample of the training itself stays far below the threshold."""
    drift = compare(_column(name), _rows(2000))
    assert drift.psi < 0.03
    assert drift.jensen_shannon < 0.1
    assert not drift.new_categories


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("age", lambda row: row["age"] + 25),
        ("rate", lambda row: None if row["age"] > 50 else row["rate"]),
        ("pdays", lambda _row: 3),
        ("job", lambda row: "astronaut" if row["age"] > 50 else row["job"]),
        ("owner", lambda _row: True),
    ],
)
def test_what_moved_is_found(name: str, change: Any) -> None:
    """A shift, values gone missing, a move away from the one usual value, a new category, a tilted share: each is above 0.2."""
    assert compare(_column(name), _rows(1000, **{name: change})).psi > 0.2


def test_new_and_missing_are_told() -> None:
    """New categories are counted by name, and the share of missing values is given before and now."""
    rows = _rows(200, job=lambda _row: "astronaut", rate=lambda _row: None)
    assert compare(_column("job"), rows).new_categories == {"astronaut": 200}
    missing = compare(_column("rate"), rows)
    assert (round(missing.missing_training, 1), missing.missing_now) == (0.1, 1.0)
    assert compare(_column("age"), [{}] * 10).missing_now == 1.0


def test_names_of_bins() -> None:
    """The one usual value has a bin between what is below and above it."""
    assert compare(_column("pdays"), _rows(10)).bins[-4:] == ("below 999", "up to 999", "above 999", "missing")


def test_measures() -> None:
    """PSI is the textbook's sum, the distance is SciPy's."""
    before, now = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5)
    assert population_stability_index(before, now) == pytest.approx(2 * 0.3 * math.log(2.5))
    assert jensen_shannon_distance(before, now) == pytest.approx(jensenshannon(before, now, base=2))
    assert jensen_shannon_distance((1.0, 0.0), (0.0, 1.0)) == 1.0
    assert math.isfinite(population_stability_index((1.0, 0.0), (0.0, 1.0)))


def test_spellings_of_booleans_and_of_gaps() -> None:
    """The rows of the training have not drifted, however a request spells true, false and a missing text."""
    owners, jobs = (
        numpy.array(values * 50, dtype=object) for values in (["True", "False", None, "True"], ["a", None, "b", None])
    )
    columns = {"owner": owners, "job": jobs, "y": COLUMNS["y"][:200]}
    owner, job = profile_of(fit(columns, "y"), columns).columns
    for yes, no, gap in (
        ("true", "false", None),
        ("1", "0", ""),
        (True, False, None),
        ("TRUE", "FALSE", ""),
        ("True", "False", ""),
    ):
        spelled = {"True": yes, "False": no, None: gap}
        rows = [{"owner": spelled[one], "job": gap if other is None else other} for one, other in zip(owners, jobs, strict=True)]
        for found in (compare(owner, rows), compare(job, rows)):
            assert (found.psi, found.new_categories, found.missing_now) == (0.0, {}, found.missing_training)
    assert shares_of(owner, ["yes", None]) == (0.0, 0.0, 0.5, 0.5)


def test_empty_texts_of_the_training_are_missing() -> None:
    """Parquet may hold empty texts where CSV has gaps: both are missing, before and now."""
    columns = {"job": numpy.array(["a", "", "b", None] * 50, dtype=object), "y": COLUMNS["y"][:200]}
    (job,) = profile_of(fit(columns, "y"), columns).columns
    assert compare(job, [{"job": text} for text in ("a", None, "b", None)]).psi == 0.0
    assert job.shares[-1] == 0.5


def test_values_that_training_never_saw_have_a_bin() -> None:
    """Beyond the ends, and texts where numbers were: shares still sum to 1."""
    assert sum(shares_of(_column("age"), [-1e9, 1e9, None, "text"])) == pytest.approx(1.0)
    assert sum(shares_of(_column("job"), [None, 3, True, ""])) == pytest.approx(1.0)


class Collected(RunFiles):
    """An endpoint with collected rows, and a model whose run has a training profile."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]], model: str = "bank:2", profile: DataProfile = PROFILE) -> None:
        bundle = folder / "bundle"
        bundle.mkdir()
        (bundle / "profile.json").write_text(profile.to_json())
        super().__init__(bundle)
        self.endpoints["bank-endpoint"] = ENDPOINT
        lines = [{"timestamp": f"2026-01-01T00:00:{index:02d}Z", "model": model, "rows": [row]} for index, row in enumerate(rows)]
        (folder / "collected.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"timesta')
        self.telemetry = [folder / "collected.jsonl"]


def test_of_an_endpoint(tmp_path: Path) -> None:
    """The column that moved most comes first, and the page shows all of them with what is new escaped."""
    backend = Collected(tmp_path, _rows(300, job=lambda _row: "<i>new</i>"))
    drift = measure_drift(backend, ENDPOINT)
    assert (drift.rows, drift.training_rows, drift.model) == (300, ROWS, "bank:2")
    assert (drift.drifted, drift.columns[0].name) == (("job",), "job")
    page = drift_report(drift)
    assert page.count("<svg") == 5
    assert "&lt;i&gt;new&lt;/i&gt; (300)" in page
    assert "<i>new" not in page


def test_texts_are_not_watched(tmp_path: Path) -> None:
    """A column that is read for its words is named, on the page too; where there is no other, nothing can be said."""
    notes = numpy.array([f"{word} day number {row}" for row, word in enumerate(["good", "bad"] * 50)], dtype=object)
    columns = {"note": notes, "age": COLUMNS["age"][:100], "y": COLUMNS["y"][:100]}
    profile = profile_of(fit(columns, "y", text=["note"]), columns)
    assert DataProfile.from_json(profile.to_json()) == profile
    (tmp_path / "some").mkdir()
    drift = measure_drift(Collected(tmp_path / "some", _rows(300), profile=profile), ENDPOINT)
    assert (drift.unwatched, [column.name for column in drift.columns]) == (("note",), ["age"])
    assert "not watched, since their texts are read for words: note" in drift_report(drift)
    columns.pop("age")
    alone = profile_of(fit(columns, "y", text=["note"]), columns)
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidRequestError, match="model bank:2 has no column to watch"):
        measure_drift(Collected(tmp_path / "none", _rows(300), profile=alone), ENDPOINT)


def test_too_few_rows(tmp_path: Path) -> None:
    """A handful tells nothing, and rows of another version are not of this one."""
    with pytest.raises(ConflictError, match=r"has collected 0 rows of model bank:2, and 100 .* --collect-model-data"):
        measure_drift(Collected(tmp_path, _rows(300), model="bank:1"), ENDPOINT)


def test_a_model_without_a_profile(tmp_path: Path) -> None:
    """A model that was trained before there were profiles is named."""
    backend = Collected(tmp_path, _rows(300))
    (tmp_path / "bundle" / "profile.json").unlink()
    with pytest.raises(InvalidRequestError, match="version 2 of model 'bank' has no training profile"):
        measure_drift(backend, ENDPOINT)
