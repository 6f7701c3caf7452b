"""The learners, under Azure's names: what may vary, where to start, and how one is built from its parameters.

Nothing heavy is imported until an estimator is built, so that a command that only names algorithms stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bankmlops.automl.lightgbm_library import load_lightgbm

Parameters = Mapping[str, float]
TREES = "n_estimators"


@dataclass(frozen=True, slots=True)
class Dimension:
    """A hyperparameter's range, both ends included; `log` spreads it evenly over magnitudes."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A learner. `starts` are tried in order before the search leaves them; the first is the search's centre.

    `build(parameters, seed, threads)` makes an unfitted scikit-learn classifier. One with `rounds`, the parameter that says how
    many it has at most, stops when the held-out loss does. One that is not `random` is the same with every seed.
    `share` is how often it is searched on, going by what its fits cost, beside one that boosts and scores alike.
    """

    name: str
    space: Mapping[str, Dimension]
    starts: tuple[Parameters, ...]
    build: Callable[[Parameters, int, int], Any]
    rounds: str = ""
    random: bool = True
    share: float = 1.0
    fixed: Parameters = field(default_factory=lambda: MappingProxyType({}))

    @property
    def boosted(self) -> bool:
        """Whether its rounds are trees, of which more are needed where steps are smaller."""
        return self.rounds == TREES

    def settle(self, parameters: Parameters) -> dict[str, float]:
        """The parameters within the space, whole where they must be, with the fixed ones."""
        settled = {name: _settle(dimension, parameters[name]) for name, dimension in self.space.items()}
        return settled | dict(self.fixed)


def _settle(dimension: Dimension, value: float) -> float:
    inside = min(max(value, dimension.low), dimension.high)
    return round(inside) if dimension.integer else float(f"{inside:.6g}")


def _lightgbm(parameters: Parameters, seed: int, threads: int) -> Any:
    return load_lightgbm().LGBMClassifier(
        **parameters,
        subsample_freq=1,
        random_state=seed,
        n_jobs=threads,
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
    )


def _xgboost(parameters: Parameters, seed: int, threads: int) -> Any:
    from xgboost import XGBClassifier

    # Leaf by leaf, as LightGBM grows: level by level costs more and scores worse, and so do fewer bins (docs/decisions/0006).
    growth = {"tree_method": "hist", "grow_policy": "lossguide", "max_depth": 0, "max_bin": 512}
    return XGBClassifier(**parameters, **growth, random_state=seed, n_jobs=threads, verbosity=0)


def _extra_trees(parameters: Parameters, seed: int, threads: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(**parameters, criterion="entropy", random_state=seed, n_jobs=threads)


def _random_forest(parameters: Parameters, seed: int, threads: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**parameters, criterion="entropy", max_samples=0.6, random_state=seed, n_jobs=threads)


def _logistic_regression(parameters: Parameters, seed: int, threads: int) -> Any:  # noqa: ARG001
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # The scaler is the linear member's own: in front of trees it would move a threshold by a float's last bit.
    return make_pipeline(StandardScaler(), LogisticRegression(**parameters, max_iter=300, random_state=seed))


def _network(parameters: Parameters, seed: int, threads: int) -> Any:
    from bankmlops.automl.network.estimator import TabMClassifier

    whole = ("n_blocks", "d_block", "d_embedding", "k", "n_bins", "epochs")
    settled: dict[str, Any] = {name: int(value) if name in whole else value for name, value in parameters.items()}
    return TabMClassifier(**settled, random_state=seed, n_jobs=threads)


_FOREST_SPACE = {
    "n_estimators": Dimension(30, 100, log=True, integer=True),
    "max_depth": Dimension(4, 18, integer=True),
    "max_features": Dimension(0.05, 1.0, log=True),
    "min_samples_leaf": Dimension(1, 64, log=True, integer=True),
}

ALGORITHMS = (
    Algorithm(
        name="LogisticRegression",
        space={"C": Dimension(1e-3, 30.0, log=True)},
        starts=({"C": 0.1},),
        build=_logistic_regression,
        random=False,
    ),
    Algorithm(
        name="LightGBM",
        space={
            "learning_rate": Dimension(0.04, 0.25, log=True),
            "num_leaves": Dimension(4, 96, log=True, integer=True),
            "min_child_samples": Dimension(2, 200, log=True, integer=True),
            "colsample_bytree": Dimension(0.2, 1.0),
            "subsample": Dimension(0.4, 1.0),
            "reg_alpha": Dimension(1e-3, 10.0, log=True),
            "reg_lambda": Dimension(1e-3, 30.0, log=True),
        },
        starts=(
            {
                "learning_rate": 0.08,
                "num_leaves": 23,
                "min_child_samples": 20,
                "colsample_bytree": 0.7,
                "subsample": 0.8,
                "reg_alpha": 0.01,
                "reg_lambda": 1.0,
            },
            {
                "learning_rate": 0.08,
                "num_leaves": 40,
                "min_child_samples": 60,
                "colsample_bytree": 0.9,
                "subsample": 0.8,
                "reg_alpha": 0.01,
                "reg_lambda": 1.0,
            },
        ),
        build=_lightgbm,
        rounds=TREES,
        fixed={"n_estimators": 3000},
    ),
    Algorithm(
        name="XGBoostClassifier",
        space={
            "learning_rate": Dimension(0.04, 0.25, log=True),
            "max_leaves": Dimension(4, 96, log=True, integer=True),
            "min_child_weight": Dimension(0.1, 100.0, log=True),
            "colsample_bytree": Dimension(0.2, 1.0),
            "subsample": Dimension(0.4, 1.0),
            "reg_alpha": Dimension(1e-3, 10.0, log=True),
            "reg_lambda": Dimension(1e-3, 30.0, log=True),
        },
        starts=(
            {
                "learning_rate": 0.12,
                "max_leaves": 23,
                "min_child_weight": 1.0,
                "colsample_bytree": 0.8,
                "subsample": 0.8,
                "reg_alpha": 0.01,
                "reg_lambda": 1.0,
            },
        ),
        build=_xgboost,
        rounds=TREES,
        fixed={"n_estimators": 3000},
    ),
    Algorithm(
        name="RandomForest",
        space=_FOREST_SPACE,
        starts=({"n_estimators": 40, "max_depth": 12, "max_features": 0.3, "min_samples_leaf": 8},),
        build=_random_forest,
        share=0.3,
    ),
    Algorithm(
        name="ExtremeRandomTrees",
        space=_FOREST_SPACE,
        starts=({"n_estimators": 40, "max_depth": 13, "max_features": 0.3, "min_samples_leaf": 4},),
        build=_extra_trees,
        share=0.3,
    ),
)

NETWORK = Algorithm(
    name="TabMClassifier",
    space={
        "learning_rate": Dimension(5e-4, 8e-3, log=True),
        "n_blocks": Dimension(1, 3, integer=True),
        "d_block": Dimension(48, 256, log=True, integer=True),
        "dropout": Dimension(0.0, 0.4),
        "d_embedding": Dimension(4, 24, log=True, integer=True),
        "weight_decay": Dimension(1e-4, 0.3, log=True),
    },
    starts=(
        {
            "learning_rate": 0.004,
            "n_blocks": 2,
            "d_block": 128,
            "dropout": 0.1,
            "d_embedding": 8,
            "weight_decay": 0.01,
        },
    ),
    build=_network,
    rounds="epochs",
    share=0.3,
    fixed={"k": 8, "n_bins": 16, "epochs": 100},
)

ALGORITHM_NAMES = tuple(algorithm.name for algorithm in ALGORITHMS)  # without the network, which has to be asked for
# Whose next starting point is tried when: the quickest first, so that there is a model whatever happens, then the strongest.
START_ORDER = (
    "LogisticRegression",
    "LightGBM",
    "XGBoostClassifier",
    "LightGBM",
    NETWORK.name,
    "RandomForest",
    "ExtremeRandomTrees",
)
VOTING_ENSEMBLE = "VotingEnsemble"
STACK_ENSEMBLE = "StackEnsemble"


def algorithm_named(name: str) -> Algorithm:
    """The algorithm of this name, which must be one of `ALGORITHM_NAMES` or the network's."""
    return next(algorithm for algorithm in (*ALGORITHMS, NETWORK) if algorithm.name == name)
