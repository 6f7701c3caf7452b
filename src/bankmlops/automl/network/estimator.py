"""The network as a scikit-learn estimator; PyTorch is imported by `fit` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy
from sklearn.base import BaseEstimator, ClassifierMixin

from bankmlops.automl.network.columns import NetworkColumns, network_columns
from bankmlops.automl.network.library import import_network

if TYPE_CHECKING:
    from bankmlops.automl.network.training import Examples

Array = numpy.ndarray[Any, Any]


class TabMClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """TabM over the float32 matrix. Parameters bear `tabm`'s names where it has them.

    `n_bins` is how many pieces a number is cut into at most. After `fit`, `classifier_` is a `Pipeline` of public classes that
    answers the same, and `epochs_` says how many epochs it was trained.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        n_blocks: int = 2,
        d_block: int = 128,
        dropout: float = 0.1,
        d_embedding: int = 8,
        learning_rate: float = 4e-3,
        weight_decay: float = 1e-2,
        k: int = 8,
        n_bins: int = 16,
        epochs: int = 30,
        device: str = "cpu",
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.n_blocks = n_blocks
        self.d_block = d_block
        self.dropout = dropout
        self.d_embedding = d_embedding
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.k = k
        self.n_bins = n_bins
        self.epochs = epochs
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        matrix: Array,
        labels: Array,
        eval_set: tuple[Array, Array] | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> TabMClassifier:
        """Fit on float32 [rows, width] and class codes; where there is an `eval_set` of such, keep the epoch that is best on it.

        It ends where `is_over` says so. Raises `ImportError` where PyTorch or `tabm` is missing or broken.
        """
        import_network()
        from bankmlops.automl.network.layers import layers_of
        from bankmlops.automl.network.plain import pieces_of, plain_classifier
        from bankmlops.automl.network.training import Examples, train

        codes, targets = numpy.unique(labels, return_inverse=True)
        columns = network_columns(matrix, self.n_bins)
        trained = train(
            columns,
            Examples(columns.positions(matrix), targets),
            None if eval_set is None else _held_out(columns, codes, *eval_set),
            self.get_params(),
            seed=self.random_state,
            threads=self.n_jobs,
            device=self.device,
            is_over=is_over,
        )
        self.epochs_ = trained.epochs
        self.classifier_ = plain_classifier(pieces_of(columns), layers_of(trained.network, columns), codes)
        self.classes_ = codes
        return self

    def predict_proba(self, matrix: Array) -> Array:
        """float32 [rows, classes]: the mean of the members' probabilities."""
        return numpy.asarray(self.classifier_.predict_proba(matrix))

    def predict(self, matrix: Array) -> Array:
        """[rows]: the class codes."""
        return numpy.asarray(self.classes_[self.predict_proba(matrix).argmax(axis=1)])


def _held_out(columns: NetworkColumns, codes: Array, matrix: Array, labels: Array) -> Examples:
    """The rows to stop by, without those of a class that was never seen: of that there is nothing to learn."""
    from bankmlops.automl.network.training import Examples

    known = numpy.isin(labels, codes)
    return Examples(columns.positions(matrix[known]), numpy.searchsorted(codes, labels[known]))
