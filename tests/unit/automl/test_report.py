"""The report as a document: whole, safe, self-contained, and true to its numbers."""

from __future__ import annotations

import dataclasses
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy
import pytest

from bankmlops.automl import Trial
from bankmlops.automl.explanations import examples_of, importance_of
from bankmlops.automl.folds import assign_folds
from bankmlops.automl.guardrails import examine
from bankmlops.automl.leakage import ColumnWorth
from bankmlops.automl.metrics import classification_metrics
from bankmlops.automl.report import Facts, render, write_report
from bankmlops.automl.report_charts import (
    Predictions,
    _gain,
    calibration_chart,
    gain_chart,
    lift_chart,
    progress_chart,
    threshold_counts,
)
from bankmlops.automl.svg import shown, thinned, ticks
from bankmlops.features import encode_labels, fit, matrix_from_columns
from bankmlops.features.background import choose_background
from bankmlops.features.shapley import explain_sample
from bankmlops.types import Dataset, Parity, RunStatus
from unit.automl.tables import columns

_VOID = {"meta", "link", "br", "input", "polyline", "polygon", "circle", "rect", "path", "line"}


class _Document(HTMLParser):
    """Checks that what is opened is closed, and keeps what a test asks about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in _VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data


def _probabilities(labels: Any, classes: int) -> Any:
    scores = numpy.random.default_rng(5).normal(size=(len(labels), classes)) + 2.0 * numpy.eye(classes)[labels]
    return numpy.exp(scores) / numpy.exp(scores).sum(axis=1, keepdims=True)


def _facts(classes: int = 2, metric: str = "accuracy", **changes: Any) -> Facts:
    table = columns(500, classes)
    specification = fit(table, "y")
    labels, matrix = encode_labels(specification, table["y"]), matrix_from_columns(specification, table)
    probabilities = _probabilities(labels, classes)
    metrics = classification_metrics(labels, probabilities)
    winner = Trial(3, "VotingEnsemble", RunStatus.COMPLETED, metrics[metric], metrics, {"weights": "[0.6, 0.4]"}, 4.0)
    others = [dataclasses.replace(winner, iteration=10 + n, algorithm="LightGBM", score=winner.score * 0.99) for n in range(30)]

    def predict(rows: Any) -> Any:
        chance = 1 / (1 + numpy.exp(-rows[:, :1].astype(numpy.float64)))
        return numpy.hstack([chance / (classes - 1)] * (classes - 1) + [1 - chance])

    background = choose_background(matrix, predict(matrix))
    indices, found = explain_sample(
        predict, matrix, background, specification.widths, seed=0, rows=30, deadline=time.monotonic() + 60
    )
    scores = {"accuracy": 0.9, "AUC_weighted": 0.8, "log_loss": 0.3}
    facts = Facts(
        dataset=Dataset("table", "2", 500, tuple(table), "y", "0123" * 16),
        primary_metric=metric,
        seconds=30.0,
        winner=winner,
        trials=[winner, *others],
        progress=[(float(n + 1), winner.score * (0.99 + n / 3000)) for n in range(30)],
        labels=labels,
        probabilities=probabilities,
        classes=specification.classes,
        judged="5 folds",
        seed=42,
        guardrails=examine(table, specification, labels, assign_folds(labels, 5, 0)),
        parity=Parity(2.5e-7, 0, 500),
        importance=importance_of(found, matrix[indices], specification),
        examples=examples_of(found, indices, table, specification),
        worth=[ColumnWorth("number", scores, scores, scores, 200)],
    )
    return dataclasses.replace(facts, **changes)


@pytest.mark.parametrize("classes", [2, 3, 40])
@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_the_document_is_whole(classes: int, metric: str, tmp_path: Path) -> None:
    """Of few classes and many, of scores and losses: every element is closed, no number is missing, and it stays small."""
    path = write_report(tmp_path, _facts(classes, metric))
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 600_000
    assert "nan" not in _Document(text).text.lower()
    assert not re.search(r'="[^"]*\b(nan|inf)\b', text), "a place in a drawing that is no number"


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No element names an address, so it looks the same without a network, and behind a strict content policy."""
    text = render(_facts())
    addresses = [value for _, attributes in _Document(text).tags for name, value in attributes.items() if name in ("src", "href")]
    assert addresses == ["data:,"]
    assert not re.search(r"https?://|url\(|@import", text)


