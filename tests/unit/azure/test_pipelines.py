"""What keeps a published pipeline immutable where Azure does not: the hash of its content, in its description."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from bankmlops.azure.content import content_hash
from bankmlops.azure.pipelines import _check, _mark, _marked, _published
from bankmlops.errors import InvalidRequestError
from bankmlops.types import AutoMLConfig, Dataset, PipelineConfig

DATASET = Dataset("bank", "1", 100, ("age", "y"), "y", "0" * 64)
CONFIG = PipelineConfig("bank-training", AutoMLConfig(dataset=DATASET, tags={"a": "1", "b": "2"}), "bank")


def _entity(description: str | None) -> SimpleNamespace:
    """A published pipeline as the SDK shows it."""
    return SimpleNamespace(id="1", name="n", version="1", endpoint="http://e", status="Active", description=description)


@pytest.mark.parametrize("description", ["for the contract", "", "with [brackets] and\nlines", "[bankmlops sha256:no mark]"])
def test_the_mark_is_invisible(description: str) -> None:
    """The description is read as it was given, and the hash is found behind it."""
    found = _entity(_marked(description, CONFIG))
    assert _mark(found)[0] == content_hash(CONFIG)
    assert _published(found).description == description


@pytest.mark.parametrize("description", ["somebody's own", "", None])
def test_others_have_no_mark(description: str | None) -> None:
    """A pipeline that was published by other means has no hash, so it equals none of ours."""
    assert _mark(_entity(description)) == ("", "")
    assert _published(_entity(description)).description == (description or "")


def test_marks_sort_by_time() -> None:
    """The later of two publications has the greater mark."""
    first, second = _entity(_marked("a", CONFIG)), _entity(_marked("b", CONFIG))
    assert _mark(first)[1] < _mark(second)[1]


def test_equal_content_has_an_equal_hash() -> None:
    """The order of tags and the moment of registration don't count; every other field does."""
    dataset = replace(DATASET, created=datetime.now(UTC))
    same = replace(CONFIG, automl=replace(CONFIG.automl, dataset=dataset, tags={"b": "2", "a": "1"}))
    assert content_hash(same) == content_hash(CONFIG)
    for other in (
        replace(CONFIG, model_name="other"),
        replace(CONFIG, automl=replace(CONFIG.automl, experiment_timeout_minutes=2.0)),
        replace(CONFIG, automl=replace(CONFIG.automl, dataset=replace(DATASET, version="2"))),
    ):
        assert content_hash(other) != content_hash(CONFIG)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"minimum_score": 0.9}, "minimum_score has no equivalent on Azure"),
        ({"name": "a/b"}, "pipeline's name"),
        ({"name": " "}, "pipeline's name"),
        ({"model_name": "two words"}, "model name"),
    ],
)
def test_what_cant_serve(changes: dict[str, object], words: str) -> None:
    """A gate, and names that Azure would not take, are refused before anything is made."""
    with pytest.raises(InvalidRequestError, match=words):
        _check(replace(CONFIG, **changes))  # type: ignore[arg-type]
