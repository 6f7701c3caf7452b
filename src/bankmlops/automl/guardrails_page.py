"""The guardrails as files of their own, for programs and for people: they are there before the first trial has ended.

They are written twice: at the start, and once more when it is known what the suspect columns are worth.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy

from bankmlops.automl import report_data
from bankmlops.automl.guardrails import Guardrails
from bankmlops.automl.leakage import ColumnWorth
from bankmlops.automl.report_page import page
from bankmlops.automl.table import Table
from bankmlops.types import Dataset

JSON_FILE, HTML_FILE = "guardrails.json", "guardrails.html"


def write_guardrails(folder: Path, found: Guardrails, table: Table, dataset: Dataset, worth: Sequence[ColumnWorth] = ()) -> None:
    """Write `guardrails.json` and `guardrails.html`, each of them whole or not at all."""
    document = json.loads(found.to_json()) | {"worth": [each.to_dict() for each in worth]}
    _write(folder / JSON_FILE, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    _write(folder / HTML_FILE, _html(found, table, dataset, worth))


def section(
    found: Guardrails, dataset: Dataset, classes: Sequence[str], counts: numpy.ndarray, worth: Sequence[ColumnWorth]
) -> str:
    """The part of a page that tells of the data; `counts` int [classes] are the rows of each class."""
    about = report_data.dataset(dataset, classes, counts, found.alone)
    scores = "".join(report_data.worth(each) for each in worth)
    return (
        f'<section><h2>Data and guardrails</h2><div class="two"><div class="card">{report_data.rails(found)}</div>'
        f'<div class="stack"><div class="card">{about}</div>{scores}</div></div></section>'
    )


def _html(found: Guardrails, table: Table, dataset: Dataset, worth: Sequence[ColumnWorth]) -> str:
    classes = table.specification.classes
    counts = numpy.bincount(table.labels, minlength=len(classes))
    title = escape(f"Guardrails of {dataset.name}")
    header = f'<p class="eyebrow">Before training · {escape(dataset.name)} version {escape(dataset.version)}</p><h1>{title}</h1>'
    footer = f"{found.examined:,} of {found.rows:,} rows examined. Dataset sha256 <code>{escape(dataset.sha256)}</code>"
    return page(title, header, section(found, dataset, classes, counts, worth), footer, "")


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
