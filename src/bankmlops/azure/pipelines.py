"""Pipelines on Azure ML: one AutoML step with two outputs, published as a REST endpoint, and never changed after that.

Azure guards no version: two published pipelines may bear one name and version. So the content's hash stands at the end of the
description, with the moment of publication, and a name and version that exist with another hash are refused. Azure can't do that
in one step: of two who publish at the same moment, both may succeed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bankmlops.azure.automl_runs import AutoMLRuns
from bankmlops.azure.content import content_hash
from bankmlops.azure.errors import translated
from bankmlops.azure.names import check_name, check_text
from bankmlops.azure.workspace import AzureWorkspace
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.pipelines import Pipeline, RunOptions
from bankmlops.types import PipelineConfig, PublishedPipeline

STEP = "automl"
MODEL_OUTPUT = "best_model"
METRICS_OUTPUT = "metrics"
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_MARK = re.compile(r"\s*\[bankmlops sha256:([0-9a-f]{64}) ([0-9T:.+-]{20,40})\]\s*$")


class Pipelines:
    """The workspace's published pipelines."""

    def __init__(self, workspace: AzureWorkspace, runs: AutoMLRuns) -> None:
        self._workspace = workspace
        self._runs = runs

    def base_url(self) -> str:
        """Where the workspace's published pipelines are; Azure serves them always."""
        context = self._workspace.sdk.service_context
        return f"{str(context._get_pipelines_url()).rstrip('/')}/pipelines/v1.0{context._get_workspace_scope()}"

    def submit(self, config: PipelineConfig) -> str:
        """Start a run of a pipeline that is not published, and answer its id."""
        from azureml.core import Experiment

        _check(config)
        with tempfile.TemporaryDirectory(prefix="bankmlops-pipeline-") as folder:
            pipeline = self._build(config, Path(folder))
            return str(Experiment(self._workspace.sdk, config.automl.experiment_name).submit(pipeline).id)

    def publish(self, config: PipelineConfig, version: str, description: str = "") -> PublishedPipeline:
        """Publish it, or answer the one of this name, version and content. Raises `ConflictError` where the content is other."""
        _check(config)
        check_text("the pipeline's version", version)
        known = self._known(config, version)
        if known is not None:
            return _published(known)
        with tempfile.TemporaryDirectory(prefix="bankmlops-pipeline-") as folder:
            pipeline = self._build(config, Path(folder))
            return _published(pipeline.publish(name=config.name, description=_marked(description, config), version=version))

    def get(self, pipeline_id: str) -> PublishedPipeline:
        return _published(self.find(pipeline_id))

    def list(self) -> Sequence[PublishedPipeline]:
        """Every published pipeline, newest first; others' than this package's, whose moment the SDK does not tell, come last."""
        return [_published(found) for found in sorted(self._all(), key=lambda found: _mark(found)[1], reverse=True)]

    def disable(self, pipeline_id: str) -> None:
        """Refuse further triggers (idempotent)."""
        found = self.find(pipeline_id)
        if found.status != "Disabled":
            found.disable()

    def enable(self, pipeline_id: str) -> None:
        """Take triggers again (idempotent)."""
        found = self.find(pipeline_id)
        if found.status != "Active":
            found.enable()

    def _known(self, config: PipelineConfig, version: str) -> Any:
        same = [found for found in self._all() if (found.name, found.version) == (config.name, version)]
        equal = next((found for found in same if _mark(found)[0] == content_hash(config)), None)
        if same and equal is None:
            raise ConflictError(
                f"pipeline {config.name!r} version {version!r} is published with other content; publish it as another version"
            )
        return equal

    def _all(self) -> Sequence[Any]:
        from azureml.pipeline.core import PublishedPipeline as SdkPublishedPipeline

        return list(SdkPublishedPipeline.list(self._workspace.sdk, active_only=False))

    def find(self, pipeline_id: str) -> Any:
        """The SDK's own published pipeline. Raises `NotFoundError`."""
        from azureml.pipeline.core import PublishedPipeline as SdkPublishedPipeline

        if not _ID.fullmatch(pipeline_id):
            raise NotFoundError(f"no published pipeline has the id {pipeline_id!r}: an id has letters, digits and dashes")
        with translated(f"published pipeline {pipeline_id}"):
            return SdkPublishedPipeline.get(self._workspace.sdk, pipeline_id)

    def _build(self, config: PipelineConfig, folder: Path) -> Any:
        """The SDK's pipeline. It has not uploaded anything yet, so `folder` must live until it is submitted or published."""
        from azureml.pipeline.core import Pipeline
        from azureml.pipeline.steps import AutoMLStep

        prepared = self._runs.prepare(config.automl, folder)
        step = AutoMLStep(
            name=STEP,
            automl_config=prepared,
            outputs=[self._output(METRICS_OUTPUT, "Metrics"), self._output(MODEL_OUTPUT, "Model")],
            enable_default_model_output=False,
            enable_default_metrics_output=False,
            allow_reuse=False,
        )
        return Pipeline(workspace=self._workspace.sdk, steps=[step])

    def _output(self, name: str, kind: str) -> Any:
        from azureml.pipeline.core import PipelineData, TrainingOutput

        datastore = self._workspace.sdk.get_default_datastore()
        return PipelineData(name, datastore=datastore, pipeline_output_name=name, training_output=TrainingOutput(type=kind))


def simple_form(pipeline: PipelineConfig | Pipeline) -> PipelineConfig:
    """The form that Azure's AutoML step takes. Raises `InvalidRequestError` for a graph of steps."""
    if isinstance(pipeline, PipelineConfig):
        return pipeline
    raise InvalidRequestError(
        f"pipeline {pipeline.name!r} is a graph of {len(pipeline.steps)} steps, which the local backend runs; "
        "on Azure a PipelineConfig would serve, whose pipeline has the AutoML step alone"
    )


def with_options(config: PipelineConfig, options: RunOptions) -> PipelineConfig:
    """The pipeline as this run wants it. Raises `InvalidRequestError` for what such a pipeline has not."""
    if options.parameters:
        raise InvalidRequestError(f"pipeline {config.name!r} has no parameter {next(iter(options.parameters))!r}; it has none")
    automl = config.automl
    experiment = options.experiment_name or automl.experiment_name
    return replace(config, automl=replace(automl, experiment_name=experiment, tags={**automl.tags, **options.tags}))


def _check(config: PipelineConfig) -> None:
    check_text("the pipeline's name", config.name)
    check_name("the pipeline's model name", config.model_name)
    if config.minimum_score is not None:
        raise InvalidRequestError(
            "minimum_score has no equivalent on Azure, whose pipeline has the AutoML step alone: leave it out, and look at the "
            "score of the run before its model is registered"
        )


def _marked(description: str, config: PipelineConfig) -> str:
    """The description with the content's hash and the moment of publication."""
    return f"{description} [bankmlops sha256:{content_hash(config)} {datetime.now(UTC).isoformat()}]".lstrip()


def _mark(found: Any) -> tuple[str, str]:
    """The hash and the moment that `_marked` wrote; empty texts where it did not."""
    match = _MARK.search(found.description or "")
    return (match[1], match[2]) if match else ("", "")


def _published(found: Any) -> PublishedPipeline:
    return PublishedPipeline(
        id=str(found.id),
        name=str(found.name),
        version=str(found.version or ""),
        endpoint=str(found.endpoint or ""),
        status=str(found.status),
        description=_MARK.sub("", found.description or ""),
    )
