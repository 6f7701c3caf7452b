"""The gate: a model goes on where it is good enough, or better than the champion on rows that neither was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

from bankmlops.errors import InvalidRequestError, RunFailedError
from bankmlops.local.datasets import Datasets
from bankmlops.local.pipelines.steps import Outputs, StepContext
from bankmlops.local.pipelines.training import dataset_of, model_of
from bankmlops.pipelines.progress import REFUSAL
from bankmlops.pipelines.validation import closest
from bankmlops.types import Dataset, Model, Run

if TYPE_CHECKING:
    import numpy

    from bankmlops.automl.comparison import Comparison
    from bankmlops.scoring.bundle import Bundle

    Array = numpy.ndarray[Any, Any]

_CONFIDENCE = 0.95
_STOP, _FAIL = "stop", "fail"
_AVERAGED = ("AUC", "average_precision_score", "precision_score", "recall_score", "f1_score")
METRICS = (
    *("accuracy", "balanced_accuracy", "weighted_accuracy", "log_loss", "matthews_correlation", "norm_macro_recall"),
    *(f"{name}_{average}" for name in _AVERAGED for average in ("macro", "micro", "weighted")),
)


def evaluate(context: StepContext, _outputs: Outputs) -> Outputs:
    """Let the model through, or not: then the run fails, or, with `otherwise` "stop", ends without what waits for the gate."""
    run = context.backend.get_run(context.inputs["automl_run_id"])
    _check(context.inputs, run)
    outputs = _compared(context, run) if "champion" in context.inputs else _scored(context, run)
    refusal = outputs.get(REFUSAL, "")
    if refusal and context.inputs.get("otherwise", _FAIL) == _FAIL:
        raise RunFailedError(refusal)
    context.log(refusal or "the model goes on")
    return {"automl_run_id": run.id, **outputs, "passed": "false" if refusal else "true"}


def check_gate(inputs: Mapping[str, Any]) -> None:
    """Raises `InvalidRequestError` for an input that no gate can have; those that are not known yet are left out."""
    if inputs.get("otherwise", _FAIL) not in (_FAIL, _STOP):
        raise InvalidRequestError(f"otherwise {inputs['otherwise']!r} can't serve; {_FAIL} or {_STOP} would")
    if not 0.5 <= inputs.get("confidence", _CONFIDENCE) < 1:
        raise InvalidRequestError(f"confidence {inputs['confidence']} can't serve; 0.5 or more and less than 1 would")
    metric = inputs.get("metric", METRICS[0])
    if metric not in METRICS and not metric.endswith("_binary"):
        raise InvalidRequestError(f"metric {metric!r} is unknown; {closest(metric, METRICS)}")


def _check(inputs: Mapping[str, Any], run: Run) -> None:
    check_gate(inputs)
    if "champion" in inputs and "dataset" not in inputs:
        raise InvalidRequestError("input 'dataset' is missing: the rows that model and champion are compared on")
    known = METRICS if "dataset" in inputs else (*run.metrics, *METRICS)
    if inputs.get("metric", METRICS[0]) not in known:
        raise InvalidRequestError(f"metric {inputs['metric']!r} is not known of this model; {closest(inputs['metric'], known)}")


def _scored(context: StepContext, run: Run) -> dict[str, str]:
    """The model's own metric, or that on the rows of `dataset`, against `minimum`."""
    metric = context.inputs.get("metric", run.primary_metric)
    score = _score_on(context, run, metric) if "dataset" in context.inputs else run.metrics.get(metric, math.nan)
    return {"score": repr(score), **_below_minimum(context, metric, score)}


def _below_minimum(context: StepContext, metric: str, score: float) -> dict[str, str]:
    minimum = context.inputs.get("minimum")
    if minimum is None or score >= minimum:
        return {}
    return {REFUSAL: f"{metric} is {score:.4f}, below the gate of {minimum:g}: no model was registered"}


def _score_on(context: StepContext, run: Run, metric: str) -> float:
    from bankmlops.automl.metrics import metric_of

    rows = _Rows(context)
    return metric_of(metric, *rows.labels_and_probabilities([rows.bundle(run.id)])[:2])


def _compared(context: StepContext, run: Run) -> dict[str, str]:
    """The model against the champion on the same rows, and against `minimum` where there is one."""
    champion = model_of(context.backend, context.inputs["champion"])
    comparison = _compare(context, run, champion)
    named = f"{champion.name}:{champion.version}"
    known = {
        "score": repr(comparison.challenger),
        "champion": named,
        "champion_score": repr(comparison.champion),
        "difference": repr(comparison.difference),
        "interval": f"{comparison.low:.6f} to {comparison.high:.6f}",
    }
    if comparison.is_better:
        return {**known, **_below_minimum(context, comparison.metric, comparison.challenger)}
    said = f"{comparison.metric} {comparison.challenger:.4f} against {comparison.champion:.4f}, {comparison.rows} rows"
    return {**known, REFUSAL: f"not better than {named} beyond noise ({said}, difference {known['interval']})"}


def _compare(context: StepContext, run: Run, champion: Model) -> Comparison:
    from bankmlops.automl.comparison import compare

    rows = _Rows(context)
    labels, challenger, other = rows.labels_and_probabilities([rows.bundle(run.id), rows.bundle(champion.run_id)])
    metric = context.inputs.get("metric", "log_loss")
    return compare(labels, challenger, other, metric, context.inputs.get("confidence", _CONFIDENCE))


class _Rows:
    """The rows of the step's dataset, and what models answer to them."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._datasets = Datasets(context.workspace)
        self._dataset: Dataset = dataset_of(context.backend, context.inputs["dataset"])

    def bundle(self, run_id: str) -> Bundle:
        """The model of an AutoML run, as it would be served."""
        from bankmlops.batch.model import fetch_bundle

        return fetch_bundle(self._context.backend, Model("the model of run", run_id, run_id))

    def labels_and_probabilities(self, bundles: list[Bundle]) -> list[Array]:
        """int64 [rows], and float32 [rows, classes] for each model; rows that one of them can't score are left out."""
        import numpy

        from bankmlops.features import encode_labels

        first = bundles[0]
        labels = encode_labels(first.specification, self._datasets.read(self._dataset)[self._dataset.label_column])
        answers = [self._answers(bundle, first.classes) for bundle in bundles]
        shared = reduce(numpy.intersect1d, [rows for rows, _ in answers])
        if not len(shared):
            raise InvalidRequestError(f"no row of dataset {self._dataset.name} version {self._dataset.version} can be scored")
        return [labels[shared], *(matrix[numpy.searchsorted(rows, shared)] for rows, matrix in answers)]

    def _answers(self, bundle: Bundle, classes: tuple[str, ...]) -> tuple[Array, Array]:
        """The rows that can be scored, in order, and their probabilities [rows, classes], with the classes in this order."""
        import numpy
        from pyarrow import parquet

        from bankmlops.batch.run import score_files

        if set(bundle.classes) != set(classes):
            raise InvalidRequestError(f"the models tell other classes apart: {', '.join(classes)}; {', '.join(bundle.classes)}")
        output = self._context.folder.make() / "answers.parquet"
        score_files(
            bundle, self._datasets.parquet(self._dataset), output, proba=True, on_progress=lambda *_: self._context.check()
        )
        table = parquet.read_table(output)
        output.unlink()
        output.with_name(f"{output.name}.rejected.jsonl").unlink(missing_ok=True)
        return table["row"].to_numpy(), numpy.stack([table[f"probability_{name}"].to_numpy() for name in classes], axis=1)
