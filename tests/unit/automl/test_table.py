"""The table as a run works on it: which rows are held out, how columns are taken, which class counts as positive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy
import pytest

from bankmlops.automl import sampling
from bankmlops.automl.folds import IN_EVERY_FIT, IN_NO_FIT, choose_folds, held_out_folds, hold_out
from bankmlops.automl.guardrails import examine
from bankmlops.automl.table import Table, prepare
from bankmlops.errors import InvalidRequestError
from bankmlops.features import ColumnKind, ColumnSpecification, matrix_from_rows
from bankmlops.types import ColumnPurpose, Featurization, FeaturizationMode
from unit.automl.tables import columns, config

ROWS = 200
TABLE = columns(ROWS, 2)
OTHER = columns(50, 2, seed=1)


def _prepare(**fields: Any) -> Table:
    return prepare(TABLE, config(TABLE, **fields))


def _validated(other: dict[str, Any]) -> Table:
    asked = config(TABLE)
    return prepare(TABLE, replace(asked, validation_dataset=asked.dataset), other)


@pytest.mark.parametrize(("rows", "folds"), [(999, 10), (1_000, 5), (200_000, 5)])
def test_folds_by_the_rows(rows: int, folds: int) -> None:
    """Where nothing is asked for there are ten folds below a thousand rows, and five from there on."""
    assert held_out_folds(choose_folds(numpy.arange(rows) % 2, config(TABLE))) == tuple(range(folds))


def test_a_holdout_of_very_many_rows() -> None:
    """Above two hundred thousand rows a tenth is held out."""
    assert (choose_folds(numpy.arange(200_001) % 2, config(TABLE)) == 0).sum() == 20_000


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_a_holdout(share: float) -> None:
    """A share of each class' rows is held out, at least a row; and each class has a row that is not."""
    labels = numpy.repeat([0, 1, 2], [150, 40, 2])
    folds = hold_out(labels, share, 7)
    assert (folds == hold_out(labels, share, 7)).all()
    assert (folds == 0).any()
    assert set(labels[folds == IN_EVERY_FIT]) == {0, 1, 2}
    for code, count in enumerate(numpy.bincount(labels)):
        assert abs(int((folds[labels == code] == 0).sum()) - share * count) <= 1


def test_a_share_is_scored() -> None:
    """With `validation_size` the scores are of the rows held out alone, and the others are in every fit."""
    table = _prepare(validation_size=0.2)
    assert (len(table.scored), table.fold_count, table.judged) == (40, 5, "40 rows held out")
    assert (table.scored_labels == table.labels[table.folds == 0]).all()
    assert (table.scored_matrix == table.matrix[table.folds == 0]).all()
    assert len(numpy.unique(table.crossed_folds)) == 5


def test_a_validation_dataset() -> None:
    """Its rows come last, are scored, are in no fit, and the features know nothing of them."""
    table = _validated(OTHER)
    assert (table.folds[:ROWS] == IN_EVERY_FIT).all()
    assert (table.folds[ROWS:] == IN_NO_FIT).all()
    assert table.judged == "the 50 rows of the validation dataset"
    assert table.specification == _prepare().specification
    assert len(table.columns["whole"]) == len(table.matrix) == ROWS + 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"whole": None}, "validation_dataset has no column 'whole'"),
        ({"whole": numpy.array(["a"] * 50, dtype=object)}, "column 'whole' holds text where the training data has numbers"),
        ({"y": numpy.array(["class 0"] * 50, dtype=object)}, "the 50 rows of the validation dataset, all of a single class"),
        ({"y": numpy.array(["class 9"] * 50, dtype=object)}, "'class 9' where one of class 0, class 1 would serve"),
    ],
)
def test_a_validation_dataset_that_does_not_fit(change: dict[str, Any], message: str) -> None:
    """A missing column, another kind, a class alone or one that training lacks: one line says so."""
    other = {name: array for name, array in {**OTHER, **change}.items() if array is not None}
    with pytest.raises(InvalidRequestError, match=message):
        _validated(other)


