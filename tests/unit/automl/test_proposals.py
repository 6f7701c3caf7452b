"""What the search tries next."""

from __future__ import annotations

import math

from bankmlops.automl.algorithms import ALGORITHMS, NETWORK, START_ORDER, algorithm_named
from bankmlops.automl.proposals import Proposal, Proposer


def _quality(proposal: Proposal) -> float:
    """A landscape with its best point at a learning rate of 0.11 and LightGBM ahead of the others."""
    handicap = 0.0 if proposal.algorithm.name == "LightGBM" else 0.004
    return 0.2 + handicap + 0.01 * abs(math.log(proposal.parameters.get("learning_rate", 0.1) / 0.11))


def _play(seed: int, tries: int) -> list[Proposal]:
    proposer = Proposer(ALGORITHMS, seed)
    tried = []
    for _ in range(tries):
        proposal = proposer.propose({})
        assert proposal is not None
        proposer.learn(proposal, _quality(proposal))
        tried.append(proposal)
    return tried


def test_the_starting_points_come_first() -> None:
    """The first proposals are the starting points in their order: the quickest learner's, then the strongest's."""
    usual = tuple(name for name in START_ORDER if name != NETWORK.name)
    assert tuple(proposal.algorithm.name for proposal in _play(1, len(usual))) == usual
    proposer = Proposer((*ALGORITHMS, NETWORK), 1)
    proposals = [proposer.propose({}) for _ in START_ORDER]
    assert tuple(proposal.algorithm.name for proposal in proposals if proposal) == START_ORDER
    assert sorted(START_ORDER) == sorted(algorithm.name for algorithm in (*ALGORITHMS, NETWORK) for _ in algorithm.starts)


def test_a_learner_far_behind_is_not_searched_on() -> None:
    """Where a learner's best is beyond what a blend would take, only its starting point is tried."""
    proposer = Proposer(ALGORITHMS, 1)
    names = []
    for _ in range(30):
        proposal = proposer.propose({})
        assert proposal is not None
        proposer.learn(proposal, 0.25 if proposal.algorithm.name == "LogisticRegression" else _quality(proposal))
        names.append(proposal.algorithm.name)
    assert names.count("LogisticRegression") == 1


def test_the_search_gets_closer() -> None:
    """FLAML's search finds a better point than the starting points, and no configuration is tried twice."""
    tried = _play(1, 60)
    starts = min(_quality(proposal) for proposal in tried if proposal.is_start)
    assert min(_quality(proposal) for proposal in tried) < starts
    seen = [(proposal.algorithm.name, repr(proposal.parameters)) for proposal in tried]
    assert len(set(seen)) == len(seen)


def test_the_same_seed_is_the_same_search() -> None:
    """Proposals depend on the seed and the answers alone."""
    assert [proposal.parameters for proposal in _play(3, 40)] == [proposal.parameters for proposal in _play(3, 40)]
    assert [proposal.parameters for proposal in _play(3, 40)] != [proposal.parameters for proposal in _play(4, 40)]


def test_parameters_stay_in_their_space() -> None:
    """Each proposed value lies within its dimension, whole where it has to be."""
    for proposal in _play(5, 60):
        for name, dimension in proposal.algorithm.space.items():
            value = proposal.parameters[name]
            assert dimension.low <= value <= dimension.high
            assert not dimension.integer or value == int(value)


def test_a_learner_without_time_is_passed_over() -> None:
    """A learner that can't end in what is left is not proposed; where none can, nothing is."""
    proposer = Proposer([algorithm_named("LightGBM"), algorithm_named("RandomForest")], 1)
    proposal = proposer.propose({"LightGBM": False})
    assert proposal is not None
    assert proposal.algorithm.name == "RandomForest"
    assert proposer.propose({"LightGBM": False, "RandomForest": False}) is None


def test_a_failed_learner_is_not_searched_on() -> None:
    """A learner whose every start failed has nothing to search from."""
    proposer = Proposer([algorithm_named("LogisticRegression")], 1)
    proposal = proposer.propose({})
    assert proposal is not None
    proposer.learn(proposal, math.nan)
    assert proposer.propose({}) is None
