"""The challenger as any other model: exported, measured against itself, with the files that an AutoML run leaves."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy

from bankmlops.automl import export, pipeline
from bankmlops.automl.bundle import write_bundle
from bankmlops.automl.charts import write_charts
from bankmlops.automl.lightgbm_library import load_lightgbm
from bankmlops.automl.metrics import classification_metrics
from bankmlops.automl.parity import measure_parity
from bankmlops.features import FeatureSpecification, matrix_from_columns
from bankmlops.features.background import choose_background
from bankmlops.features.profile import profile_of
from bankmlops.online.curve_chart import write_curve_chart
from bankmlops.online.learner import OnlineLearner
from bankmlops.online.loop import OnlineLoop
from bankmlops.online.report import OnlineReport, last_report, write_report
from bankmlops.online.scores import CHALLENGER, CHAMPION, POLICIES, Comparison, PolicyScore, compare, curves, score
from bankmlops.online.training import WindowTraining
from bankmlops.types import AutoMLConfig, TrainedModel

Array = numpy.ndarray[Any, Any]

ALGORITHM = "OnlineEnsemble"
GATE_ROWS = 3000
PARITY_ROWS = 5000
CURVE_WINDOW = 1000
_MEMBERS = ("LightGBM", "LogisticRegression")


def scores_of(loop: OnlineLoop) -> tuple[PolicyScore, ...]:
    """Each policy over all that was scored."""
    return tuple(score(policy, loop.scored_labels, loop.predictions[place]) for place, policy in enumerate(POLICIES))


def comparison_of(loop: OnlineLoop) -> Comparison:
    """The gate's question: the challenger and the present champion on the newest labels, of those that it predicted."""
    newest = numpy.flatnonzero(loop.compared)[-GATE_ROWS:]
    answers = dict(zip(POLICIES, loop.predictions, strict=True))
    return compare(loop.scored_labels[newest], answers[CHAMPION][newest], answers[CHALLENGER][newest])


def report_of(name: str, loop: OnlineLoop, run_id: str) -> OnlineReport:
    """What the loop has found so far."""
    return OnlineReport(
        name=name,
        rows=loop.stream.rows,
        labels=len(loop.stream.arrival_order),
        retrained=loop.retrained,
        scores=scores_of(loop),
        comparison=comparison_of(loop),
        run_id=run_id,
        fingerprint=loop.fingerprint,
        champion=loop.settings.champion,
        new_champions=loop.new_champions,
    )


def keep(loop: OnlineLoop, training: WindowTraining, folder: Path, seconds: float) -> OnlineReport:
    """The report in the folder, with the run that keeps the challenger: a new one where the stream has gone on since the last.

    `training` says in which backend and under which name; `seconds` is how long the loop has taken.
    """
    before = last_report(folder)
    run_id = before.run_id if before and before.fingerprint == loop.fingerprint else _keep_run(loop, training, folder, seconds)
    report = report_of(training.name, loop, run_id)
    write_report(folder, report)
    return report


def _keep_run(loop: OnlineLoop, training: WindowTraining, folder: Path, seconds: float) -> str:
    config = training.config(training.register(loop.newest_window(), folder))
    outputs = folder / "outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    return training.backend.record_run(trained_model(loop, config, outputs, seconds)).id


def trained_model(loop: OnlineLoop, config: AutoMLConfig, outputs: Path, seconds: float) -> TrainedModel:
    """Write the challenger's files into `outputs`, and answer what `Backend.record_run` takes.

    Its metrics are of the newest labels, as it had answered before it saw them; `config` names the data and the experiment.
    """
    outputs.mkdir(parents=True, exist_ok=True)
    rows = loop.stream.arrival_order[-PARITY_ROWS:]
    columns = loop.stream.take(rows)
    matrix = matrix_from_columns(loop.specification, columns)
    newest = slice(-GATE_ROWS, None)
    labels, answers = loop.scored_labels[newest], _both(loop.predictions[POLICIES.index(CHALLENGER)][newest])
    model = _graph(loop.learner, loop.specification)
    example = {column.name: _plain(columns[column.name][0]) for column in loop.specification.columns}
    trained = _both(loop.learner.predict(matrix))
    write_bundle(
        outputs / "bundle", model, loop.specification, ALGORITHM, example,
        choose_background(matrix, trained), profile_of(loop.specification, columns),
    )  # fmt: skip
    (outputs / "model.pkl").write_bytes(pickle.dumps(_pipeline(loop.learner, loop.specification, matrix), protocol=5))
    write_charts(outputs, labels, answers, loop.specification.classes)
    window = max(min(CURVE_WINDOW, len(loop.scored) // 5), 1)
    points = curves(loop.scored_labels, loop.predictions, window)
    _write_scores(outputs, loop, points, window)
    return TrainedModel(
        config=config,
        outputs=outputs,
        algorithm=ALGORITHM,
        metrics=classification_metrics(labels, answers),
        parameters=_parameters(loop.learner),
        parity=measure_parity(trained, export.answers(model, matrix)),
        input_example=example,
        seconds=seconds,
        curves=points,
    )


def _graph(learner: OnlineLearner, specification: FeatureSpecification) -> bytes:
    estimators = _estimators(learner, specification.width)
    graphs = [export.convert(each, name, specification.width) for each, name in zip(estimators, _MEMBERS, strict=True)]
    return export.merge(graphs, learner.weights.tolist(), specification.width, len(specification.classes))


def _pipeline(learner: OnlineLearner, specification: FeatureSpecification, matrix: Array) -> Any:
    estimators = _estimators(learner, matrix.shape[1])
    voting = pipeline.voting_classifier(_MEMBERS, estimators, learner.weights.tolist(), specification.classes)
    return pipeline.build_pipeline(specification, pipeline.ENSEMBLE_STEP, voting)


def _estimators(learner: OnlineLearner, width: int) -> Sequence[Any]:
    """The members as scikit-learn has them, on class codes."""
    from sklearn.pipeline import Pipeline

    trees = load_lightgbm().LGBMClassifier(n_estimators=1, verbosity=-1).fit(numpy.zeros((2, width), dtype=numpy.float32), [0, 1])
    trees._Booster = learner.trees.booster  # what its own `fit` would leave
    linear = Pipeline([("scaler", learner.linear.scaler), ("classifier", learner.linear.classifier)])
    return trees, linear


def _parameters(learner: OnlineLearner) -> Mapping[str, str]:
    return {
        "ensembled_algorithms": str(["LightGBM", "SGDClassifier"]),
        "ensemble_weights": str(learner.weights.round(6).tolist()),
        "trees": str(learner.trees.booster.num_trees()),
    }


def _write_scores(outputs: Path, loop: OnlineLoop, points: Mapping[str, tuple[tuple[int, float], ...]], window: int) -> None:
    document = {
        "window": window,
        "scores": [asdict(each) for each in scores_of(loop)],
        "comparison": asdict(comparison_of(loop)),
        "retrained": loop.retrained,
        "new_champions": loop.new_champions,
        "curves": points,
    }
    (outputs / "prequential.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    retrained = [each - loop.settings.warm_up for each in loop.retrained]
    write_curve_chart(outputs / "prequential.png", points, window, retrained, loop.new_champions)


def _both(second: Array) -> Array:
    return numpy.stack([1 - second, second], axis=1)


def _plain(value: Any) -> object:
    """A cell as JSON has it."""
    value = value.item() if isinstance(value, numpy.generic) else value
    return None if isinstance(value, float) and not numpy.isfinite(value) else value
