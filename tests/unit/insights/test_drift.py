"""Collected inputs beside the training: what moved is found, what did not is left alone, and both measures are what they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
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
USUAL_ENGLISH = "the to of and my is for in was account loan card please branch fee refund"
USUAL_GERMAN = "die zu von und mein ist für im war Konto Kredit Karte bitte Filiale Gebühr Erstattung"
ENGLISH = [*USUAL_ENGLISH.split(), *(f"case{each}" for each in range(2000))]
GERMAN = [*USUAL_GERMAN.split(), *(f"fall{each}" for each in range(2000))]
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


UNKNOWN_MEASURE = {"name": "a", "edges": [], "categories": [], "shares": [1, 0], "measure": "x"}
UNREADABLE = [
    "",
    "[]",
    '{"format": 2}',
    '{"format": 1, "rows": 1, "columns": [{"name": "a"}]}',
    json.dumps({"format": 1, "rows": 1, "columns": [UNKNOWN_MEASURE]}),
]


@pytest.mark.parametrize("text", UNREADABLE)
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


def _notes(count: int, words: Sequence[str] = ENGLISH, seed: int = 2) -> list[str | None]:
    """Texts of 8 to 40 words, most of them a few usual ones, and a gap in ten."""
    vocabulary = numpy.array(words)
    weights = 1 / numpy.arange(1, len(words) + 1)
    random = numpy.random.default_rng(seed)
    lengths = random.integers(8, 40, count).tolist()
    texts = [" ".join(random.choice(vocabulary, length, p=weights / weights.sum())) for length in lengths]
    return [None if gap else text for text, gap in zip(texts, random.random(count) < 0.1, strict=True)]


def _text_profile(count: int) -> DataProfile:
    columns = {"note": numpy.array(_notes(count, seed=1), dtype=object), "y": COLUMNS["y"][:count]}
    return profile_of(fit(columns, "y", text=["note"]), columns)


def _asked(notes: Sequence[str | None]) -> list[dict[str, Any]]:
    return [{"note": note} for note in notes]


TEXTS = _text_profile(4000)


@pytest.mark.parametrize(("count", "most"), [(4000, 0.03), (100, 0.15)])
def test_texts_alike_have_not_drifted(count: int, most: float) -> None:
    """Other texts drawn alike stay below the threshold, also where few texts taught the model many rare words."""
    profile = _text_profile(count)
    assert [column.title for column in profile.columns] == ["note (characters)", "note (known words)"]
    assert [drift.psi < most for drift in (compare(column, _asked(_notes(2000))) for column in profile.columns)] == [True, True]


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        (lambda notes: [note and f"{note} {note}" for note in notes], {"note (characters)"}),
        (lambda notes: [note and note[: len(note) // 3] for note in notes], {"note (characters)"}),
        (lambda notes: _notes(len(notes), GERMAN), {"note (known words)"}),
        (
            lambda notes: [None if row % 2 else note for row, note in enumerate(notes)],
            {"note (characters)", "note (known words)"},
        ),
    ],
    ids=["long", "short", "foreign", "missing"],
)
def test_texts_that_moved_are_found(change: Callable[[list[str | None]], list[str | None]], moved: set[str]) -> None:
    """Long and short texts are told by their characters, another language by its words, and gaps by both."""
    rows = _asked(change(_notes(1000)))
    assert moved <= {drift.name for drift in (compare(column, rows) for column in TEXTS.columns) if drift.psi > 0.2}


def test_the_profile_of_texts_is_small_and_holds_none() -> None:
    """No word of the training is in it, hashes of 128 at most are, and it survives JSON."""
    words = {word for note in _notes(4000, seed=1) for word in (note or "").split()}
    document = TEXTS.to_json()
    assert not words & set(re.findall(r"\w+", document))
    assert len(TEXTS.columns[1].words) <= 128
    assert len(document) < 5000
    assert DataProfile.from_json(document) == TEXTS


def test_texts_that_have_no_words() -> None:
    """An empty text is missing, one of signs alone has no word that is known, and accents are one with their letters."""
    characters, known = TEXTS.columns
    assert compare(known, _asked(["", None, "!?"])).missing_now == pytest.approx(2 / 3)
    assert compare(known, _asked(["!?"])).now[0] == 1.0
    assert shares_of(characters, ["e\u0301" * 60]) == shares_of(characters, ["\xe9" * 60])


def test_texts_of_an_endpoint(tmp_path: Path) -> None:
    """The report has both measures of a column, by their names, and the drift is of the one that moved."""
    drift = measure_drift(Collected(tmp_path, _asked(_notes(300, GERMAN)), profile=TEXTS), ENDPOINT)
    assert (drift.drifted, drift.unwatched) == (("note (known words)",), ())
    assert drift.columns[0].bins[-1] == "missing"
    for name in ("note (characters)", "note (known words)"):
        assert f"<h3>{name}<span" in drift_report(drift)


def test_a_profile_without_the_texts(tmp_path: Path) -> None:
    """A column that an earlier version left without a profile is named, on the page too; where there is no other, it says so."""
    old = json.loads(PROFILE.to_json()) | {"unwatched": ["note"]}
    for column in old["columns"]:
        del column["measure"], column["words"]
    profile = DataProfile.from_json(json.dumps(old))
    assert profile.columns == PROFILE.columns
    (tmp_path / "some").mkdir()
    drift = measure_drift(Collected(tmp_path / "some", _rows(300), profile=profile), ENDPOINT)
    assert (drift.unwatched, len(drift.columns)) == (("note",), 5)
    assert "not watched, since training left no profile of their texts: note" in drift_report(drift)
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidRequestError, match=r"model bank:2 has no column to watch, .*; train it again"):
        measure_drift(Collected(tmp_path / "none", _rows(300), profile=DataProfile(100, (), ("note",))), ENDPOINT)


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
