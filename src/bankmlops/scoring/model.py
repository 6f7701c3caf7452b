"""The data plane: bytes in, labels out. It knows no HTTP connection, no key and no log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy
import onnxruntime
import pydantic_core

from bankmlops.errors import InvalidRequestError
from bankmlops.features import matrix_from_rows
from bankmlops.scoring.body import ScoreRequest, parse_body
from bankmlops.scoring.bundle import Bundle, open_session
from bankmlops.types import UnknownCategories

Array = numpy.ndarray[Any, Any]


class Prediction(NamedTuple):
    """`result` is one label a row, or one list of probabilities a row; `exec_ms` is what Azure calls the run function's time."""

    result: list[str] | list[list[float]]
    rows: int
    exec_ms: float

    def document(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"result": self.result}


def encode_azure(prediction: Prediction) -> bytes:
    """A JSON string that holds JSON, as AutoML's scoring file answers."""
    return pydantic_core.to_json(pydantic_core.to_json(prediction.document()).decode())


def encode_plain(prediction: Prediction) -> bytes:
    """The JSON itself."""
    return pydantic_core.to_json(prediction.document())


class Scorer:
    """A bundle ready to answer. One thread a session for small requests; batches use every core, in a session made later."""

    def __init__(
        self, bundle: Bundle, maximum_rows: int, unknown_categories: UnknownCategories = UnknownCategories.SCORE
    ) -> None:
        """Open the session and score the bundle's own example. Raises `InvalidRequestError` where that fails."""
        self.bundle = bundle
        self.unknown_categories = unknown_categories
        self._maximum_rows = maximum_rows
        self._session = open_session(bundle)
        self._try_example()

    def score(self, body: bytes) -> Prediction:
        """Answer a request on the caller's thread. Raises `RefusedError` or `InvalidRequestError`."""
        return self._score(body, self._session)

    def score_together(self, bodies: Sequence[bytes]) -> list[Prediction | Exception]:
        """Answer requests as one batch on the caller's thread; what goes wrong with one is its answer, and not the others'."""
        try:
            return list(self._score_as_one(bodies))
        except Exception as error:
            if len(bodies) == 1:
                return [error]
        return [self._score_or_error(body) for body in bodies]

    def score_batch(self, body: bytes) -> Prediction:
        """The same with every core. Raises the same."""
        return self._score(body, self._batch_session)

    def read(self, body: bytes, maximum_rows: int) -> tuple[ScoreRequest, Array]:
        """A request, and the matrix float32 [rows, width] of its rows. Raises `RefusedError` or `InvalidRequestError`."""
        request = parse_body(body, maximum_rows)
        return request, matrix_from_rows(self.bundle.specification, request.rows, self.unknown_categories)

    def probabilities(self, matrix: Array) -> Array:
        """float32 [rows, classes] of a matrix float32 [rows, width], on the caller's thread alone."""
        return _run(self._session, matrix)

    def labels(self, probabilities: Array) -> list[str]:
        """The threshold is applied here, not in the graph, so that the parity gate and the service agree on ties."""
        classes = self.bundle.classes
        if len(classes) == 2:
            return [classes[positive] for positive in (probabilities[:, 1] >= self.bundle.threshold).tolist()]
        return [classes[index] for index in probabilities.argmax(axis=1).tolist()]

    @cached_property
    def _batch_session(self) -> onnxruntime.InferenceSession:
        return open_session(self.bundle, threads=len(os.sched_getaffinity(0)))

    def _score(self, body: bytes, session: onnxruntime.InferenceSession) -> Prediction:
        started = time.perf_counter()
        request, matrix = self.read(body, self._maximum_rows)
        probabilities = _run(session, matrix)
        result = self.labels(probabilities) if request.method == "predict" else probabilities.tolist()
        return Prediction(result, len(request.rows), (time.perf_counter() - started) * 1e3)

    def _score_or_error(self, body: bytes) -> Prediction | Exception:
        try:
            return self.score(body)
        except Exception as error:
            return error

    def _score_as_one(self, bodies: Sequence[bytes]) -> Iterator[Prediction]:
        started = time.perf_counter()
        requests = [parse_body(body, self._maximum_rows) for body in bodies]
        rows = requests[0].rows if len(requests) == 1 else [row for request in requests for row in request.rows]
        probabilities = _run(self._session, matrix_from_rows(self.bundle.specification, rows, self.unknown_categories))
        labels = self.labels(probabilities)
        exec_ms = (time.perf_counter() - started) * 1e3
        end = 0
        for request in requests:
            begin, end = end, end + len(request.rows)
            result = labels[begin:end] if request.method == "predict" else probabilities[begin:end].tolist()
            yield Prediction(result, end - begin, exec_ms)

    def _try_example(self) -> None:
        try:
            probabilities = self.probabilities(matrix_from_rows(self.bundle.specification, [self.bundle.input_example]))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"model.json: input_example can't be scored: {error}") from error
        wanted = (1, len(self.bundle.classes))
        if probabilities.shape != wanted or not numpy.isfinite(probabilities).all():
            raise InvalidRequestError(f"model.onnx: its answer to input_example has shape {probabilities.shape}, not {wanted}")


def _run(session: onnxruntime.InferenceSession, matrix: Array) -> Array:
    probabilities: Array = session.run(["probabilities"], {"features": matrix})[0]
    return probabilities
