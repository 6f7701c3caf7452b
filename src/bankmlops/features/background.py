"""The rows that explanations start from: a few of the training table's, whose mean prediction is nearly that of all of them.

They travel with the model as JSON, each row of the matrix a list of numbers; one-hot columns are 0 and 1.
"""

from __future__ import annotations

import json
from typing import Any

import numpy

from bankmlops.errors import InvalidRequestError

Array = numpy.ndarray[Any, Any]

MAXIMUM_BACKGROUND = 100


def choose_background(matrix: Array, probabilities: Array, size: int = MAXIMUM_BACKGROUND) -> Array:
    """float32 [at most `size`, width]: rows spread evenly over the matrix as the model orders it.

    So their mean prediction is close to the mean over all rows, closer than a random draw's would be.
    """
    order = numpy.lexsort((probabilities.max(axis=1), probabilities.argmax(axis=1)))
    return numpy.asarray(matrix[order[_spread(len(order), size)]], dtype=numpy.float32)


def background_to_json(background: Array) -> str:
    """The rows as JSON; what is read back is equal to the bit."""
    return json.dumps({"rows": background.tolist()}, allow_nan=False, separators=(",", ":")) + "\n"


def background_from_json(text: str, width: int) -> Array:
    """float32 [rows, width]. Raises `InvalidRequestError` where the text is something else than `background_to_json` writes."""
    try:
        with numpy.errstate(over="ignore"):  # what float32 can't hold is infinite, and refused as that
            rows = numpy.array(json.loads(text)["rows"], dtype=numpy.float32)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InvalidRequestError(f"not readable ({type(error).__name__}: {error})") from error
    if rows.ndim != 2 or rows.shape[1] != width or not 0 < len(rows) <= MAXIMUM_BACKGROUND:
        raise InvalidRequestError(f"its shape is {list(rows.shape)} where [1 to {MAXIMUM_BACKGROUND}, {width}] would serve")
    if not numpy.isfinite(rows).all():
        raise InvalidRequestError("it holds something else than finite numbers")
    return rows


def _spread(count: int, size: int) -> Array:
    """The middles of `size` equal parts of 0 to `count`."""
    size = min(size, count)
    return ((numpy.arange(size) + 0.5) * count / size).astype(numpy.int64)
