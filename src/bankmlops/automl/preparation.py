"""What the end of a run needs, made while its trials run: imports, guardrails, and what suspect columns are worth."""

from __future__ import annotations

import threading
from pathlib import Path

from bankmlops.automl.guardrails import examine
from bankmlops.automl.guardrails_page import write_guardrails
from bankmlops.automl.leakage import ColumnWorth
from bankmlops.automl.table import Table
from bankmlops.automl.understanding import worth_of_suspects
from bankmlops.types import Dataset


class Preparation(threading.Thread):
    """Begins when it is started; `finish` before `worth` is read."""

    def __init__(self, table: Table, dataset: Dataset, outputs: Path, deadline: float) -> None:
        super().__init__(name="preparation", daemon=True)
        self._table = table
        self._dataset = dataset
        self._outputs = outputs
        self._deadline = deadline
        self.guardrails = examine(table.columns, table.specification, table.labels, table.folds)
        self.worth: tuple[ColumnWorth, ...] = ()
        write_guardrails(outputs, self.guardrails, table, dataset)

    def run(self) -> None:
        """Import first: it is wanted in any case."""
        _import_what_closing_needs()
        self.worth = worth_of_suspects(self.guardrails, self._table, deadline=self._deadline)

    def finish(self) -> None:
        """Wait for its end, and write down what was found last."""
        self.join()
        if self.worth:
            write_guardrails(self._outputs, self.guardrails, self._table, self._dataset, self.worth)


def _import_what_closing_needs() -> None:
    """While trials run, so that the end of the run doesn't wait for it."""
    import joblib  # noqa: F401
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401
    import onnx.checker
    import onnx.compose  # noqa: F401
    import onnxruntime  # noqa: F401
    import pandas  # noqa: F401
    import sklearn.compose
    import sklearn.ensemble
    import sklearn.impute  # noqa: F401
