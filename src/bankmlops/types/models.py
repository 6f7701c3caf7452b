"""Models: how well an export repeats its model, and what is registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bankmlops.types.defaults import empty_mapping
from bankmlops.types.runs import AutoMLConfig


@dataclass(frozen=True, slots=True)
class Parity:
    """What the export's gate measured: the exported model against the trained one, on `rows` validation rows."""

    max_probability_difference: float
    label_flips: int
    rows: int


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model version; `parity` is None where the backend exports nothing (Azure serves the pickle)."""

    name: str
    version: str
    run_id: str
    algorithm: str = ""
    aliases: tuple[str, ...] = ()
    parity: Parity | None = None
    tags: Mapping[str, str] = field(default_factory=empty_mapping)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model that was trained outside an AutoML run, with all that such a run leaves of its winner.

    `outputs` holds the files of docs/automl.md: `model.pkl`, `bundle/` and whatever describes it. `config` says what it was
    trained on and under which experiment, `parity` how well its export repeats it; `curves` are metrics over rows: (row, value).
    """

    config: AutoMLConfig
    outputs: Path
    algorithm: str
    metrics: Mapping[str, float]
    parameters: Mapping[str, str]
    parity: Parity
    input_example: Mapping[str, Any]
    seconds: float = 0.0
    curves: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=empty_mapping)
