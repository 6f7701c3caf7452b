"""What is noteworthy about a table before anything is trained on it: found, and what was done about it.

The words are Azure AutoML's: a guardrail is passed (nothing found), done (found and dealt with) or alerted (found, and yours to
judge).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy

from bankmlops.automl.examined_table import ExaminedTable
from bankmlops.automl.findings import GUARDRAILS, MAXIMUM_NAMED, Finding
from bankmlops.automl.known_tables import recognise
from bankmlops.automl.leakage import strongest
from bankmlops.features import FeatureSpecification

Array = numpy.ndarray[Any, Any]

MAXIMUM_EXAMINED = 500_000  # rows, spread evenly over the table: a second or so each 100,000


@dataclass(frozen=True, slots=True)
class Guardrails:
    """All findings on a table of `rows`, of which `examined` were looked at.

    `majority_share` is the accuracy of always answering `majority_class`; `alone` is the area under the ROC curve of each of the
    columns that say most by themselves; `suspects` are the columns that are known, or look, to give the label away.
    """

    rows: int
    examined: int
    majority_class: str
    majority_share: float
    findings: tuple[Finding, ...]
    alone: tuple[tuple[str, float], ...] = ()
    suspects: tuple[str, ...] = ()
    known_table: str = ""

    def to_json(self) -> str:
        """The findings as JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def examine(
    columns: Mapping[str, Array], specification: FeatureSpecification, labels: Array, folds: Array | None = None
) -> Guardrails:
    """Look at `columns`, which `specification` was fitted on; `labels` int [rows] are class codes.

    `folds` int8 [rows] are those of `automl.folds`. Of what the specification drops only what is among `columns` counts: what
    was asked to be ignored is no finding.
    """
    specification = replace(specification, dropped=tuple(name for name in specification.dropped if name in columns))
    kept = _spread_rows(len(labels))
    thinned = {name: array[kept] for name, array in columns.items() if name != specification.label_column}
    table = ExaminedTable(thinned, specification, labels[kept], None if folds is None else folds[kept], recognise(columns))
    counts = numpy.bincount(labels, minlength=len(specification.classes))
    return Guardrails(
        rows=len(labels),
        examined=len(table.labels),
        majority_class=specification.classes[int(counts.argmax())],
        majority_share=float(counts.max() / counts.sum()),
        findings=tuple(finding for guardrail in GUARDRAILS if (finding := guardrail(table)) is not None),
        alone=tuple((name, round(area, 6)) for name, area in strongest(table.areas_alone, MAXIMUM_NAMED)),
        suspects=tuple(dict.fromkeys([*(late.column for late in table.known_late), *table.leaks])),
        known_table=table.known.name if table.known else "",
    )


def _spread_rows(count: int) -> Array:
    return numpy.unique(numpy.linspace(0, count - 1, min(count, MAXIMUM_EXAMINED)).astype(numpy.int64))
