"""Why a row is answered as it is: what each of its columns adds to the probabilities, from the artifact alone."""

from __future__ import annotations

import time
from typing import Any

import numpy
import pydantic_core

from bankmlops.features.shapley import explain
from bankmlops.scoring.aside_process import Answer
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.model import Array, Scorer
from bankmlops.scoring.refusal import RefusedError, timed_out

_ROUNDS = 2  # a random order and its reverse from each background row
_SEED = 0
_DIGITS = 12  # far below what float32 probabilities tell apart


class Explainer:
    """Permutation Shapley values of the original columns against the bundle's background; see `bankmlops.features.shapley`."""

    def __init__(self, scorer: Scorer, limits: Limits) -> None:
        self._scorer = scorer
        self._limits = limits

    def explain(self, body: bytes) -> Answer:
        """Explain the rows of a request as `POST /score` takes it, on the caller's thread; a row's answer depends on it alone.

        Raises `RefusedError` (404 where the bundle has no background, 503 where the time is over) or `InvalidRequestError`.
        """
        started = time.perf_counter()
        background = self._scorer.bundle.background
        if background is None:
            message = "this model can't explain: it was exported without a background; train it again with this version"
            raise RefusedError(404, "no_background", message)
        _, matrix = self._scorer.read(body, self._limits.explained_rows)
        rows, base = [], numpy.empty(0)
        for row in matrix:
            if time.perf_counter() - started > self._limits.scoring_seconds:
                raise timed_out(self._limits.scoring_seconds)
            document, base = self._explain_row(row[None], background)
            rows.append(document)
        answer = {"classes": list(self._scorer.bundle.classes), "base": _rounded(base), "result": rows}
        return Answer(pydantic_core.to_json(answer), len(rows), (time.perf_counter() - started) * 1e3, b"", [])

    def _explain_row(self, row: Array, background: Array) -> tuple[dict[str, Any], Array]:
        """What is said of a row, float32 [1, width], and the background's mean probabilities [classes]."""
        specification = self._scorer.bundle.specification
        found = explain(self._scorer.probabilities, row, background, specification.widths, seed=_SEED, rounds=_ROUNDS)
        document = {
            "label": self._scorer.labels(found.predictions)[0],
            "probabilities": _rounded(found.predictions[0]),
            "contributions": {
                column.name: _rounded(values) for column, values in zip(specification.columns, found.values[0], strict=True)
            },
        }
        return document, found.base


def _rounded(values: Array) -> list[float]:
    rounded: list[float] = values.round(_DIGITS).tolist()
    return rounded
