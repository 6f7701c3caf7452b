"""The gate and the curves: what counts as better, and what is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError, RunFailedError
from bankmlops.online.gate import check_champion, check_gate
from bankmlops.online.report import OnlineReport, alone, check_name, read_report, write_report
from bankmlops.online.scores import CHALLENGER, LEAST_ROWS, Comparison, PolicyScore, compare, curves, losses
from bankmlops.types import Model

BETTER = Comparison(100, 0.9, 0.3, 0.6, 0.5)


def _report(comparison: Comparison, champion: str = "") -> OnlineReport:
    scores = (PolicyScore(CHALLENGER, 10, 0.3, 0.9, 0.8),)
    return OnlineReport("nightly", 10, 10, (5,), scores, comparison, "run", "print", champion)


def test_losses() -> None:
    """The log loss of each row; one that was sure and wrong is bounded."""
    assert losses(numpy.array([1, 0, 1]), numpy.array([0.5, 0.5, 0.0])) == pytest.approx([0.6931, 0.6931, 13.8155], abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "said", "better"),
    [(400, (0.7, 0.4), True), (8, (0.7, 0.4), False), (400, (0.5, 0.5), False), (400, (0.4, 0.4), False)],
)
def test_only_what_is_no_chance_is_better(rows: int, said: tuple[float, float], better: bool) -> None:
    """A gain has to be larger than what so many rows may show by chance; the champion says 0.5, the challenger `said` in turn."""
    labels = numpy.ones(rows, dtype=int)
    found = compare(labels, numpy.full(rows, 0.5), numpy.tile(said, rows // 2))
    assert found.is_better == better
    if better:
        check_gate(_report(found))
    else:
        with pytest.raises(RunFailedError, match="no model was registered"):
            check_gate(_report(found))


def test_nothing_to_compare() -> None:
    """No row, or one, shows nothing."""
    for rows in (0, 1):
        assert not compare(numpy.ones(rows, dtype=int), numpy.full(rows, 0.1), numpy.full(rows, 0.9)).is_better


@pytest.mark.parametrize("rows", [2, LEAST_ROWS - 1])
def test_few_rows_say_nothing(rows: int) -> None:
    """However much better the challenger is on them all; the message says how many there are, and how many would serve."""
    found = compare(numpy.ones(rows, dtype=int), numpy.linspace(0.1, 0.2, rows), numpy.full(rows, 0.9))
    assert found.at_least > 0
    assert not found.is_better
    with pytest.raises(
        RunFailedError, match=rf"^{rows} labels were scored against a model of its warm-up.*; 100 or more would serve"
    ):
        check_gate(_report(found))


@pytest.mark.parametrize(
    ("champion", "present"), [("", None), ("bank:1", None), ("bank:2", Model("bank", "2", "AutoML_2")), ("other:7", None)]
)
def test_the_champion_that_it_replaces(champion: str, present: Model | None) -> None:
    """Where it was compared with that, or where there is none yet, it may go on."""
    check_champion(_report(BETTER, champion), present)


@pytest.mark.parametrize(
    ("champion", "compared", "fresh"),
    [
        ("", "a model of its warm-up", ""),
        ("bank:1", "bank:1", ""),
        ("other:1", "other:1", " --fresh"),
        ("bank:12", "bank:12", " --fresh"),
    ],
)
def test_another_champion(champion: str, compared: str, fresh: str) -> None:
    """A challenger that was compared with another model than the present champion is refused, with the words that would serve."""
    message = rf"with {compared}, and would replace bank:2: .*`bankmlops online run nightly --model bank{fresh}`"
    with pytest.raises(ConflictError, match=message):
        check_champion(_report(BETTER, champion), Model("bank", "2", "AutoML_2"))


def test_minimum_score() -> None:
    """A challenger that ranks too badly goes no further, however bad the champion is."""
    check_gate(_report(BETTER), 0.8)
    with pytest.raises(RunFailedError, match=r"below the gate of 0\.81"):
        check_gate(_report(BETTER), 0.81)


def test_curves_are_of_the_newest_rows() -> None:
    """Each point is the mean over the window that ends there."""
    labels = numpy.ones(500, dtype=int)
    answers = numpy.stack([numpy.repeat([0.9, 0.1], 250)] * 3)
    found = curves(labels, answers, 100)
    accuracy = dict(found["prequential_accuracy_champion"])
    assert (accuracy[100], accuracy[250], accuracy[300], accuracy[500]) == (1.0, 1.0, 0.5, 0.0)
    assert curves(labels[:0], answers[:, :0], 100)["prequential_log_loss_periodic"] == ()


def test_a_report_is_kept(tmp_path: Path) -> None:
    """It is read as it was written; one that is not there, or damaged, is said to be that."""
    report = replace(_report(BETTER, "bank:1"), new_champions=(3, 7))
    with pytest.raises(NotFoundError):
        read_report(tmp_path)
    write_report(tmp_path, report)
    assert read_report(tmp_path) == report
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InvalidRequestError, match="damaged"):
        read_report(tmp_path)


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second process that works on the same name is told so."""
    with alone(tmp_path / "bank"), pytest.raises(ConflictError, match="another process"), alone(tmp_path / "bank"):
        pass
    assert (tmp_path / "bank").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 61, "-x"])
def test_names(name: str) -> None:
    """A name that is no folder's or no experiment's is refused."""
    with pytest.raises(InvalidRequestError, match="online run name"):
        check_name(name)
