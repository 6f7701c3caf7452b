"""What to try next: each learner's starting points first, then what FLAML's local search makes of the best found so far.

Which learner has the next try is drawn with a weight that falls with its distance from the best: a gap of 2 % in the loss costs a
factor of e. So time goes where the best models are, and a learner close behind, whose other errors help an ensemble, has some.
One that is further behind than any blend would take has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from bankmlops.automl.algorithms import START_ORDER, Algorithm, Parameters
from bankmlops.automl.local_search import local_search

GAP_SCALE = 0.02
USELESS_RATIO = 1.05  # of a loss to the best one: beyond it no blend takes a model
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration to try; `is_start` where it is one of the learner's starting points."""

    number: int
    algorithm: Algorithm
    parameters: Parameters
    is_start: bool


@dataclass
class _Course:
    """How far one learner's search is."""

    algorithm: Algorithm
    waiting: list[Parameters]
    tried: set[str] = field(default_factory=set)
    loss: float = math.inf
    best: Parameters = field(default_factory=dict)
    searcher: Any = None


class Proposer:
    """Proposes configurations, and learns what came of them. The same seed and the same answers make the same proposals."""

    def __init__(self, algorithms: Sequence[Algorithm], seed: int) -> None:
        self._courses = [_Course(algorithm, list(algorithm.starts)) for algorithm in algorithms]
        self._order = [name for name in START_ORDER if name in {algorithm.name for algorithm in algorithms}]
        self._generator = numpy.random.default_rng(seed)
        self._seed = seed
        self._number = 0

    def begin_with(self, algorithm: str, configurations: Sequence[Parameters]) -> None:
        """Try these ahead of a learner's own starting points, the first first; they are cut to its space."""
        for course in [course for course in self._courses if course.algorithm.name == algorithm]:
            settled = [course.algorithm.settle(each) for each in configurations if course.algorithm.space.keys() <= each.keys()]
            course.waiting[:0] = settled
            self._order[:0] = [algorithm] * len(settled)

    def number_from(self, number: int) -> None:
        """Lower numbers were given out by an earlier search."""
        self._number = max(self._number, number)

    def propose(self, within: Mapping[str, bool]) -> Proposal | None:
        """The next one, of a learner that `within` says has the time; None where no learner has."""
        for name in self._order:
            if within.get(name, True):
                self._order.remove(name)
                course = self._course_named(name)
                return self._issue(course, course.waiting.pop(0), is_start=True)
        open_courses = [course for course in self._promising() if within.get(course.algorithm.name, True)]
        while open_courses:
            course = self._draw(open_courses)
            parameters = self._move(course)
            if parameters is not None:
                return self._issue(course, parameters, is_start=False)
            open_courses.remove(course)
        return None

    def recall(self, number: int, algorithm: Algorithm, parameters: Parameters) -> Proposal:
        """A configuration that an earlier search proposed: it is not proposed again, and its number is taken."""
        course = self._course_named(algorithm.name)
        starts = [start for start in course.waiting if algorithm.settle(start) == parameters]
        for start in starts:
            course.waiting.remove(start)
            self._order.remove(algorithm.name)
        course.tried.add(repr(parameters))
        self._number = max(self._number, number + 1)
        return Proposal(number, algorithm, parameters, is_start=bool(starts))

    def learn(self, proposal: Proposal, loss: float) -> None:
        """What a configuration scored (a guess will do where it was given up early); NaN where it failed."""
        course = self._course_named(proposal.algorithm.name)
        if course.searcher is not None and not proposal.is_start:
            # Not what it took: that is the machine's, and the same seed is to be the same search.
            outcome = None if math.isnan(loss) else {"loss": loss}
            course.searcher.on_trial_complete(str(proposal.number), outcome, error=outcome is None)
        if loss < course.loss:
            course.loss, course.best = loss, proposal.parameters

    def _promising(self) -> list[_Course]:
        """Learners whose best is near enough to the best of all."""
        lowest = min(course.loss for course in self._courses)
        return [course for course in self._courses if course.best and course.loss <= lowest * USELESS_RATIO]

    def _issue(self, course: _Course, parameters: Parameters, *, is_start: bool) -> Proposal:
        settled = course.algorithm.settle(parameters)
        course.tried.add(repr(settled))
        self._number += 1
        return Proposal(self._number - 1, course.algorithm, settled, is_start)

    def _draw(self, courses: Sequence[_Course]) -> _Course:
        losses = numpy.array([course.loss for course in courses])
        gaps = (losses - losses.min()) / max(losses.min(), 1e-12)
        weights = numpy.exp(-gaps / GAP_SCALE) * [course.algorithm.share for course in courses]
        return courses[int(self._generator.choice(len(courses), p=weights / weights.sum()))]

    def _move(self, course: _Course) -> Parameters | None:
        """A configuration near the best that was not tried yet; None where the search has closed in on it."""
        if course.searcher is None:
            start = {name: course.best[name] for name in course.algorithm.space}
            course.searcher = local_search(course.algorithm.space, start, course.loss, self._seed)
        for _ in range(_ATTEMPTS):
            found = course.searcher.suggest(str(self._number))
            if found is None:
                return None
            if repr(course.algorithm.settle(found)) not in course.tried:
                return dict(found)
        return None

    def _course_named(self, name: str) -> _Course:
        return next(course for course in self._courses if course.algorithm.name == name)
