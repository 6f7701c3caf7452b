"""The report's tables: confusion matrix, guardrails, the dataset, the worth of a suspect column, and the export's parity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy

from bankmlops.automl.findings import Finding, Status
from bankmlops.automl.guardrails import Guardrails
from bankmlops.automl.leakage import ColumnWorth
from bankmlops.automl.metrics import predicted_codes
from bankmlops.automl.report_charts import Predictions
from bankmlops.types import Dataset, Parity

Array = numpy.ndarray[Any, Any]

MAXIMUM_CLASSES = 12
_FEW_CLASSES = 4
_ORDER = (Status.ALERTED, Status.DONE, Status.PASSED)
_AVERAGES = ("binary", "macro", "micro", "weighted")
_AVERAGED = {
    "AUC": "AUC",
    "average_precision_score": "avg. precision",
    "f1_score": "F1",
    "precision_score": "precision",
    "recall_score": "recall",
}
_ALONE = "What a column says alone (AUC; 0.5 is nothing)"
_SHOWN_METRICS = {"accuracy": "accuracy", "AUC_weighted": "AUC", "log_loss": "log loss"}


def confusion(predictions: Predictions) -> str:
    """The confusion matrix; of two classes with a slider for the threshold, which a script shows."""
    matrix, names = _joined(predictions)
    head = "".join(f'<th scope="col" class="small soft">{escape(_short(name))}</th>' for name in names)
    rows = "".join(_confusion_row(matrix, names, row) for row in range(len(names)))
    many = "" if len(names) <= _FEW_CLASSES else " many"
    table = (
        f'<div class="scroll"><table class="matrix{many}"><caption>Rows are what was, columns what was predicted.</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return f"<h3>Confusion matrix</h3>{table}{_control(predictions) if predictions.is_binary else ''}"


def _control(predictions: Predictions) -> str:
    name = escape(predictions.classes[1])
    return (
        f'<div id="threshold-control" hidden style="margin-top:10px"><label for="threshold">{name} from a probability of '
        '<b id="threshold-value">0.50</b></label><input id="threshold" type="range" min="0" max="100" value="50">'
        '<p class="small soft" id="threshold-scores" aria-live="polite"></p></div>'
    )


def _joined(predictions: Predictions) -> tuple[Array, list[str]]:
    """int64 [n, n] and n names: the most frequent classes, and the others as one where they are many."""
    count = len(predictions.classes)
    place = numpy.arange(count)
    names = list(predictions.classes)
    if count > MAXIMUM_CLASSES:
        most = numpy.argsort(-numpy.bincount(predictions.labels, minlength=count), kind="stable")[: MAXIMUM_CLASSES - 1]
        place = numpy.full(count, MAXIMUM_CLASSES - 1)
        place[most] = numpy.arange(len(most))
        names = [*(predictions.classes[code] for code in most), f"{count - len(most)} others"]
    pairs = place[predictions.labels] * len(names) + place[predicted_codes(predictions.probabilities)]
    return numpy.bincount(pairs, minlength=len(names) ** 2).reshape(len(names), len(names)), names


def _confusion_row(matrix: Array, names: Sequence[str], row: int) -> str:
    cells = "".join(_confusion_cell(matrix, row, column) for column in range(len(names)))
    return f'<tr><th scope="row" class="small soft">{escape(_short(names[row]))}</th>{cells}</tr>'


def _confusion_cell(matrix: Array, row: int, column: int) -> str:
    count, share = int(matrix[row, column]), float(matrix[row, column] / max(matrix[row].sum(), 1))
    hue = "var(--s0)" if row == column else "var(--s1)"
    style = f"--part:{share * 45:.1f}%;background:color-mix(in srgb,{hue} var(--part),var(--faint))"
    name = f"m{row}{column}"
    below = f'<span class="small" id="{name}s">{share:.1%}</span>' if len(matrix) <= _FEW_CLASSES else ""
    return f'<td><div style="{style}"><b id="{name}">{count:,}</b>{below}</div></td>'


def rails(guardrails: Guardrails) -> str:
    """The findings, those that want a person's judgement first."""
    findings = sorted(guardrails.findings, key=lambda finding: _ORDER.index(finding.status))
    note = ""
    if guardrails.examined < guardrails.rows:
        note = f'<p class="small soft">Looked at {guardrails.examined:,} of {guardrails.rows:,} rows.</p>'
    return note + "".join(_rail(finding) for finding in findings)


