"""What the flow did and measured: filled in as it goes, and written as `build/e2e/<backend>.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bankmlops.benchmark import Benchmark
from bankmlops.types import CostlyResource, Dataset, Endpoint, Model, PipelineRun, PublishedPipeline, Run


@dataclass(frozen=True, slots=True)
class Step:
    """One step as it went."""

    name: str
    seconds: float
    ok: bool


@dataclass
class Evidence:
    """What the flow did and measured, filled in as it goes, so that a failed flow tells how far it came."""

    steps: list[Step] = field(default_factory=list)
    dataset: Dataset | None = None
    run: Run | None = None
    model: Model | None = None
    endpoint: Endpoint | None = None
    result: tuple[str, ...] = ()
    benchmark: Benchmark | None = None
    log_lines: int = 0
    published: PublishedPipeline | None = None
    pipeline_run: PipelineRun | None = None
    released: list[CostlyResource] = field(default_factory=list)
    left: list[CostlyResource] = field(default_factory=list)
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error and bool(self.steps) and all(step.ok for step in self.steps)


def evidence_document(evidence: Evidence, backend: str, **facts: bool) -> dict[str, Any]:
    """The evidence as `build/e2e/<backend>.json` shows it; a part that the flow did not reach is null.

    `facts` are what only the caller knows of the surroundings, such as `emulated=True`.
    """
    return {
        "backend": backend,
        "ok": evidence.ok,
        "seconds": round(sum(step.seconds for step in evidence.steps), 3),
        "synthetic": evidence.dataset.synthetic if evidence.dataset else None,
        "steps": [{"name": step.name, "seconds": step.seconds, "ok": step.ok} for step in evidence.steps],
        "dataset": _dataset_document(evidence.dataset),
        "automl": _automl_document(evidence.run),
        "model": _model_document(evidence.model),
        "endpoint": _endpoint_document(evidence.endpoint),
        "score": {"result": list(evidence.result)} if evidence.result else None,
        "benchmark": _benchmark_document(evidence.benchmark),
        "logs": {"lines": evidence.log_lines},
        "pipeline": _pipeline_document(evidence.published, evidence.pipeline_run),
        "released": [f"{resource.kind} {resource.name}" for resource in evidence.released],
        "left": [f"{resource.kind} {resource.name}" for resource in evidence.left],
        "error": evidence.error or None,
        **facts,
    }


def _dataset_document(dataset: Dataset | None) -> dict[str, Any] | None:
    if dataset is None:
        return None
    return {"name": dataset.name, "version": dataset.version, "rows": dataset.rows, "sha256": dataset.sha256}


def _automl_document(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "run_id": run.id,
        "best_algorithm": run.best_algorithm,
        "primary_metric": run.primary_metric,
        "metrics": dict(run.metrics),
        "trials": run.trials,
        "seconds": run.seconds,
    }


def _model_document(model: Model | None) -> dict[str, Any] | None:
    if model is None:
        return None
    parity = model.parity and {
        "max_probability_difference": model.parity.max_probability_difference,
        "label_flips": model.parity.label_flips,
        "rows": model.parity.rows,
    }
    return {"name": model.name, "version": model.version, "parity": parity}


def _endpoint_document(endpoint: Endpoint | None) -> dict[str, Any] | None:
    if endpoint is None:
        return None
    return {
        "name": endpoint.name,
        "runtime": endpoint.runtime,
        "runtime_reason": endpoint.runtime_reason or None,
        "scoring_uri": endpoint.scoring_uri,
        "swagger_uri": endpoint.swagger_uri,
        "cold_start_seconds": round(endpoint.cold_start_seconds, 3),
    }


def _benchmark_document(benchmark: Benchmark | None) -> dict[str, Any] | None:
    if benchmark is None:
        return None
    names = ("tool", "requests", "failed", "requests_per_second", "mean_ms", "p50_ms", "p99_ms")
    return {name: getattr(benchmark, name) for name in names}


def _pipeline_document(published: PublishedPipeline | None, run: PipelineRun | None) -> dict[str, Any] | None:
    if published is None:
        return None
    return {
        "id": published.id,
        "version": published.version,
        "endpoint": published.endpoint,
        "run_id": run.id if run else None,
        "status": str(run.status) if run else None,
    }