def test_words_from_the_data_are_no_markup() -> None:
    """Names of classes, columns and data sets are shown as they are, whatever characters they have."""
    evil = '<img src=x onerror=alert(1)>"&'
    facts = _facts()
    dataset = dataclasses.replace(facts.dataset, name=evil, label_column=evil)
    importance = dataclasses.replace(facts.importance, columns=(evil, *facts.importance.columns[1:]))
    finding = dataclasses.replace(facts.guardrails.findings[0], name=evil, description=evil, action=evil)
    guardrails = dataclasses.replace(facts.guardrails, findings=(finding,), alone=((evil, 0.7),))
    winner = dataclasses.replace(facts.winner, algorithm=evil, parameters={evil: evil})
    text = render(
        dataclasses.replace(
            facts,
            dataset=dataset,
            importance=importance,
            guardrails=guardrails,
            classes=(evil, evil + "2"),
            winner=winner,
            trials=[winner],
            worth=[dataclasses.replace(facts.worth[0], column=evil)],
            examples=[dataclasses.replace(facts.examples[0], shown_class=evil, parts=((evil, evil, 0.1),))],
        )
    )
    document = _Document(text)
    assert not [tag for tag, _ in document.tags if tag == "img"]
    assert document.text.count(evil) >= 10


def test_the_numbers_are_the_facts() -> None:
    """The headline has the winner's score, the majority baseline beside it, and the confusion matrix counts every row."""
    facts = _facts()
    document = _Document(render(facts))
    share = numpy.bincount(facts.labels).max() / 500
    assert f"{facts.winner.score:.4f}" in document.text
    assert f"baseline {share:.4f}" in document.text
    assert "2.5e-07" in document.text
    counts = [int(text) for text in re.findall(r'<b id="m\d\d">(\d+)</b>', render(facts))]
    assert sum(counts) == 500
    assert counts[0] + counts[3] == (facts.labels == facts.probabilities.argmax(axis=1)).sum()


def test_an_ensemble_shows_its_members() -> None:
    """A blend's members stand there with their weights, a stack's without; a single model has none."""
    winner = _facts().winner
    members = {"ensembled_algorithms": "['LightGBM', 'RandomForest']", "ensembled_iterations": "[7, 2]"}
    blend = dataclasses.replace(winner, parameters={**members, "ensemble_weights": "[0.75, 0.25]"})
    text = render(_facts(winner=blend))
    for words in ("What VotingEnsemble is made of", "LightGBM, trial 7", "75.0%", "RandomForest, trial 2", "25.0%"):
        assert words in text
    stack = render(_facts(winner=dataclasses.replace(winner, algorithm="StackEnsemble", parameters=members)))
    assert "What StackEnsemble is made of" in stack
    assert "75.0%" not in stack
    assert "is made of" not in render(_facts(winner=dataclasses.replace(winner, parameters={"C": "1"})))


def test_the_leaderboard_has_the_best_twenty() -> None:
    """More trials than twenty are counted, not listed."""
    text = render(_facts())
    assert "The best 20 of 31." in text
    assert text.count("<details>") == 20
    assert text.count('<tr class="best">') == 1


def test_synthetic_data_is_said_loudly() -> None:
    """The banner stands above everything where the rows are made up, and only there."""
    facts = _facts()
    assert 'class="banner"' not in render(facts)
    assert "SYNTHETIC DATA" in render(dataclasses.replace(facts, dataset=dataclasses.replace(facts.dataset, synthetic=True)))


def test_what_is_not_there_is_left_out() -> None:
    """Without explanations, parity, progress and a suspect column there is a report all the same."""
    text = render(_facts(importance=None, examples=(), parity=None, progress=(), worth=()))
    _Document(text)
    for words in ("What drives it", "Best score over time", "ONNX", "is worth"):
        assert words not in text


def test_pictures_have_words() -> None:
    """Whoever can't see a drawing is told what it shows; every table heading has a scope; the page has one main heading."""
    tags = _Document(render(_facts())).tags
    assert all(attributes.get("aria-label") for tag, attributes in tags if tag == "svg")
    assert all(attributes.get("scope") for tag, attributes in tags if tag == "th")
    assert [tag for tag, _ in tags].count("h1") == 1
    assert dict(tags)["html"]["lang"] == "en"