def _rail(finding: Finding) -> str:
    action = f'<p class="small">{escape(finding.action)}</p>' if finding.action else ""
    return (
        f'<div class="rail"><span class="chip {finding.status}">{finding.status.capitalize()}</span><div>'
        f"<h3>{escape(finding.name)}</h3>"
        f'<p class="small soft">{escape(finding.description)}</p>{action}</div></div>'
    )


def dataset(dataset: Dataset, classes: Sequence[str], counts: Array, alone: Sequence[tuple[str, float]]) -> str:
    """What the table is, the shares of its classes, and what its columns say alone."""
    total = max(int(counts.sum()), 1)
    order = numpy.argsort(-counts, kind="stable")[:MAXIMUM_CLASSES]
    shares = "".join(f'<i class="s{place % 5}" style="width:{counts[code] / total:.2%}"></i>' for place, code in enumerate(order))
    named = ", ".join(f"{_short(classes[code])} {counts[code] / total:.1%}" for code in order)
    more = f" and {len(classes) - len(order)} more classes" if len(classes) > len(order) else ""
    pairs = {
        "Name": f"{dataset.name} version {dataset.version}",
        "Rows": f"{dataset.rows:,}",
        "Columns": f"{len(dataset.columns)}, the label {dataset.label_column} among them",
    }
    if dataset.synthetic:
        pairs["Origin"] = "SYNTHETIC: made by a generator"
    items = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items())
    return (
        f'<h3>Dataset</h3><dl>{items}</dl><div class="shares" aria-hidden="true">{shares}</div>'
        f'<p class="small soft">{escape(named + more)}</p>{_alone(alone)}'
    )


def _alone(alone: Sequence[tuple[str, float]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><span class="bar" aria-hidden="true">'
        f'<i class="quiet" style="width:{max(area - 0.5, 0) * 2:.1%}"></i></span></td><td class="n">{area:.3f}</td></tr>'
        for name, area in alone[:6]
    )
    return f'<table style="margin-top:16px"><caption>{_ALONE}</caption><tbody>{rows}</tbody></table>'


def worth(worth: ColumnWorth) -> str:
    """The scores with a suspect column, without it, and of the baseline."""
    names = [name for name in _SHOWN_METRICS if name in worth.with_it]
    head = "".join(f'<th scope="col" class="n">{_SHOWN_METRICS[name]}</th>' for name in names)
    column = escape(worth.column)
    rows = "".join(
        f'<tr><th scope="row">{label}</th>{"".join(f"<td class=n>{scores[name]:.4f}</td>" for name in names)}</tr>'
        for label, scores in (
            (f"with {column}", worth.with_it),
            (f"without {column}", worth.without_it),
            ("baseline", worth.baseline),
        )
    )
    return (
        f'<div class="card"><h3>What {column} is worth</h3><table style="margin-top:8px"><caption>One small '
        f"LightGBM, fixed settings, {worth.rows:,} held-out rows. The baseline answers the classes' shares.</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def metrics(values: Mapping[str, float]) -> str:
    """All metrics: those that there are several averages of in a table, then the others."""
    averages = [average for average in _AVERAGES if f"AUC_{average}" in values]
    head = "".join(f'<th scope="col" class="n">{average}</th>' for average in averages)
    rows = "".join(_metric_row(values, name, shown, averages) for name, shown in _AVERAGED.items())
    others = {name: value for name, value in values.items() if not name.startswith(tuple(_AVERAGED))}
    items = "".join(f"<dt>{escape(name)}</dt><dd>{value:.4f}</dd>" for name, value in sorted(others.items()))
    return (
        f'<h3>All metrics</h3><div class="scroll small"><table class="tight"><thead><tr><td></td>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><dl class="small">{items}</dl>'
    )


def _metric_row(values: Mapping[str, float], name: str, shown: str, averages: Sequence[str]) -> str:
    cells = "".join(f'<td class="n">{values.get(f"{name}_{average}", float("nan")):.3f}</td>' for average in averages)
    return f'<tr><th scope="row">{shown}</th>{cells}</tr>'


def parity(parity: Parity) -> str:
    """How well the exported graph repeats the trained model."""
    flips = "no label differs" if parity.label_flips == 0 else f"{parity.label_flips:,} labels differ"
    return (
        '<p class="small" style="margin-top:4px">The ONNX graph that the endpoint serves answers as the trained model does: on '
        f"{parity.rows:,} rows its probabilities are at most <b>{parity.max_probability_difference:.1e}</b> apart and "
        f"<b>{flips}</b>.</p>"
    )


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"
