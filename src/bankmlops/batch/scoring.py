"""A chunk's answers: the graph over slices of rows that stay in the processor's cache, and a reason for each row without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy
import pyarrow as pa

from bankmlops.batch.columns import Prepared, fill, prepare, value_of
from bankmlops.batch.reading import Rejection, Rows
from bankmlops.errors import InvalidRequestError
from bankmlops.features import matrix_from_rows
from bankmlops.scoring.bundle import Bundle, open_session

Array = numpy.ndarray[Any, Any]

SLICE_ROWS, SLICE_CELLS = 4096, 2**20
_PREFIX = "probability_"


def slice_rows(width: int) -> int:
    """How many rows of a matrix so wide are filled and scored at once: the matrix and what the graph makes of it are bounded."""
    return max(min(SLICE_ROWS, SLICE_CELLS // width), 1)


class ChunkScorer:
    """A model ready to score chunks, on as many threads as call it."""

    def __init__(self, bundle: Bundle, *, proba: bool) -> None:
        """`proba` adds a column for each class's probability. Raises `InvalidRequestError` where the model can't be loaded."""
        self._bundle = bundle
        self._proba = proba
        self._session = open_session(bundle)
        self._reason = lru_cache(maxsize=1024)(self._judged)

    @property
    def schema(self) -> pa.Schema:
        """`row` and `prediction`, and with `proba` a `probability_CLASS` for each class."""
        fields = [pa.field("row", pa.int64()), pa.field("prediction", pa.dictionary(pa.int32(), pa.string()))]
        return pa.schema([*fields, *(pa.field(name, pa.float32()) for name in self._probability_names())])

    def score(self, rows: Rows) -> tuple[pa.Table, Sequence[Rejection]]:
        """The answers of the rows that can be scored, in order, and why the others can't. Raises `InvalidRequestError`."""
        if not len(rows.numbers):
            return self.schema.empty_table(), rows.rejections
        prepared = prepare(self._bundle.specification, rows.columns)
        probabilities = self._probabilities(prepared, len(rows.numbers))
        faulty = numpy.logical_or.reduce(list(prepared.bad.values())) if prepared.bad else None
        if faulty is None:
            return self._answers(rows.numbers, probabilities), rows.rejections
        rejections = sorted([*rows.rejections, *self._rejections(rows, prepared, faulty)], key=lambda each: each.row)
        return self._answers(rows.numbers[~faulty], probabilities[~faulty]), rejections

    def _probabilities(self, prepared: Prepared, count: int) -> Array:
        """float32 [rows, classes]. A row at fault has an answer too, which nobody sees."""
        width = self._bundle.specification.width
        answers = numpy.empty((count, len(self._bundle.classes)), dtype=numpy.float32)
        rows = min(count, slice_rows(width))
        matrix = numpy.empty((rows, width), dtype=numpy.float32)
        for first in range(0, count, rows):
            last = min(first + rows, count)
            part = matrix[: last - first]
            fill(part, prepared, first, last)
            answers[first:last] = self._run(part)
        return answers

    def _run(self, matrix: Array) -> Array:
        try:
            answer: Array = self._session.run(["probabilities"], {"features": matrix})[0]
        except Exception as error:  # onnxruntime raises classes of its own with no common base but Exception
            raise InvalidRequestError(f"model.onnx can't score: {str(error).splitlines()[0][:300]}") from error
        return answer

    def _answers(self, numbers: Array, probabilities: Array) -> pa.Table:
        classes = self._bundle.classes
        binary = len(classes) == 2
        codes = probabilities[:, 1] >= self._bundle.threshold if binary else probabilities.argmax(axis=1)
        labels = pa.DictionaryArray.from_arrays(pa.array(codes.astype(numpy.int32)), pa.array(classes, pa.string()))
        each = [pa.array(numpy.ascontiguousarray(probabilities[:, index])) for index, _ in enumerate(self._probability_names())]
        return pa.table([pa.array(numbers.astype(numpy.int64)), labels, *each], schema=self.schema)

    def _probability_names(self) -> tuple[str, ...]:
        return tuple(f"{_PREFIX}{name}" for name in self._bundle.classes) if self._proba else ()

    def _rejections(self, rows: Rows, prepared: Prepared, faulty: Array) -> Iterator[Rejection]:
        """The first column at fault of each row."""
        columns = {column.name: column for column in self._bundle.specification.columns}
        for row in numpy.flatnonzero(faulty).tolist():
            name = next(name for name, faults in prepared.bad.items() if faults[row])
            value = value_of(columns[name], rows.columns[name], row)
            yield Rejection(int(rows.numbers[row]), name, self._reason(name, value))

    def _judged(self, name: str, value: object) -> str:
        """What the scoring service says of this value in a row that is otherwise right."""
        row = {**self._bundle.input_example, name: value}
        try:
            matrix_from_rows(self._bundle.specification, [row])
        except InvalidRequestError as error:
            return str(error).partition(f"column {name!r}: ")[2] or str(error)
        return "can't be read"
