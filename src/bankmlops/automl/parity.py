"""The export's gate: the model that will answer must answer as the model that was trained."""

from __future__ import annotations

from typing import Any

import numpy

from bankmlops.errors import RunFailedError
from bankmlops.types import Parity

Array = numpy.ndarray[Any, Any]

PARITY_LIMIT = 1e-4
TIE_WIDTH = 1e-5


def measure_parity(trained: Array, exported: Array) -> Parity:
    """Compare two probabilities [rows, classes]; a flip is a label that differs although its probability is no tie."""
    from bankmlops.automl.metrics import predicted_codes

    differs = predicted_codes(trained) != predicted_codes(exported)
    flips = int((differs & (_margin(trained) > TIE_WIDTH)).sum())
    return Parity(float(numpy.abs(trained - exported).max()), flips, len(trained))


def check_parity(parity: Parity) -> None:
    """Raise `RunFailedError` where the export is not the trained model."""
    if parity.max_probability_difference > PARITY_LIMIT:
        raise RunFailedError(
            f"the exported model differs from the trained one by {parity.max_probability_difference:.1e} in a probability "
            f"(at most {PARITY_LIMIT:.0e} would serve): it is not registered"
        )
    if parity.label_flips:
        raise RunFailedError(
            f"the exported model gives another label than the trained one to {parity.label_flips} of {parity.rows} rows that are "
            "no ties: it is not registered"
        )


def _margin(probabilities: Array) -> Array:
    """How far each row is from changing its label."""
    if probabilities.shape[1] == 2:
        return numpy.abs(probabilities[:, 1] - 0.5)
    highest = numpy.sort(probabilities, axis=1)
    return numpy.asarray(highest[:, -1] - highest[:, -2]) / 2
