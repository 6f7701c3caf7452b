"""Small tables whose labels depend on their features, made from a seed."""

from __future__ import annotations

from typing import Any

import numpy

from bankmlops.types import AutoMLConfig, Dataset

Array = numpy.ndarray[Any, Any]


def columns(rows: int, classes: int, seed: int = 0) -> dict[str, Array]:
    """Numbers, whole numbers, texts, booleans, gaps, and a label `y` that they tell of."""
    generator = numpy.random.default_rng(seed)
    number = generator.normal(size=rows)
    whole = generator.integers(0, 50, rows)
    text = generator.choice(["red", "green", "blue"], rows).astype(object)
    score = number + whole / 25 + (text == "red") + generator.normal(scale=0.5, size=rows)
    codes = numpy.digitize(score, numpy.quantile(score, numpy.arange(1, classes) / classes))
    text[generator.random(rows) < 0.05] = None
    gaps = numpy.where(generator.random(rows) < 0.1, numpy.nan, number)
    return {
        "number": gaps,
        "whole": whole,
        "text": text,
        "flag": generator.random(rows) < 0.3,
        "y": numpy.array([f"class {code}" for code in codes], dtype=object),
    }


def config(table: dict[str, Array], **fields: Any) -> AutoMLConfig:
    """A configuration for the table."""
    dataset = Dataset("table", "1", len(table["y"]), tuple(table), "y", "0" * 64)
    return AutoMLConfig(dataset, **fields)