def test_threshold_counts() -> None:
    """At each threshold the positives are those whose probability is not below it."""
    facts = _facts()
    true, false = threshold_counts(Predictions(facts.labels, facts.probabilities, facts.classes))
    for at in (0, 37, 50, 100):
        positive = facts.probabilities[:, 1] >= at / 100
        assert true[at] == (positive & (facts.labels == 1)).sum()
        assert false[at] == (positive & (facts.labels == 0)).sum()


def test_gain_and_lift_by_hand() -> None:
    """Of ten rows three are of the class, at ranks 1, 3 and 4: what is found after each rank, and how many times as by chance."""
    labels = numpy.array([0, 1, 0, 1, 0, 0, 1, 0, 0, 0])
    chance = numpy.array([0.1, 0.7, 0.2, 0.6, 0.05, 0.3, 0.9, 0.8, 0.15, 0.0])  # the ranks are 8, 3, 6, 4, 9, 5, 1, 2, 7, 10
    share, gain, perfect = _gain(labels == 1, chance)
    assert share == pytest.approx(numpy.arange(11) / 10)
    assert gain == pytest.approx(numpy.array([0, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3]) / 3)
    assert perfect == 0.3
    predictions = Predictions(labels, numpy.stack([1 - chance, chance], axis=1), ("no", "yes"))
    assert gain_chart(predictions).caption == "The first 20% of the rows hold 33% of the class."
    assert "The first 10% of the rows have 3.3 times the class' share" in lift_chart(predictions).caption


def test_equals_have_no_order() -> None:
    """A model that says the same of every row finds as much as chance does and is as calibrated, though the table is sorted."""
    labels = numpy.repeat([1, 0], 50)
    predictions = Predictions(labels, numpy.full((100, 2), 0.5), ("no", "yes"))
    share, gain, _ = _gain(*predictions.of(1))
    assert gain == pytest.approx(share)
    assert gain_chart(predictions).caption == "The first 20% of the rows hold 20% of the class."
    assert "have 1.0 times the class' share" in lift_chart(predictions).caption
    assert "On average 0.0% between promised and true" in calibration_chart(predictions).caption


def test_the_best_score_over_time_leaves_outliers_out() -> None:
    """A hopeless trial doesn't press the others into one line; a loss falls."""
    chart = progress_chart([(1.0, 0.185), (2.0, 0.18), (3.0, 0.181), (4.0, 0.179), (5.0, 9.0)], "log_loss", falling=True)
    assert "Best log_loss 0.1790 after 4.0 s. 1 far off" in chart.caption
    alone = progress_chart([(1.0, 0.9)], "accuracy", falling=False)
    assert "Best accuracy 0.9000 after 1.0 s." in alone.caption
    close = progress_chart([(1.0, 0.91746), (2.0, 0.91763), (3.0, 0.91748)], "accuracy", falling=False)
    assert ">0.9175</text>" in close.svg  # and not five places, which the frame has no room for


@pytest.mark.parametrize(
    ("low", "high", "percent", "texts"),
    [
        (0.0, 1.0, False, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.0, 1.0, True, ["0%", "20%", "40%", "60%", "80%", "100%"]),
        (0.9141, 0.9152, False, ["0.9142", "0.9144", "0.9146", "0.9148", "0.9150", "0.9152"]),
        (0.0, 1.02, False, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-0.5, 110.0, False, ["0", "20", "40", "60", "80", "100"]),
    ],
)
def test_ticks_are_round(low: float, high: float, percent: bool, texts: list[str]) -> None:
    """An axis has about five round numbers, each with as many places as it needs."""
    assert [shown(value, (low, high), percent=percent) for value in ticks(low, high)] == texts


def test_a_long_line_is_thinned() -> None:
    """A line of many points keeps its ends and its shape in a few."""
    x = numpy.linspace(0, 1, 50_000)
    kept_x, kept_y = thinned(x, numpy.sqrt(x))
    assert len(kept_x) <= 162
    assert (kept_x[0], kept_x[-1]) == (0, 1)
    assert numpy.abs(numpy.interp(x, kept_x, kept_y) - numpy.sqrt(x)).max() < 0.02
