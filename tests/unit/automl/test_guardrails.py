"""What guardrails find in tables that have one thing wrong each, and what a column is worth."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from bankmlops.automl import guardrails
from bankmlops.automl.findings import Finding, Status
from bankmlops.automl.folds import assign_folds
from bankmlops.automl.guardrails import Guardrails, examine
from bankmlops.automl.known_tables import BANK_MARKETING
from bankmlops.automl.leakage import area_alone, baseline_probabilities, grouped, measure_worth
from bankmlops.automl.preparation import Preparation
from bankmlops.automl.table import prepare
from bankmlops.errors import InvalidRequestError
from bankmlops.features import encode_labels, fit, matrix_from_columns
from bankmlops.types import ColumnPurpose, Featurization
from unit.automl.tables import columns, config

Array = numpy.ndarray[Any, Any]


def _examine(table: dict[str, Array], *, folds: bool = True) -> Guardrails:
    specification = fit(table, "y")
    labels = encode_labels(specification, table["y"])
    return examine(table, specification, labels, assign_folds(labels, 5, 0) if folds else None)


def _finding(found: Guardrails, name: str) -> Finding:
    return next(finding for finding in found.findings if finding.name == name)


def _clean(rows: int = 400) -> dict[str, Array]:
    """Three numbers and nothing wrong."""
    generator = numpy.random.default_rng(1)
    numbers = generator.normal(size=(rows, 3))
    labels = numpy.where(numbers[:, 0] + generator.normal(size=rows) > 0, "yes", "no").astype(object)
    return {"a": numbers[:, 0], "b": numbers[:, 1], "c": numbers[:, 2], "y": labels}


def test_a_clean_table_passes() -> None:
    """Where nothing is wrong, every guardrail has passed."""
    found = _examine(_clean())
    assert {finding.status for finding in found.findings} == {Status.PASSED}
    assert len(found.findings) == 9
    assert (found.suspects, found.known_table) == ((), "")


def test_the_majority_baseline() -> None:
    """The majority class' share is the accuracy of always answering it, and a rare class alerts."""
    table = _clean()
    table["y"] = numpy.array(["no"] * 360 + ["yes"] * 40, dtype=object)
    found = _examine(table)
    assert (found.majority_class, found.majority_share) == ("no", 0.9)
    balance = _finding(found, "Class balance")
    assert balance.status is Status.ALERTED
    assert "accuracy of 0.9000" in balance.description


def test_missing_values_say_how_they_are_filled() -> None:
    """Each column with gaps has its share, and the median that fills them is named."""
    found = _finding(_examine(columns(600, 2)), "Missing values")
    median = fit(columns(600, 2), "y").columns[0].fill
    assert found.status is Status.DONE
    assert set(found.columns) == {"number", "text"}
    assert f"number with {median:g}" in found.action
    assert "none of their column's categories" in found.action


def test_many_texts() -> None:
    """A text column with more values than are told apart is named, with what happens to the rest."""
    table = _clean()
    table["city"] = numpy.array([f"city {row % 150}" for row in range(400)], dtype=object)
    found = _finding(_examine(table), "High cardinality")
    assert (found.status, found.columns) == (Status.DONE, ("city",))
    assert "city 150 values" in found.description
    assert "63 most frequent" in found.action


def test_dropped_columns_say_why() -> None:
    """Constants and identifiers are told apart."""
    table = _clean() | {
        "same": numpy.ones(400),
        "id": numpy.arange(400),
        "name": numpy.array([f"n{n}" for n in range(400)], object),
    }
    found = _finding(_examine(table), "Columns without information")
    assert (found.status, set(found.columns)) == (Status.DONE, {"same", "id", "name"})
    assert "constant: same; identifiers: id, name" in found.description


def test_duplicates_contradictions_and_folds() -> None:
    """Repeated rows, twins with another label, and twins on both sides of a split are each counted."""
    clean = _clean()
    table = {name: numpy.concatenate([array, array[:40]]) for name, array in clean.items()}
    table["y"][400:410] = numpy.where(table["y"][400:410] == "yes", "no", "yes")
    specification = fit(table, "y")
    labels = encode_labels(specification, table["y"])
    folds = numpy.zeros(440, dtype=numpy.int8)
    folds[400:405] = 1
    found = examine(table, specification, labels, folds)
    assert _finding(found, "Duplicate rows").description.startswith("30 rows")
    assert _finding(found, "Contradicting rows").description.startswith("20 rows")
    assert _finding(found, "Duplicates across folds").description.startswith("10 held-out rows")
    names = ("Duplicate rows", "Contradicting rows", "Duplicates across folds")
    assert {_finding(found, name).status for name in names} == {Status.ALERTED}


