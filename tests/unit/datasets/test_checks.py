"""A table that no classifier can be learnt from is refused in one line."""

from __future__ import annotations

import pyarrow as pa
import pytest

from bankmlops.datasets import check_for_test, check_for_training
from bankmlops.errors import InvalidRequestError


def _table(labels: list[object], **columns: list[object]) -> pa.Table:
    return pa.table({"age": list(range(len(labels))), **columns, "y": labels})


def _message(table: pa.Table, label: str = "y") -> str:
    with pytest.raises(InvalidRequestError) as caught:
        check_for_training(table, label, "bank.csv")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("bank.csv")
    return message


@pytest.mark.parametrize("labels", [["no", "yes"] * 25, [0, 1] * 25, [True, False] * 25, [1.0, 2.0, 3.0] * 20])
def test_what_serves(labels: list[object]) -> None:
    """Texts, numbers and booleans, two classes or more, fifty rows or more are labels."""
    check_for_training(_table(labels), "y", "bank.csv")


def test_label_that_is_nearly_right() -> None:
    """A label column that isn't there is answered with the name that comes close."""
    message = _message(pa.table({"age": [1] * 60, "outcome": ["no", "yes"] * 30}), "outcme")
    assert message == "bank.csv: no label column 'outcme'; did you mean 'outcome'"


def test_label_that_is_nowhere() -> None:
    """Where no name comes close, the columns are listed, ten at most."""
    message = _message(pa.table({f"column{number}": [1] * 60 for number in range(15)}), "zzz")
    assert "the columns are column0, " in message
    assert message.endswith("column9 and 5 more")


@pytest.mark.parametrize("rows", [1, 49])
def test_too_few_rows(rows: int) -> None:
    """Fewer than fifty rows are too few."""
    assert _message(_table((["no", "yes"] * 25)[:rows])) == f"bank.csv: {rows} rows; at least 50 would serve"


def test_label_alone() -> None:
    """A label without a feature has nothing to be learnt from."""
    assert "the label 'y' is the only column; at least one feature" in _message(pa.table({"y": ["no", "yes"] * 30}))


def test_rows_without_a_label() -> None:
    """Missing labels are counted and the first is placed."""
    message = _message(_table(["no", "yes", None] * 20))
    assert "label 'y': 20 rows have no label (the first is data row 3); fill them in or leave these rows out" in message


def test_single_class() -> None:
    """One class is none to tell apart."""
    assert "label 'y': a single class, 'no'; at least two would serve" in _message(_table(["no"] * 60))


def test_too_many_classes() -> None:
    """More than a hundred classes are most likely the wrong column."""
    message = _message(_table([f"client {row // 5}" for row in range(505)]))
    assert "label 'y': 101 classes; at most 100 would serve" in message
    check_for_training(_table([f"client {row // 5}" for row in range(500)]), "y", "bank.csv")


def test_class_with_hardly_a_row() -> None:
    """A class that can't be in each fold is named."""
    message = _message(_table(["no"] * 60 + ["perhaps"] * 4 + ["yes"] * 60))
    assert "the class 'perhaps' has 4 rows; at least 5 a class would serve" in message


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], "no row; at least one of each of two classes would serve"),
        (["no"] * 3, "3 rows, all of the class 'no'; a second class would serve"),
        (["no", None], "1 rows have no label"),
    ],
)
def test_what_no_model_can_be_judged_on(labels: list[object], expected: str) -> None:
    """A test wants a row of two classes each, and all labels; it may be as small as that."""
    with pytest.raises(InvalidRequestError, match=f"^test.*{expected}"):
        check_for_test(_table(labels), "y", "test")
    check_for_test(_table(["no", "yes"]), "y", "test")
