"""Fits on all rows: finer steps than the search's, several seeds where there is time, and bounds on what comes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from bankmlops.automl import refit
from bankmlops.automl.algorithms import algorithm_named
from bankmlops.automl.attempt import Contender
from bankmlops.automl.executor import ProcessExecutor
from bankmlops.automl.proposals import Proposal
from bankmlops.automl.refit import FINER_STEPS, MAXIMUM_FITS, Member, Refit
from bankmlops.automl.results import Trial
from bankmlops.automl.tasks import FitTask
from bankmlops.types import RunStatus
from support.executors import ROWS, small_executor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def executor(folder: Path) -> Iterator[ProcessExecutor]:
    with small_executor(folder) as executor:
        yield executor


def _contender(number: int, algorithm: str, rounds: int = 12) -> Contender:
    learner = algorithm_named(algorithm)
    proposal = Proposal(number, learner, learner.settle(learner.starts[0]), is_start=True)
    trial = Trial(number, algorithm, RunStatus.COMPLETED, 0.9, {}, {}, 1.0)
    return Contender(trial, proposal, numpy.zeros((ROWS, 2), dtype=numpy.float32), 0.3, rounds, 0.01)


def _fitted(executor: ProcessExecutor, folder: Path, contenders: list[Contender], seconds: float) -> list[Member]:
    weights = [1 / len(contenders)] * len(contenders)
    fits = Refit(executor, folder, contenders, weights, fold_count=3, slots=2, seed=7)
    now = time.monotonic()
    return fits.run(now + seconds, now + 120.0, 0.0)


def _parameters(member: Member) -> dict[str, float]:
    document = json.loads((member.fits[0].graph.parent / "result.json").read_text())
    parameters: dict[str, float] = document["task"]["parameters"]
    return parameters


def test_several_seeds_in_finer_steps(executor: ProcessExecutor, folder: Path) -> None:
    """With time enough a random learner is fitted with several seeds, in smaller steps and more of them; a fixed one once."""
    members = _fitted(executor, folder, [_contender(1, "LightGBM"), _contender(2, "LogisticRegression")], 60.0)
    assert [len(member.fits) for member in members] == [MAXIMUM_FITS, 1]
    boosted = members[0]
    assert _parameters(boosted)["n_estimators"] == round(12 * 3 / 2 * FINER_STEPS)
    assert _parameters(boosted)["learning_rate"] == boosted.contender.proposal.parameters["learning_rate"] / FINER_STEPS
    assert boosted.fits[0].graph.parent.name == "refit-0001-0"
    answers = numpy.stack([fit.probabilities for fit in boosted.fits])
    assert (answers[0] != answers[1]).any()
    assert boosted.probabilities == pytest.approx(answers.mean(axis=0))


def test_no_time_is_one_fit_in_the_steps_of_the_search(executor: ProcessExecutor, folder: Path) -> None:
    """Without time each is fitted once, as the search fitted it."""
    members = _fitted(executor, folder, [_contender(3, "LightGBM"), _contender(4, "XGBoostClassifier")], 0.0)
    assert [len(member.fits) for member in members] == [1, 1]
    assert _parameters(members[0])["learning_rate"] == members[0].contender.proposal.parameters["learning_rate"]


def test_trees_are_bounded(executor: ProcessExecutor, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more seeds, and no finer steps, than the bound on all trees together allows."""
    monkeypatch.setattr(refit, "MAXIMUM_TREES", 50)
    (member,) = _fitted(executor, folder, [_contender(5, "LightGBM", rounds=20)], 60.0)
    assert (len(member.fits), _parameters(member)["n_estimators"]) == (1, 30)


def test_a_member_that_fails_is_left_out(executor: ProcessExecutor, folder: Path) -> None:
    """A learner that refuses its parameters leaves the others."""
    broken = _contender(6, "LogisticRegression")
    broken.proposal.parameters["C"] = -1.0  # type: ignore[index]
    members = _fitted(executor, folder, [broken, _contender(7, "LogisticRegression")], 10.0)
    assert [member.contender.proposal.number for member in members] == [7]


class _Busy:
    """An executor whose tasks never begin, as on a cluster that others use."""

    def __init__(self) -> None:
        self.waiting: list[FitTask] = []

    slots = 2

    @property
    def running(self) -> int:
        return len(self.waiting)

    def submit(self, task: FitTask) -> None:
        self.waiting.append(task)

    def kill(self, task: FitTask) -> None:
        self.waiting.remove(task)

    def next_ended(self, timeout_seconds: float) -> None:
        time.sleep(min(timeout_seconds, 0.05))


def test_fits_that_never_begin(folder: Path) -> None:
    """However long a fit should take, none is waited for longer than allowed, and it is said why there is none."""
    busy = _Busy()
    slow = replace(_contender(8, "RandomForest"), fold_seconds=600.0)
    fits = Refit(busy, folder, [slow], [1.0], fold_count=3, slots=2, seed=7)
    now = time.monotonic()
    assert fits.run(now, now + 0.1, 0.2) == []
    assert (busy.running, fits.failure) == (0, "no fit ended in time; go on from its trials with more minutes")
    assert 0.3 < time.monotonic() - now < 10


def test_why_there_is_no_fit(executor: ProcessExecutor, folder: Path) -> None:
    """What the last learner said is kept."""
    broken = _contender(9, "LogisticRegression")
    broken.proposal.parameters["C"] = -1.0  # type: ignore[index]
    fits = Refit(executor, folder, [broken], [1.0], fold_count=3, slots=2, seed=7)
    assert fits.run(time.monotonic(), time.monotonic() + 120.0, 0.0) == []
    assert "'C' parameter" in fits.failure
