"""How each kind of value looks to a person. Rich is imported when something is drawn, not when the command's words are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bankmlops.types import (
    ChildRun,
    Dataset,
    Endpoint,
    EndpointKeys,
    Model,
    PipelineRun,
    PublishedPipeline,
    Run,
)

if TYPE_CHECKING:
    from bankmlops.benchmark import Benchmark
    from bankmlops.cli.tables import Column

METRICS = ("accuracy", "AUC_weighted", "f1_score_weighted", "log_loss")


def draw_table(values: Sequence[Any], columns: Sequence[Column], what: str) -> Any:
    """Values, one a line; that there are none, where there are none."""
    from bankmlops.cli.tables import table

    return table(values, columns) if values else f"no {what} yet"


def draw_dataset(dataset: Dataset) -> Any:
    """One dataset."""
    from bankmlops.cli.tables import details

    return details(dataset)


def draw_datasets(datasets: Sequence[Dataset]) -> Any:
    """Datasets, one a line."""
    columns: Sequence[Column] = (
        ("name", lambda each: each.name),
        ("version", lambda each: each.version),
        ("rows", lambda each: each.rows),
        ("columns", lambda each: len(each.columns)),
        ("label", lambda each: each.label_column),
        ("synthetic", lambda each: "yes" if each.synthetic else "no"),
        ("created", lambda each: each.created),
    )
    return draw_table(datasets, columns, "datasets")


def draw_run(run: Run) -> Any:
    """One AutoML run: its winner, with all metrics under Azure's names."""
    from bankmlops.cli.tables import pairs

    named = {
        "run": run.id,
        "experiment": run.experiment_name,
        "status": run.status,
        "best algorithm": run.best_algorithm,
        "primary metric": run.primary_metric,
        "trials": run.trials or None,
        "seconds": f"{run.seconds:.1f}" if run.seconds else None,
        "progress": None if run.status.is_final else run.progress,
        "started": run.started,
        "error": run.error,
        "page": run.portal_url,
        "tags": run.tags,
        "metrics": run.metrics,
    }
    return pairs({name: value for name, value in named.items() if value not in (None, "") and (value or name == "run")})


def draw_runs(runs: Sequence[Run]) -> Any:
    """AutoML runs, one a line."""
    columns: Sequence[Column] = (
        ("run", lambda each: each.id),
        ("experiment", lambda each: each.experiment_name),
        ("status", lambda each: each.status),
        ("best algorithm", lambda each: each.best_algorithm),
        ("score", lambda each: each.metrics.get(each.primary_metric)),
        ("trials", lambda each: each.trials),
        ("started", lambda each: each.started),
    )
    return draw_table(runs, columns, "runs")


def draw_children(children: Sequence[ChildRun]) -> Any:
    """The leaderboard."""
    ranked = list(enumerate(children, 1))
    columns: list[Column] = [
        ("rank", lambda each: each[0]),
        ("trial", lambda each: each[1].iteration),
        ("algorithm", lambda each: each[1].algorithm),
        *((name, lambda each, name=name: each[1].metrics.get(name)) for name in METRICS),
        ("seconds", lambda each: f"{each[1].seconds:.1f}"),
    ]
    return draw_table(ranked, columns, "finished trials")


def draw_trials(trials: Sequence[ChildRun]) -> Any:
    """Trials by number, with why one has no score."""
    columns: Sequence[Column] = (
        ("trial", lambda each: each.iteration),
        ("algorithm", lambda each: each.algorithm),
        ("status", lambda each: each.status),
        ("score", lambda each: None if math.isnan(each.score) else each.score),
        ("seconds", lambda each: f"{each.seconds:.1f}"),
        ("why", lambda each: each.error),
    )
    return draw_table(trials, columns, "trials")


def draw_lines(lines: Sequence[str]) -> Any:
    """Texts, one a line."""
    from rich.text import Text

    from bankmlops.cli.text import printable

    return Text("\n".join(map(printable, lines)))


def draw_model(model: Model) -> Any:
    """One model version, with what the gate of its export measured."""
    from bankmlops.cli.tables import pairs

    parity = model.parity
    measured = parity and f"{parity.max_probability_difference:.1e} on {parity.rows:,} rows, {parity.label_flips} labels differ"
    named = {
        "name": model.name,
        "version": model.version,
        "aliases": model.aliases,
        "algorithm": model.algorithm,
        "run": model.run_id,
        "export differs by": measured,
        "tags": model.tags,
    }
    return pairs({name: value for name, value in named.items() if value})


def draw_models(models: Sequence[Model]) -> Any:
    """Models, one a line."""
    columns: Sequence[Column] = (
        ("name", lambda each: each.name),
        ("version", lambda each: each.version),
        ("aliases", lambda each: each.aliases),
        ("algorithm", lambda each: each.algorithm),
        ("run", lambda each: each.run_id),
    )
    return draw_table(models, columns, "models")