def test_the_positive_class_is_the_second() -> None:
    """The class that metrics and curves are of comes second, whatever its name."""
    assert _prepare().specification.classes == ("class 0", "class 1")
    table = _prepare(positive_label="class 0")
    assert table.positive == 1
    assert table.specification.classes == ("class 1", "class 0")
    assert (table.labels == (TABLE["y"] == "class 0")).all()


def test_one_of_many_classes_is_positive() -> None:
    """More than two classes keep their order, and the table knows which one is judged against the rest, if one is."""
    table = columns(60, 3)
    assert prepare(table, config(table)).positive is None
    asked = prepare(table, config(table, positive_label="class 1"))
    assert (asked.specification.classes, asked.positive) == (("class 0", "class 1", "class 2"), 1)


def test_a_positive_class_that_can_not_be() -> None:
    """A class that is not there is refused, with those that are."""
    with pytest.raises(InvalidRequestError, match="'class 7' is no class of label 'y'; choose from class 0, class 1"):
        _prepare(positive_label="class 7")


def test_columns_left_out() -> None:
    """A dropped or ignored column is no feature, and a row may bring it all the same."""
    table = _prepare(featurization=Featurization(drop_columns=("whole",), column_purposes={"text": ColumnPurpose.IGNORE}))
    specification = table.specification
    assert [column.name for column in specification.columns] == ["number", "flag"]
    assert set(specification.dropped) == {"whole", "text"}
    matrix_from_rows(specification, [{"number": 1.0, "flag": True, "whole": 3, "text": "red"}])


def test_text_as_numbers() -> None:
    """A text column whose purpose is Numeric is numbers; a text that is none is refused with its row."""
    numbers = [None if row % 9 == 0 else f"{row / 2}" for row in range(ROWS)]
    purposes = Featurization(column_purposes={"text": ColumnPurpose.NUMERIC})
    table = {**TABLE, "text": numpy.array(numbers, dtype=object)}
    specification = prepare(table, config(table, featurization=purposes)).specification
    assert next(column.kind.is_numeric for column in specification.columns if column.name == "text")
    table["text"][4] = "many"
    with pytest.raises(InvalidRequestError, match="column 'text', row 4: 'many' is no number"):
        prepare(table, config(table, featurization=purposes))


def test_numbers_as_categories() -> None:
    """A column of numbers whose purpose is Categorical has a column of the matrix for each, in training and for a row."""
    table = _prepare(featurization=Featurization(column_purposes={"whole": ColumnPurpose.CATEGORICAL}))
    column = next(column for column in table.specification.columns if column.name == "whole")
    assert (column.kind, column.width) == (ColumnKind.INTEGER, len(set(TABLE["whole"].tolist())))
    row = {name: None if value != value else value for name, value in table.example.items()}  # noqa: PLR0124
    assert (matrix_from_rows(table.specification, [row])[0] == table.matrix[0]).all()


def test_dates() -> None:
    """A column of dates is one by itself, and may be asked to be; Categorical keeps it whole; a text that is none is refused."""
    table = {**TABLE, "text": numpy.array([f"2026-01-{1 + row % 28:02}" for row in range(ROWS)], dtype=object)}

    def column(purpose: ColumnPurpose | None) -> ColumnSpecification:
        purposes = {} if purpose is None else {"text": purpose}
        specification = prepare(table, config(table, featurization=Featurization(column_purposes=purposes))).specification
        return next(column for column in specification.columns if column.name == "text")

    assert column(None).parts == column(ColumnPurpose.DATETIME).parts == ("day", "dayofweek", "dayofyear")
    assert len(column(ColumnPurpose.CATEGORICAL).categories) == 28
    table["text"][4] = "soon"
    with pytest.raises(InvalidRequestError, match="column 'text', row 4: 'soon' is no DateTime; a date such as"):
        column(ColumnPurpose.DATETIME)


