"""Leaves the winner in its two forms: the scikit-learn pipeline, and the bundle that the service loads; and compares them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bankmlops.automl import export, pipeline
from bankmlops.automl.bundle import write_bundle
from bankmlops.automl.lightgbm_library import load_lightgbm
from bankmlops.automl.parity import measure_parity
from bankmlops.automl.refit import Member
from bankmlops.automl.table import Table
from bankmlops.automl.winner import Choice
from bankmlops.features.background import choose_background
from bankmlops.features.profile import profile_of
from bankmlops.types import Parity


def export_winner(outputs: Path, winner: Choice, members: Sequence[Member], table: Table) -> tuple[bytes, Parity]:
    """Write `model.pkl` and `bundle/`; answers the ONNX model, and how the two compare on every row."""
    model = _graph(winner, members, table)
    background = choose_background(table.scored_matrix, winner.probabilities)
    profile = profile_of(table.specification, table.columns)
    write_bundle(outputs / "bundle", model, table.specification, winner.trial.algorithm, table.example, background, profile)
    step = pipeline.step_name(winner.trial.algorithm)
    built = pipeline.build_pipeline(table.specification, step, _classifier(winner, members, table.classes))
    # A plain pickle: Azure's SDK loads it without joblib, which reads it as well.
    (outputs / "model.pkl").write_bytes(pickle.dumps(built, protocol=5))
    trained = winner.combine([member.probabilities for member in members])
    return model, measure_parity(trained, export.answers(model, table.matrix))


def _graph(winner: Choice, members: Sequence[Member], table: Table) -> bytes:
    import onnx

    graphs = [onnx.load(str(fit.graph)) for member in members for fit in member.fits]
    specification = table.specification
    return export.combine(graphs, _means(winner, members), _learner(winner), specification.width, len(specification.classes))


def _means(winner: Choice, members: Sequence[Member]) -> list[dict[int, float]]:
    """The mean of each member's fits where a meta learner weighs the members, else the weighted mean of all fits."""
    means, first = [], 0
    for member in members:
        count = len(member.fits)
        means.append(dict.fromkeys(range(first, first + count), 1 / count))
        first += count
    if winner.meta_learner:
        return means
    return [{fit: share * w for mean, w in zip(means, winner.weights, strict=True) for fit, share in mean.items()}]


def _learner(winner: Choice) -> Any:
    return winner.meta_learner or winner.calibration


def _classifier(winner: Choice, members: Sequence[Member], classes: Sequence[Any]) -> Any:
    import joblib

    load_lightgbm()  # before a pickle imports it
    fitted = [[joblib.load(fit.estimator) for fit in member.fits] for member in members]
    names = [member.contender.trial.algorithm for member in members]
    if winner.meta_learner:
        averaged = [pipeline.averaged(name, fits, len(classes)) for name, fits in zip(names, fitted, strict=True)]
        return pipeline.stacking_classifier(names, averaged, winner.meta_learner.classifier, classes)
    weights = [weight / len(fits) for weight, fits in zip(winner.weights, fitted, strict=True) for _ in fits]
    all_names = [name for name, fits in zip(names, fitted, strict=True) for _ in fits]
    estimators = [fit for fits in fitted for fit in fits]
    if winner.calibration:
        voting = pipeline.voting_classifier(all_names, estimators, weights, range(len(classes)))
        return pipeline.stacking_classifier(["blend"], [voting], winner.calibration.classifier, classes)
    return pipeline.voting_classifier(all_names, estimators, weights, classes)