def draw_endpoint(endpoint: Endpoint) -> Any:
    """One endpoint."""
    from bankmlops.cli.tables import pairs

    named = {
        "name": endpoint.name,
        "state": endpoint.state,
        "model": f"{endpoint.model_name} version {endpoint.model_version}",
        "runtime": f"{endpoint.runtime}: {endpoint.runtime_reason}" if endpoint.runtime_reason else endpoint.runtime,
        "scoring URI": endpoint.scoring_uri,
        "swagger URI": endpoint.swagger_uri,
        "authentication": "by key" if endpoint.auth_enabled else "none",
        "app insights": endpoint.app_insights,
        "collects model data": endpoint.collect_model_data,
        "workers": endpoint.workers,
        "created": endpoint.created,
        "cold start": f"{endpoint.cold_start_seconds:.2f} s" if endpoint.cold_start_seconds else None,
        "tags": endpoint.tags or None,
    }
    return pairs({name: value for name, value in named.items() if value not in (None, "")})


def draw_endpoints(endpoints: Sequence[Endpoint]) -> Any:
    """Endpoints, one a line."""
    columns: Sequence[Column] = (
        ("name", lambda each: each.name),
        ("state", lambda each: each.state),
        ("model", lambda each: f"{each.model_name} {each.model_version}"),
        ("scoring URI", lambda each: each.scoring_uri),
    )
    return draw_table(endpoints, columns, "endpoints")


def draw_keys(keys: EndpointKeys) -> Any:
    """Both keys: whoever asks for them wants to see them."""
    from bankmlops.cli.tables import pairs

    return pairs({"primary": keys.primary, "secondary": keys.secondary})


def draw_pipeline(pipeline: PublishedPipeline) -> Any:
    """One published pipeline."""
    from bankmlops.cli.tables import details

    return details(pipeline)


def draw_pipelines(pipelines: Sequence[PublishedPipeline]) -> Any:
    """Published pipelines, one a line."""
    columns: Sequence[Column] = (
        ("name", lambda each: each.name),
        ("version", lambda each: each.version),
        ("status", lambda each: each.status),
        ("id", lambda each: each.id),
        ("endpoint", lambda each: each.endpoint),
    )
    return draw_table(pipelines, columns, "published pipelines")


def draw_pipeline_run(run: PipelineRun) -> Any:
    """One pipeline run, with its steps."""
    from bankmlops.cli.graph import saying
    from bankmlops.cli.tables import pairs
    from bankmlops.run_graph import readable

    steps = {
        step.name: str(step.status)
        + (f", {step.seconds:.1f} s" if step.seconds else "")
        + (f": {said}" if (said := saying(step)) else "")
        for step in run.steps
    }
    named: dict[str, object] = {
        "run": run.id,
        "experiment": run.experiment_name,
        "status": run.status,
        "pipeline": run.name,
        "published as": run.pipeline_id,
        "started": run.started,
        "error": run.error,
        "parameters": run.parameters,
    }
    shown = {name: value for name, value in named.items() if value not in (None, "", {})}
    shown |= {f"step {name}": value for name, value in steps.items()}
    outputs = {name: readable(value) for name, value in run.outputs.items()}
    return pairs(shown | ({"outputs": outputs} if outputs else {}))


def draw_pipeline_runs(runs: Sequence[PipelineRun]) -> Any:
    """Pipeline runs, one a line."""
    columns: Sequence[Column] = (
        ("run", lambda each: each.id),
        ("pipeline", lambda each: each.name),
        ("experiment", lambda each: each.experiment_name),
        ("status", lambda each: each.status),
        ("steps", lambda each: f"{sum(step.status == 'Completed' for step in each.steps)} of {len(each.steps)}"),
        ("started", lambda each: each.started),
    )
    return draw_table(runs, columns, "pipeline runs")


def draw_benchmark(benchmark: Benchmark) -> Any:
    """What ApacheBench prints."""
    lines = [
        f"Tool:                   {benchmark.tool}",
        f"Concurrency Level:      {benchmark.concurrency}",
        f"Time taken for tests:   {benchmark.seconds:.3f} seconds",
        f"Complete requests:      {benchmark.requests}",
        f"Failed requests:        {benchmark.failed}",
        f"Requests per second:    {benchmark.requests_per_second:.2f} [#/sec] (mean)",
        f"Time per request:       {benchmark.mean_ms:.3f} [ms] (mean)",
        "",
        "Percentage of the requests served within a certain time (ms)",
        *(f"  {percent}%  {getattr(benchmark, f'p{percent}_ms'):9.3f}" for percent in (50, 66, 75, 80, 90, 95, 98, 99)),
        f" 100%  {benchmark.longest_ms:9.3f} (longest request)",
    ]
    return draw_lines(lines)
