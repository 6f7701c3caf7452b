"""The steps that put a model to work: deploy, and batch_score."""

from __future__ import annotations

import time
from pathlib import Path

from bankmlops.backend import Backend
from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.local.datasets import Datasets
from bankmlops.local.disk import make_private_folder
from bankmlops.local.pipelines.documents import from_document
from bankmlops.local.pipelines.files import file_output, path_of, read_file_output
from bankmlops.local.pipelines.steps import Outputs, StepContext
from bankmlops.local.pipelines.training import PIPELINE_RUN_TAG, dataset_of, model_of
from bankmlops.types import DeploymentConfig, Endpoint, EndpointState, Model

_POLL_SECONDS = 0.3
_SAID_EVERY_SECONDS = 2.0


def look_at_endpoint(context: StepContext, _outputs: Outputs) -> Outputs:
    """Which model the endpoint serves before this step; recorded apart, so that it is known after a crash too."""
    served = _find(context.backend, context.inputs["endpoint"])
    return {"replaced": f"{served.model_name}:{served.model_version}" if served else ""}


def deploy(context: StepContext, _outputs: Outputs) -> Outputs:
    """Serve the model under the endpoint's name: anew, or by switching an endpoint that serves another, keys and address kept."""
    model = model_of(context.backend, context.inputs["model"])
    endpoint = _served(context, model)
    return {
        "endpoint": endpoint.name,
        "scoring_uri": endpoint.scoring_uri,
        "model": f"{model.name}:{model.version}",
    }


def batch_score(context: StepContext, _outputs: Outputs) -> Outputs:
    """Score every row of a dataset or of a step's file; an attempt that a crash cut off goes on where it was."""
    from bankmlops.batch.model import fetch_bundle
    from bankmlops.batch.run import score_files

    bundle = fetch_bundle(context.backend, model_of(context.backend, context.inputs["model"]))
    folder = context.folder.make() / "outputs"
    make_private_folder(folder)
    result = score_files(
        bundle,
        _data(context),
        folder / "predictions.parquet",
        proba=context.inputs.get("probabilities", False),
        on_progress=_Watcher(context).seen,
    )
    rejections = {} if result.rejections is None else {"rejections": str(file_output(context.workspace, result.rejections))}
    return {
        "predictions": str(file_output(context.workspace, result.output)),
        "rows": str(result.rows),
        "rejected": str(result.rejected),
        **rejections,
    }


class _Watcher:
    """Says now and then how far the scoring is, and ends it where the run was canceled or the step's time is up."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._next = 0.0

    def seen(self, rows: int, fraction: float) -> None:
        """`rows` were read, `fraction` of all."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SAID_EVERY_SECONDS
            self._context.log(f"{rows:,} rows, {fraction:.0%}")
            self._context.check()


def _data(context: StepContext) -> Path:
    given = context.inputs["data"]
    file = read_file_output(given)
    if file is not None:
        return path_of(context.workspace, file)
    return Datasets(context.workspace).parquet(dataset_of(context.backend, given))


def _served(context: StepContext, model: Model) -> Endpoint:
    backend, config = context.backend, _config(context)
    endpoint = _find(backend, config.name)
    if endpoint is not None and _is_half_made(context, endpoint):
        endpoint = _awaited(context, config)
    if endpoint is None:
        context.log(f"endpoint {config.name} is deployed with {model.name}:{model.version}")
        return backend.deploy_model(model, config)
    if (endpoint.model_name, endpoint.model_version) == (model.name, model.version):
        _refuse_unhealthy(endpoint)
        return endpoint
    context.log(
        f"endpoint {config.name} goes from {endpoint.model_name}:{endpoint.model_version} to {model.name}:{model.version}"
    )
    return backend.update_endpoint(config.name, model)


def _is_half_made(context: StepContext, endpoint: Endpoint) -> bool:
    """Whether an attempt of this very run began to deploy it, and was cut off."""
    return endpoint.state is not EndpointState.HEALTHY and endpoint.tags.get(PIPELINE_RUN_TAG) == context.run_id


def _awaited(context: StepContext, config: DeploymentConfig) -> Endpoint | None:
    """The endpoint when it has become healthy; None where it did not, and was taken away."""
    deadline = time.monotonic() + config.timeout_seconds
    while time.monotonic() < deadline:
        context.check()
        endpoint = _find(context.backend, config.name)
        if endpoint is None or endpoint.state is EndpointState.HEALTHY:
            return endpoint
        if endpoint.state is EndpointState.FAILED:
            break
        time.sleep(_POLL_SECONDS)
    context.backend.delete_endpoint(config.name)
    return None


def _refuse_unhealthy(endpoint: Endpoint) -> None:
    if endpoint.state is not EndpointState.HEALTHY:
        raise ConflictError(f"endpoint {endpoint.name!r} does not serve: it is {endpoint.state}")


def _config(context: StepContext) -> DeploymentConfig:
    given = {name: value for name, value in context.inputs.items() if name not in ("model", "endpoint")}
    tags = {**given.get("tags", {}), PIPELINE_RUN_TAG: context.run_id}
    return from_document(DeploymentConfig, {**given, "name": context.inputs["endpoint"], "tags": tags})


def _find(backend: Backend, name: str) -> Endpoint | None:
    try:
        return backend.get_endpoint(name)
    except NotFoundError:
        return None
