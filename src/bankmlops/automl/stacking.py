"""The StackEnsemble's meta learner: a logistic regression on the logarithms of what the members said of rows held out of them.

It is scored as its members are: the answer for a fold's rows is that of a regression fitted on the other folds alone. Of one
member it would be its calibration: by beta functions of two classes (Kull, Silva Filho and Flach, AISTATS 2017), Dirichlet's of
more (Kull et al., NeurIPS 2019). The bounds keep what float32 can't tell apart near 0 and 1 out of the exported graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]

LOWEST, HIGHEST = 1e-6, 1 - 1e-3
INVERSE_REGULARIZATION = 0.1
MAXIMUM_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class MetaLearner:
    """A fitted scikit-learn pipeline over the members' columns side by side, which are cut to `lowest` and `highest` first."""

    classifier: Any
    lowest: float = LOWEST
    highest: float = HIGHEST

    def answer(self, members: Sequence[Array]) -> Array:
        """float64 [rows, classes]: the probabilities that it makes of the members', each [rows, classes]."""
        return numpy.asarray(self.classifier.predict_proba(_columns_of(members)))

    @property
    def coefficients(self) -> Array:
        """float64 [1 or classes, logarithms]; of two classes the members' second column comes first, then what it lacks to 1."""
        return numpy.asarray(self.classifier[-1].coef_)

    @property
    def intercepts(self) -> Array:
        """float64 [1 or classes]."""
        return numpy.asarray(self.classifier[-1].intercept_)


def fit_meta_learner(members: Sequence[Array], labels: Array) -> MetaLearner:
    """Fit on the members' held-out probabilities, each [rows, classes]; every class has to have a row."""
    return MetaLearner(_unfitted(members[0].shape[1]).fit(_columns_of(members), labels))


def fixed_learner(
    coefficients: Array,
    intercepts: Array,
    classes: int,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    *,
    members: int = 1,
) -> MetaLearner:
    """One with these very coefficients, as `MetaLearner.coefficients` has them, for so many members."""
    certain = _columns_of([numpy.eye(classes)] * members)
    learner = MetaLearner(_unfitted(classes, lowest, highest).fit(certain, numpy.arange(classes)), lowest, highest)
    learner.classifier[-1].coef_, learner.classifier[-1].intercept_ = coefficients, intercepts
    return learner


def answer_out_of_fold(members: Sequence[Array], labels: Array, folds: Array) -> Array | None:
    """float64 [rows, classes]: each row's from a meta learner that did not have its fold; None where a fit would lack a class."""
    classes = members[0].shape[1]
    answers = numpy.empty((len(labels), classes))
    for fold in numpy.unique(folds):
        held_out = folds == fold
        if len(numpy.unique(labels[~held_out])) < classes:
            return None
        learner = fit_meta_learner([member[~held_out] for member in members], labels[~held_out])
        answers[held_out] = learner.answer([member[held_out] for member in members])
    return answers


def _columns_of(members: Sequence[Array]) -> Array:
    """float64 [rows, columns]: as scikit-learn's `StackingClassifier` shows them, of two classes the second alone."""
    first = 1 if members[0].shape[1] == 2 else 0
    return numpy.concatenate([member[:, first:] for member in members], axis=1).astype(numpy.float64)


def _unfitted(classes: int, lowest: float = LOWEST, highest: float = HIGHEST) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    bounds = FunctionTransformer(numpy.clip, kw_args={"a_min": lowest, "a_max": highest})
    logarithms = _of_both_classes() if classes == 2 else FunctionTransformer(numpy.log)
    return make_pipeline(bounds, logarithms, LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=MAXIMUM_ITERATIONS))


def _of_both_classes() -> Any:
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import FunctionTransformer

    first = make_pipeline(FunctionTransformer(numpy.negative), FunctionTransformer(numpy.log1p))
    return make_union(FunctionTransformer(numpy.log), first)