def test_judged_rows_that_were_all_trained_on(tmp_path: Path) -> None:
    """A validation dataset of rows that the training data has is alerted of, however few they are beside that."""
    table = columns(30_000, 2)
    validation = {name: array[:: len(array) // 100] for name, array in table.items()}
    asked = config(table)
    prepared = prepare(table, asked, validation)
    finding = _finding(Preparation(prepared, asked.dataset, tmp_path, 0.0).guardrails, "Duplicates across folds")
    assert finding.status is Status.ALERTED
    assert finding.description.startswith("100 held-out rows")
    assert "(100.00%)" in finding.description
    other = columns(120, 2, seed=1)
    new = {name: array[numpy.isfinite(other["number"])] for name, array in other.items()}
    preparation = Preparation(prepare(table, asked, new), asked.dataset, tmp_path, 0.0)
    assert _finding(preparation.guardrails, "Duplicates across folds").status is Status.PASSED


def test_without_folds_nothing_is_said_of_them() -> None:
    """The guardrail of folds is there only where there are folds."""
    assert "Duplicates across folds" not in {finding.name for finding in _examine(_clean(), folds=False).findings}


@pytest.mark.parametrize("as_text", [False, True])
def test_a_column_that_is_the_label(as_text: bool) -> None:
    """A column that follows from the label is a suspect, as a number or as text."""
    table = _clean()
    is_yes = table["y"] == "yes"
    table["outcome"] = numpy.where(is_yes, "won", "lost").astype(object) if as_text else is_yes * 3.0 + table["b"] / 100
    found = _examine(table)
    assert _finding(found, "Leakage").status is Status.ALERTED
    assert found.suspects == ("outcome",)
    assert found.alone[0][0] == "outcome"


def test_identifiers_say_nothing_alone() -> None:
    """A value of its own a row doesn't look like a leak, though it tells every row apart."""
    labels = numpy.sort(numpy.random.default_rng(0).integers(0, 3, 500))
    assert area_alone(numpy.arange(500), labels, 3) == 0.5


def test_the_area_is_that_of_the_ranks() -> None:
    """On a plain number it is about the area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    generator = numpy.random.default_rng(0)
    labels = generator.integers(0, 2, 20_000)
    numbers = generator.normal(size=20_000) + labels
    assert area_alone(grouped(numbers), labels, 2) == pytest.approx(roc_auc_score(labels, numbers), abs=0.01)


def test_numbers_stored_as_text() -> None:
    """A text column that is numbers but for a few is named, with the texts that are none."""
    table = _clean()
    table["balance"] = numpy.array([str(row / 7) if row % 20 else "n/a" for row in range(400)], dtype=object)
    table["job"] = numpy.array(["clerk", "nan", "7"] * 133 + ["clerk"], dtype=object)
    found = _finding(_examine(table), "Numbers stored as text")
    assert (found.status, found.columns) == (Status.ALERTED, ("balance",))
    assert "'n/a'" in found.description


@pytest.mark.parametrize(("distinct", "is_left_out"), [(400, True), (90, False)])
def test_what_becomes_of_numbers_stored_as_text(distinct: int, is_left_out: bool) -> None:
    """Where hardly two are alike the column is left out, and said to be; else each number is a category, and said to be one."""
    table = _clean()
    table["balance"] = numpy.array([str(row % distinct / 7) if row % 100 else "n/a" for row in range(400)], dtype=object)
    found = _examine(table)
    action = _finding(found, "Numbers stored as text").action
    assert ("balance" in _finding(found, "Columns without information").columns) is is_left_out
    assert ("Left out: balance." in action) is is_left_out
    assert ("Each number counts as a category." in action) is not is_left_out
    assert "until then `--numeric-columns` refuses it, and says for which row" in action
    with pytest.raises(InvalidRequestError, match="column 'balance', row 0: 'n/a' is no number"):
        prepare(table, config(table, featurization=Featurization(column_purposes={"balance": ColumnPurpose.NUMERIC})))


@pytest.mark.parametrize("others", [["k.A."], []])
def test_decimal_commas_stored_as_text(others: list[str]) -> None:
    """A column of decimal commas that is left out as an identifier is named, with how they would be read."""
    table = _clean()
    table["price"] = numpy.array([*(f"1.{row},5" for row in range(100, 500 - len(others))), *others], dtype=object)
    found = _examine(table)
    assert "identifiers: price" in _finding(found, "Columns without information").description
    numbers = _finding(found, "Numbers stored as text")
    assert (numbers.status, numbers.columns) == (Status.ALERTED, ("price",))
    assert "Decimal commas (1.234,5) are read where semicolons divide the fields" in numbers.action


@pytest.mark.parametrize("pattern", ["{:02}.{:02}.{}", "{}/{}/{}", "{:02}-{:02}-{} 12:30"])
def test_dates_that_are_not_read(pattern: str) -> None:
    """A column of dates as a country writes them is named, with an example and the spelling that is read."""
    table = _clean()
    table["day"] = numpy.array([pattern.format(row % 28 + 1, row % 12 + 1, 1980 + row % 40) for row in range(400)], dtype=object)
    table["release"] = numpy.array([f"1.{row % 9}.{row % 30}" for row in range(400)], dtype=object)
    found = _finding(_examine(table), "Dates stored as text")
    assert (found.status, found.columns) == (Status.ALERTED, ("day",))
    assert repr(table["day"][0]) in found.description
    assert "2026-01-31" in found.action


def test_classes_that_differ_in_case_or_blanks() -> None:
    """Spellings of what may be one class are named, each with its rows; balanced classes alert for that alone."""
    table = _clean()
    table["y"] = numpy.array(["Ja", "nein", "ja", "nein "] * 100, dtype=object)
    found = _finding(_examine(table), "Class balance")
    assert found.status is Status.ALERTED
    assert "'Ja' (100 rows) and 'ja' (100 rows), 'nein' (100 rows) and 'nein ' (100 rows)" in found.description
    assert found.action == "Each spelling is a class of its own: write them alike if they mean the same."


def test_what_was_asked_to_be_left_out_is_no_finding() -> None:
    """A specification may drop columns that are not in the table any more."""
    table = _clean()
    specification = replace(fit(table, "y"), dropped=("gone",))
    found = examine(table, specification, encode_labels(specification, table["y"]))
    assert _finding(found, "Columns without information").status is Status.PASSED


def _bank() -> dict[str, Array]:
    generator = numpy.random.default_rng(2)
    table: dict[str, Array] = {name: generator.normal(size=500) for name in sorted(BANK_MARKETING.columns)}
    noise = generator.normal(scale=0.7, size=500)
    table["y"] = numpy.where(table["duration"] + noise > 1, "yes", "no").astype(object)
    return table


def test_duration_of_bank_marketing() -> None:
    """The table is recognised by its columns, and `duration` is said not to be known before the call; without it nothing is."""
    table = _bank()
    found = _examine(table)
    assert found.known_table == "Bank Marketing (UCI)"
    late = _finding(found, "Not known in time")
    assert (late.status, late.columns, found.suspects) == (Status.ALERTED, ("duration",), ("duration",))
    assert "not known before the call" in late.description
    del table["duration"]
    assert not _examine(table).known_table


@pytest.mark.slow
def test_what_duration_is_worth() -> None:
    """A model without the column that the label follows from is worse than one with it, and both stand next to the baseline."""
    table = _bank()
    specification = fit(table, "y")
    labels = encode_labels(specification, table["y"])
    matrix, folds = matrix_from_columns(specification, table), assign_folds(labels, 5, 0)
    worth = measure_worth("duration", specification, matrix, labels, folds, deadline=time.monotonic() + 60)
    assert worth is not None
    assert worth.rows == 200
    assert worth.with_it["AUC_weighted"] > worth.without_it["AUC_weighted"] + 0.2
    assert worth.baseline["accuracy"] == pytest.approx((table["y"] == "no").mean(), abs=0.01)
    assert worth.baseline["AUC_weighted"] == 0.5
    assert json.loads(json.dumps(worth.to_dict()))["column"] == "duration"
    assert measure_worth("duration", specification, matrix, labels, folds, deadline=time.monotonic()) is None


@pytest.mark.slow
def test_duration_is_told_before_training(tmp_path: Path) -> None:
    """JSON and HTML are there before a trial ends; then they have the score with `duration`, without it, and the majority's."""
    table = _bank()
    asked = config(table)
    preparation = Preparation(prepare(table, asked), asked.dataset, tmp_path, time.monotonic() + 60)
    first = json.loads((tmp_path / "guardrails.json").read_text())
    assert (first["worth"], first["suspects"]) == ([], ["duration"])
    assert "not known before the call" in (tmp_path / "guardrails.html").read_text()
    preparation.start()
    preparation.finish()
    document, page = ((tmp_path / f"guardrails.{suffix}").read_text() for suffix in ("json", "html"))
    (worth,) = json.loads(document)["worth"]
    majority = json.loads(document)["majority_share"]
    assert majority == pytest.approx((table["y"] == "no").mean())
    assert worth["baseline"]["accuracy"] == pytest.approx(majority, abs=0.02)
    assert "What duration is worth" in page
    for name in ("with_it", "without_it", "baseline"):
        assert all(f"{worth[name][metric]:.4f}" in page for metric in ("accuracy", "AUC_weighted", "log_loss"))


def test_a_large_table_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a table with more rows than are examined, as many are, and both counts are told."""
    monkeypatch.setattr(guardrails, "MAXIMUM_EXAMINED", 150)
    found = _examine(_clean())
    assert (found.rows, found.examined) == (400, 150)


def test_findings_are_json() -> None:
    """The whole is JSON with plain words for each status, for many classes too."""
    document = json.loads(_examine(columns(300, 4)).to_json())
    assert {finding["status"] for finding in document["findings"]} <= {"passed", "done", "alerted"}
    assert 0 < document["majority_share"] < 1


def test_the_baseline_is_the_shares() -> None:
    """Every row has the classes' shares as its probabilities."""
    found = baseline_probabilities(numpy.array([0, 0, 0, 1]))
    assert found.tolist() == [[0.75, 0.25]] * 4
