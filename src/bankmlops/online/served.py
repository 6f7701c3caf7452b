"""A model's bundle as a policy asks it: the exported graph and its features, as the scoring service would answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl.export import INPUT, OUTPUT
from bankmlops.errors import InvalidRequestError
from bankmlops.features import FeatureSpecification, matrix_from_columns

Array = numpy.ndarray[Any, Any]


class ServedModel:
    """The bundle in a folder."""

    def __init__(self, folder: Path) -> None:
        """Raises `InvalidRequestError` where it can't be read."""
        self.folder = folder
        try:
            self.specification = FeatureSpecification.from_json((folder / "features.json").read_text(encoding="utf-8"))
            self._graph = (folder / "model.onnx").read_bytes()
        except (OSError, ValueError) as error:
            raise InvalidRequestError(f"{folder}: no bundle that can be read ({error})") from error

    def predict(self, columns: Mapping[str, Array], positive: str) -> Array:
        """float64 [rows]: the probability of the class `positive`."""
        matrix = matrix_from_columns(self.specification, columns)
        answers = self._session.run([OUTPUT], {INPUT: matrix})[0]
        return numpy.asarray(answers[:, self.specification.classes.index(positive)], dtype=numpy.float64)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])
