"""What fitting learns, and that it survives JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.errors import InvalidRequestError
from bankmlops.features import ColumnKind, ColumnSpecification, FeatureSpecification, encode_labels, fit, text_of

LABELS = numpy.array(["no", "yes"] * 50, dtype=object)


def _fit(**columns: Any) -> FeatureSpecification:
    return fit({**{name: numpy.asarray(values) for name, values in columns.items()}, "y": LABELS}, "y")


def _texts(values: list[str | None]) -> numpy.ndarray[Any, Any]:
    return numpy.array(values, dtype=object)


_NAMES = st.text(min_size=1, max_size=8)
_COLUMNS = st.one_of(
    st.builds(
        ColumnSpecification,
        _NAMES,
        st.sampled_from([ColumnKind.INTEGER, ColumnKind.NUMBER]),
        fill=st.floats(width=32, allow_nan=False, allow_infinity=False),
        nullable=st.booleans(),
        minimum=st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
        maximum=st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    st.builds(
        ColumnSpecification,
        _NAMES,
        st.just(ColumnKind.STRING),
        nullable=st.booleans(),
        parts=st.just(("year", "hour")),
        fills=st.just((2026.0, 11.5)),
    ),
    st.builds(
        ColumnSpecification,
        _NAMES,
        st.just(ColumnKind.STRING),
        nullable=st.booleans(),
        words=st.lists(_NAMES, min_size=1, max_size=4, unique=True).map(tuple),
    ),
    st.builds(
        ColumnSpecification,
        _NAMES,
        st.just(ColumnKind.INTEGER),
        categories=st.lists(st.integers(-9, 9).map(str), min_size=1, max_size=4, unique=True).map(tuple),
        nullable=st.booleans(),
    ),
    st.builds(
        ColumnSpecification,
        _NAMES,
        st.sampled_from([ColumnKind.STRING, ColumnKind.BOOLEAN]),
        categories=st.lists(st.text(max_size=5), max_size=4, unique=True).map(tuple),
        nullable=st.booleans(),
    ),
)
_SPECIFICATIONS = st.builds(
    FeatureSpecification,
    st.lists(_COLUMNS, min_size=1, max_size=5, unique_by=lambda column: column.name).map(tuple),
    _NAMES,
    st.lists(_NAMES, max_size=4, unique=True).map(tuple),
    st.lists(_NAMES, max_size=3).map(tuple),
)


@given(_SPECIFICATIONS)
@settings(max_examples=50, deadline=None)
def test_json_round_trip(specification: FeatureSpecification) -> None:
    """A specification read back from its JSON is equal, and is written as the same text."""
    text = specification.to_json()
    assert FeatureSpecification.from_json(text) == specification
    assert FeatureSpecification.from_json(text).to_json() == text
    assert len(specification.names) == specification.width == specification.fills.size


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"format": 2}', '{"format": 1}']
    + [
        f'{{"format": 1, "columns": {columns}, "label_column": "y", "classes": [], "dropped": []}}'
        for columns in (
            "[]",
            "[3]",
            '[{"name": "a", "kind": "date"}]',
            '[{"name": "a", "kind": "string", "words": []}]',
            '[{"name": "a", "kind": "number", "words": ["b"]}]',
            '[{"name": "a", "kind": "string", "words": ["b", "b"]}]',
            '[{"name": "a", "kind": "number", "fill": NaN}]',
            '[{"name": "a", "kind": "number", "fill": "many"}]',
            f'[{{"name": "a", "kind": "number", "fill": 1{"0" * 400}}}]',
            '[{"name": "a", "kind": "number", "fill": 1e39}]',
            '[{"name": "a", "kind": "number", "fill": 0}, {"name": "a", "kind": "integer", "fill": 0}]',
        )
    ],
)
def test_json_that_is_no_specification(text: str) -> None:
    """Anything else is refused in one line."""
    with pytest.raises(InvalidRequestError, match="feature specification: ") as caught:
        FeatureSpecification.from_json(text)
    assert "\n" not in str(caught.value)


def test_kinds() -> None:
    """Each column has the JSON type of its values."""
    spec = _fit(n=numpy.arange(100) % 7, x=numpy.arange(100) / 7, b=numpy.arange(100) % 2 == 0, t=_texts(["a", "b"] * 50))
    assert [str(column.kind) for column in spec.columns] == ["integer", "number", "boolean", "string"]
    assert spec.names == ("n", "x", "b=False", "b=True", "t=a", "t=b")
    assert spec.offsets == (0, 1, 2, 4)
    assert spec.classes == ("no", "yes")


def test_ranges_and_gaps() -> None:
    """Each column knows whether training saw a gap in it, and the least and the greatest of its numbers."""
    spec = _fit(x=numpy.array([1.5, numpy.nan, 4.0, 2.0] * 25), n=numpy.arange(100) % 7, t=_texts(["a", None] * 50))
    assert [(column.nullable, column.minimum, column.maximum) for column in spec.columns] == [
        (True, 1.5, 4.0),
        (False, 0.0, 6.0),
        (True, None, None),
    ]


def test_a_specification_of_an_older_version() -> None:
    """Where nobody knows whether there were gaps, null serves."""
    document = json.loads(_fit(n=numpy.arange(100) % 7).to_json())
    document["columns"] = [{name: document["columns"][0][name] for name in ("name", "kind", "fill")}]
    (column,) = FeatureSpecification.from_json(json.dumps(document)).columns
    assert (column.nullable, column.minimum, column.maximum) == (True, None, None)


def test_nothing_to_learn_from_is_dropped() -> None:
    """Constants, row numbers, identifiers and empty columns are left out by name."""
    spec = _fit(
        kept=numpy.arange(100) % 3,
        constant=numpy.ones(100),
        row=numpy.arange(1000, 1100),
        identifier=_texts([f"client {row}" for row in range(100)]),
        empty=_texts([None] * 100),
        always=_texts(["a"] * 100),
        nothing=numpy.full(100, numpy.nan),
    )
    assert [column.name for column in spec.columns] == ["kept"]
    assert spec.dropped == ("constant", "row", "identifier", "empty", "always", "nothing")


def test_missing_is_a_sign() -> None:
    """A column that has one value or none is kept: whether it is there may tell something."""
    spec = _fit(t=_texts(["a", None] * 50), x=numpy.array([1.0, numpy.nan] * 50))
    assert [column.name for column in spec.columns] == ["t", "x"]


def test_many_categories() -> None:
    """Of more than 64 categories the 63 most frequent are kept, and the rest share the row of zeros."""
    values = [f"c{row % 70:02}" for row in range(140)] + ["c69"] * 60
    labels = numpy.array(["no", "yes"] * 100, dtype=object)
    spec = fit({"t": _texts(list(values)), "y": labels}, "y")
    assert len(spec.columns[0].categories) == 63
    assert "c69" in spec.columns[0].categories
    assert spec.columns[0].categories == tuple(sorted(spec.columns[0].categories))


def test_fitting_does_not_depend_on_the_order_of_rows() -> None:
    """The same rows in another order give the same specification."""
    order = numpy.random.default_rng(5).permutation(100)
    columns = {"t": _texts([f"c{row % 5}" for row in range(100)]), "x": numpy.arange(100) / 3, "y": LABELS}
    assert fit(columns, "y").to_json() == fit({name: array[order] for name, array in columns.items()}, "y").to_json()


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"a": numpy.ones(2)}, "no label column 'y'; the columns are a"),
        ({"a": numpy.ones(2), "y": LABELS[:2]}, "no column to learn from"),
        ({"a": numpy.ones((2, 2)), "y": LABELS[:2]}, "column 'a': float64 where numbers, booleans or text would serve"),
        ({"a": numpy.array(["2024-01-01"] * 2, dtype="datetime64[D]"), "y": LABELS[:2]}, "column 'a': datetime64"),
        ({"a": _texts([{}, []]), "y": LABELS[:2]}, "a dict where a text, a number"),  # type: ignore[list-item]
    ],
)
def test_columns_that_can_not_be_fitted(columns: dict[str, Any], told: str) -> None:
    """What can't be fitted is named with what would serve."""
    with pytest.raises(InvalidRequestError) as caught:
        fit(columns, "y")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [_texts(["b", "a", "b"]), numpy.array([1, 0, 1]), numpy.array([2.5, 1.0, 2.5]), numpy.array([True, False, True])],
    ids=["text", "int", "float", "bool"],
)
def test_labels_are_numbered_in_the_order_of_classes(labels: numpy.ndarray[Any, Any]) -> None:
    """Labels of any kind become the index of their text among the sorted classes."""
    spec = fit({"x": numpy.array([1.0, 2.0, 3.0]), "y": labels}, "y")
    assert encode_labels(spec, labels).tolist() == [1, 0, 1]
    assert list(spec.classes) == sorted(spec.classes)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["no", "perhaps"], "row 1, label 'y': 'perhaps' where one of no, yes would serve"),
        (["no", "yes", None], "row 2, label 'y': missing; one of no, yes would serve"),
    ],
)
def test_labels_that_are_no_class(labels: list[str | None], told: str) -> None:
    """An unknown and a missing label are placed, with the classes that would serve."""
    with pytest.raises(InvalidRequestError) as caught:
        encode_labels(_fit(x=numpy.arange(100) / 7), _texts(labels))
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (numpy.int8(1), "1"),
        (numpy.float32(1), "1"),
        (0.1, "0.1"),
        (1e300, str(int(1e300))),
        (float("inf"), "inf"),
        (True, "True"),
        (numpy.bool_(False), "False"),
        ("1.0", "1.0"),
        (None, None),
        (float("nan"), None),
    ],
)
def test_text_of(value: object, text: str | None) -> None:
    """A value has one text, whatever library holds it."""
    assert text_of(value) == text


def test_json_keeps_letters_readable() -> None:
    """Categories of any script stand in the JSON as they are."""
    spec = _fit(t=_texts(["\u6f22", "caf\u00e9"] * 50))
    assert "\u6f22" in spec.to_json()
    assert json.loads(spec.to_json())["columns"][0]["categories"] == ["caf\u00e9", "\u6f22"]
