"""FLAML's local search, and that it comes without the rest of FLAML."""

from __future__ import annotations

import subprocess
import sys

from bankmlops.automl.algorithms import Dimension
from bankmlops.automl.local_search import local_search

SPACE = {
    "rate": Dimension(0.01, 1.0, log=True),
    "share": Dimension(0.0, 1.0),
    "leaves": Dimension(4, 64, log=True, integer=True),
    "depth": Dimension(2, 9, integer=True),
}
START = {"rate": 0.1, "share": 0.5, "leaves": 16, "depth": 5}


def test_it_moves_towards_what_is_better() -> None:
    """The best that it is told of gets nearer to the optimum, and every suggestion lies in the space."""
    searcher = local_search(SPACE, START, _loss(START), seed=1)
    best = _loss(START)
    for number in range(60):
        found = searcher.suggest(str(number))
        assert all(SPACE[name].low <= value <= SPACE[name].high for name, value in found.items())
        best = min(best, _loss(found))
        searcher.on_trial_complete(str(number), {"loss": _loss(found), "time_total_s": 1.0})
    assert best < _loss(START) / 2


def test_it_comes_alone() -> None:
    """Neither FLAML's AutoML nor what that imports is loaded."""
    script = (
        "import sys\n"
        "from bankmlops.automl.algorithms import Dimension\n"
        "from bankmlops.automl.local_search import local_search\n"
        "local_search({'x': Dimension(0.0, 1.0)}, {'x': 0.5}, 1.0, 1)\n"
        "print([name for name in ('flaml', 'mlflow', 'sklearn', 'pandas', 'ray') if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"


def _loss(parameters: dict[str, float]) -> float:
    return abs(parameters["rate"] - 0.03) + abs(parameters["share"] - 0.9)
