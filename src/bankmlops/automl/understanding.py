"""What helps a person to understand a run, beside its numbers: what columns are worth, what drives the winner, and the report.

It may not cost the run its budget: what there is no time for is left out, and the report says nothing of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl import explanations
from bankmlops.automl.guardrails import Guardrails
from bankmlops.automl.leakage import ColumnWorth, measure_worth
from bankmlops.automl.report import Facts, write_report
from bankmlops.automl.table import Table
from bankmlops.features.background import choose_background
from bankmlops.features.shapley import explain_sample

Array = numpy.ndarray[Any, Any]

EXPLAINED_ROWS = 120
MAXIMUM_SUSPECTS = 2


def worth_of_suspects(guardrails: Guardrails, table: Table, *, deadline: float) -> tuple[ColumnWorth, ...]:
    """The score with and without each column that may not be known in time, as far as the `deadline` allows."""
    parts = table.specification, table.matrix, table.labels, table.crossed_folds
    found = [measure_worth(column, *parts, deadline=deadline) for column in guardrails.suspects[:MAXIMUM_SUSPECTS]]
    return tuple(worth for worth in found if worth is not None)


def write_understanding(outputs: Path, facts: Facts, table: Table, model: bytes, *, deadline: float) -> None:
    """Write `importance.json` and `report.html` of the exported `model`; the explanation takes what time there is."""
    background = choose_background(table.scored_matrix, facts.probabilities)
    chosen, found = explain_sample(
        _predictor(model),
        table.matrix,
        background,
        table.specification.widths,
        seed=facts.seed,
        rows=EXPLAINED_ROWS,
        deadline=deadline,
    )
    importance = explanations.importance_of(found, table.matrix[chosen], table.specification)
    examples = explanations.examples_of(found, chosen, table.columns, table.specification)
    text = json.dumps(importance.to_dict(), indent=1, ensure_ascii=False) + "\n"
    (outputs / "importance.json").write_text(text, encoding="utf-8")
    write_report(outputs, replace(facts, importance=importance, examples=examples))


def _predictor(model: bytes) -> Callable[[Array], Array]:
    """What the exported model answers: one session for all that is asked."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda matrix: numpy.asarray(session.run(["probabilities"], {"features": matrix})[0])