def test_texts() -> None:
    """Texts of which hardly two are alike are left out, and read for their words where the purpose is Text."""
    note = numpy.array([f"row {row} is {'paid' if row % 3 else 'due'}" for row in range(ROWS)], dtype=object)
    table = {**TABLE, "text": note}
    assert "text" in prepare(table, config(table)).specification.dropped
    asked = prepare(table, config(table, featurization=Featurization(column_purposes={"text": ColumnPurpose.TEXT})))
    (column,) = [column for column in asked.specification.columns if column.name == "text"]
    assert {"paid", "due"} <= set(column.words)
    paid = asked.matrix[:, asked.specification.names.index("text~paid")]
    assert paid.tolist() == [float(bool(row % 3)) for row in range(ROWS)]
    (finding,) = [found for found in examine(asked.columns, asked.specification, asked.labels).findings if found.name == "Texts"]
    assert finding.columns == ("text",)


@pytest.mark.parametrize(
    ("name", "purpose", "message"),
    [
        ("flag", ColumnPurpose.NUMERIC, "true and false"),
        ("whole", ColumnPurpose.DATETIME, "can't be DateTime"),
        ("whole", ColumnPurpose.TEXT, "can't be Text"),
        ("flag", ColumnPurpose.TEXT, "can't be Text"),
    ],
)
def test_a_purpose_that_a_column_can_not_have(name: str, purpose: ColumnPurpose, message: str) -> None:
    """What can't be taken so is refused in one line."""
    with pytest.raises(InvalidRequestError, match=f"column '{name}'.*{message}"):
        _prepare(featurization=Featurization(column_purposes={name: purpose}))


def test_no_featurization() -> None:
    """Off takes numbers and booleans without gaps as they are, and refuses anything else by column."""
    off = Featurization(FeaturizationMode.OFF)
    plain = {name: TABLE[name] for name in ("whole", "flag", "y")}
    assert prepare(plain, config(plain, featurization=off)).matrix.shape == (ROWS, 3)
    for name, message in (("text", "column 'text' holds text"), ("number", "column 'number', row .* a gap")):
        table = {**plain, name: TABLE[name]}
        with pytest.raises(InvalidRequestError, match=message):
            prepare(table, config(table, featurization=off))


def test_a_large_table_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more rows than its minutes allow a run looks at a sample: each class keeps its share, a rare one a row."""
    monkeypatch.setattr(sampling, "FEWEST_ROWS", 500)
    monkeypatch.setattr(sampling, "ROWS_A_MINUTE", 600)
    table = columns(3000, 2)
    table["y"][0] = "rare"
    table["y"][1:1000] = "often"
    asked = config(table, experiment_timeout_minutes=0.1)
    sample = prepare(table, asked)
    assert (len(sample.labels), sample.sampled_from) in ((500, 3000), (501, 3000))
    counts = dict(zip(sample.specification.classes, numpy.bincount(sample.labels), strict=True))
    assert counts["rare"] == 1
    assert counts["often"] == pytest.approx(500 * 999 / 3000, abs=1)
    assert prepare(table, asked).fingerprint == sample.fingerprint
    assert prepare(table, config(table, experiment_timeout_minutes=5.0)).sampled_from == 0


def test_a_wide_table_is_sampled_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and features together are bounded before there is a matrix; what is too wide for that is refused."""
    table = columns(3000, 2) | {"city": numpy.array([f"city {row % 60}" for row in range(3000)], dtype=object)}
    monkeypatch.setattr(sampling, "MOST_CELLS", 40_000)
    monkeypatch.setattr(sampling, "FEWEST_WIDE_ROWS", 500)
    sample = prepare(table, config(table))
    width = sample.specification.width
    assert (len(sample.labels), sample.sampled_from) == (40_000 // width, 3000)
    assert sample.matrix.shape == (40_000 // width, width)
    assert prepare(table, config(table)).fingerprint == sample.fingerprint
    asked = config(table)
    with pytest.raises(InvalidRequestError, match=r"validation_dataset: 3,000 rows of 6. features"):
        prepare(table, replace(asked, validation_dataset=asked.dataset), table)
    monkeypatch.setattr(sampling, "FEWEST_WIDE_ROWS", 1000)
    with pytest.raises(
        InvalidRequestError,
        match=r"3,000 rows of 6. features .* \(drop_columns; the widest: city 60, text 3, .*or at most 5.. rows",
    ):
        prepare(table, asked)
