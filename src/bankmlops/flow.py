"""The whole story, told once over any Backend: from a table to a consumed endpoint and a triggered pipeline.

Each step is a function below `run_flow`; what they learn is the `Evidence`. Nothing here knows which backend it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from bankmlops import client
from bankmlops.backend import Backend
from bankmlops.benchmark import run_benchmark
from bankmlops.errors import ConflictError, RunFailedError
from bankmlops.evidence import Evidence, Step
from bankmlops.runs import GRACE_SECONDS, started, wait
from bankmlops.types import (
    AutoMLConfig,
    CostlyResource,
    Dataset,
    DataSource,
    DeploymentConfig,
    Endpoint,
    EndpointKeys,
    KeyName,
    Model,
    PipelineConfig,
    PipelineRun,
    PublishedPipeline,
    Run,
    RunStatus,
)

T = TypeVar("T")
MADE_BY = {"made_by": "bankmlops-e2e"}


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """What the flow is run with. `rows` are scored and sent by the benchmark: column -> value, without the label."""

    source: DataSource
    label_column: str
    rows: Sequence[Mapping[str, object]]
    dataset_name: str = "bankmarketing"
    model_name: str = "bankmarketing"
    endpoint_name: str = "bankmarketing"
    pipeline_name: str = "bankmarketing-training"
    primary_metric: str = "accuracy"
    automl_minutes: float = 1.0
    pipeline_minutes: float = 0.5
    benchmark_requests: int = 500
    benchmark_concurrency: int = 8
    keep: bool = False


class Reporter(Protocol):
    """Who watches the flow."""

    def step_started(self, name: str) -> None: ...

    def step_finished(self, step: Step, detail: str) -> None: ...

    def run_changed(self, run: Run | PipelineRun) -> None: ...


def run_flow(backend: Backend, config: FlowConfig, reporter: Reporter, evidence: Evidence) -> None:
    """Run every step; `evidence` is filled in as they end.

    Raises what the failing step raised, after everything was taken down (unless `config.keep`). Ctrl-C takes down too.
    """
    flow = _Flow(backend, config, reporter, evidence)
    try:
        flow.run()
    except BaseException as error:
        evidence.error = str(error) or type(error).__name__
        raise
    finally:
        flow.take_down()


class _Flow:
    def __init__(self, backend: Backend, config: FlowConfig, reporter: Reporter, evidence: Evidence) -> None:
        self._backend = backend
        self._config = config
        self._reporter = reporter
        self._evidence = evidence
        self._deploying = False
        self._is_up = False
        self._cost_before: frozenset[CostlyResource] | None = None  # what is not ours to remove; None until it is known

    def run(self) -> None:
        self._step("authenticate", self._authenticate)
        dataset = self._step("register dataset", self._register_dataset)
        run = self._step("AutoML", lambda: self._train(dataset))
        model = self._step("register model", lambda: self._register_model(run))
        endpoint = self._step("deploy", lambda: self._deploy(model))
        self._step("app insights and logs", self._watch)
        keys = self._backend.get_keys(endpoint.name)
        self._step("swagger", lambda: self._read_swagger(endpoint))
        self._step("score", lambda: self._score(endpoint, keys))
        self._step("benchmark", lambda: self._load_test(endpoint, keys))
        published = self._step("publish pipeline", lambda: self._publish(dataset))
        self._step("trigger pipeline", lambda: self._trigger(published))

    def take_down(self) -> None:
        """Leave nothing that runs or costs, unless it is to be kept; what stays is listed.

        Each thing is tried, whatever became of those before it.
        """
        with ExitStack() as last_first:
            last_first.callback(self._list_what_is_left)
            if not self._config.keep:
                last_first.callback(self._release)
                if self._is_up:
                    last_first.callback(self._backend.down)
                if self._deploying:
                    last_first.callback(self._backend.delete_endpoint, self._config.endpoint_name)

    def _release(self) -> None:
        """Remove what began to cost since the flow began; what was there before may be in somebody's use."""
        if self._cost_before is None:
            return
        for resource in self._backend.costly_resources():
            if resource not in self._cost_before:
                self._backend.release(resource)
                self._evidence.released.append(resource)

    def _list_what_is_left(self) -> None:
        released = set(self._evidence.released)
        self._evidence.left.extend(each for each in self._backend.costly_resources() if each not in released)

    def _authenticate(self) -> tuple[None, str]:
        workspace = self._backend.authenticate()
        self._cost_before = frozenset(self._backend.costly_resources())
        return None, f"workspace {workspace.name} in {workspace.location}"

    def _register_dataset(self) -> tuple[Dataset, str]:
        config = self._config
        dataset = self._backend.register_dataset(config.dataset_name, config.source, config.label_column)
        self._evidence.dataset = dataset
        kind = ", SYNTHETIC stand-in" if dataset.synthetic else ""
        return dataset, f"{dataset.name} version {dataset.version}, {dataset.rows:,} rows{kind}"

    def _automl_config(self, dataset: Dataset, minutes: float) -> AutoMLConfig:
        return AutoMLConfig(dataset=dataset, primary_metric=self._config.primary_metric, experiment_timeout_minutes=minutes)

    def _train(self, dataset: Dataset) -> tuple[Run, str]:
        minutes = self._config.automl_minutes
        config = self._automl_config(dataset, minutes)
        with started(lambda: self._backend.submit_automl(config).id, self._backend.cancel_run) as run_id:
            run = wait(
                self._backend.get_run,
                run_id,
                timeout_seconds=minutes * 60 + GRACE_SECONDS,
                on_change=self._reporter.run_changed,
            )
        self._evidence.run = run
        _require_completed(run)
        score = run.metrics.get(run.primary_metric, float("nan"))
        return run, f"{run.best_algorithm}, {run.primary_metric} {score:.4f}, {run.trials} trials"

    def _register_model(self, run: Run) -> tuple[Model, str]:
        model = self._backend.register_model(run.id, self._config.model_name)
        self._evidence.model = model
        parity = f", parity {model.parity.max_probability_difference:.1e}" if model.parity else ""
        return model, f"{model.name} version {model.version}{parity}"

    def _deploy(self, model: Model) -> tuple[Endpoint, str]:
        self._remove_earlier_endpoint()
        deployment = DeploymentConfig(name=self._config.endpoint_name, auth_enabled=True, tags=MADE_BY)
        self._deploying = True
        try:
            endpoint = self._backend.deploy_model(model, deployment)
        except ConflictError:
            self._deploying = False  # somebody else's endpoint has the name, and stays
            raise
        self._evidence.endpoint = endpoint
        return endpoint, f"{endpoint.state} at {endpoint.scoring_uri}"

    def _remove_earlier_endpoint(self) -> None:
        """An endpoint that an earlier flow kept makes room for this one's; anybody else's is left alone."""
        for endpoint in self._backend.list_endpoints():
            if endpoint.name == self._config.endpoint_name and MADE_BY.items() <= endpoint.tags.items():
                self._backend.delete_endpoint(endpoint.name)

    def _watch(self) -> tuple[None, str]:
        name = self._config.endpoint_name
        endpoint = self._backend.set_app_insights(name, True)
        self._evidence.endpoint = replace(endpoint, cold_start_seconds=self._cold_start())
        lines = self._backend.get_logs(name)
        self._evidence.log_lines = len(lines)
        return None, f"app insights on, {len(lines)} log lines"

    def _cold_start(self) -> float:
        return self._evidence.endpoint.cold_start_seconds if self._evidence.endpoint else 0.0

    def _read_swagger(self, endpoint: Endpoint) -> tuple[None, str]:
        document = client.swagger(endpoint.swagger_uri)
        return None, f"{endpoint.swagger_uri}, {len(document['paths'])} paths"

    def _score(self, endpoint: Endpoint, keys: EndpointKeys) -> tuple[None, str]:
        result = client.score(endpoint.scoring_uri, keys.primary, self._config.rows)
        self._evidence.result = result
        return None, ", ".join(result)

    def _load_test(self, endpoint: Endpoint, keys: EndpointKeys) -> tuple[None, str]:
        """The secondary key is replaced when the load test is over: `ab` shows it in its arguments."""
        config = self._config
        try:
            benchmark = run_benchmark(
                endpoint.scoring_uri,
                keys.secondary,
                config.rows,
                requests=config.benchmark_requests,
                concurrency=config.benchmark_concurrency,
            )
        finally:
            self._backend.regenerate_key(endpoint.name, KeyName.SECONDARY)
        self._evidence.benchmark = benchmark
        self._evidence.log_lines = len(self._backend.get_logs(endpoint.name))
        return None, f"{benchmark.requests_per_second:,.0f} requests/s with {benchmark.tool}, {benchmark.failed} failed"

    def _publish(self, dataset: Dataset) -> tuple[PublishedPipeline, str]:
        self._is_up = True
        self._backend.up()
        config = self._config
        pipeline = PipelineConfig(
            name=config.pipeline_name,
            automl=self._automl_config(dataset, config.pipeline_minutes),
            model_name=config.model_name,
        )
        version = f"{dataset.version}-{config.pipeline_minutes:g}"
        published = self._backend.publish_pipeline(pipeline, version, "AutoML on the registered dataset")
        self._evidence.published = published
        return published, f"{published.name} version {published.version} at {published.endpoint}"

    def _trigger(self, published: PublishedPipeline) -> tuple[None, str]:
        header = self._backend.authorization_header()
        trigger = partial(client.trigger, published.endpoint, header, "pipeline-rest-endpoint")
        with started(trigger, self._backend.cancel_pipeline_run) as run_id:
            run = wait(
                self._backend.get_pipeline_run,
                run_id,
                timeout_seconds=self._config.pipeline_minutes * 60 + GRACE_SECONDS,
                on_change=self._reporter.run_changed,
            )
        self._evidence.pipeline_run = run
        _require_completed(run)
        return None, f"run {run.id} {run.status}"

    def _step(self, name: str, action: Callable[[], tuple[T, str]]) -> T:
        self._reporter.step_started(name)
        start = time.monotonic()
        ok = False
        detail = ""
        try:
            result, detail = action()
            ok = True
            return result
        finally:
            step = Step(name, round(time.monotonic() - start, 3), ok)
            self._evidence.steps.append(step)
            self._reporter.step_finished(step, detail)


def _require_completed(run: Run | PipelineRun) -> None:
    if run.status is not RunStatus.COMPLETED:
        raise RunFailedError(f"run {run.id} ended {run.status}: {run.error or 'no reason given'}")
