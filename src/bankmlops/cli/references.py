"""What a person may call a thing: `latest` for the newest run, a name for a published pipeline or an endpoint."""

from __future__ import annotations

from bankmlops.backend import Backend
from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.types import Endpoint, Model, PipelineEndpoint, PublishedPipeline, Schedule

LATEST = "latest"


def registered_model(backend: Backend, word: str) -> Model:
    """A model by its name (the newest version) or as NAME:VERSION. Raises `NotFoundError`."""
    name, colon, version = word.rpartition(":")
    return backend.get_model(name, version) if colon else backend.get_model(word)


def automl_run_id(backend: Backend, word: str) -> str:
    """A run's id, or that of the newest. Raises `NotFoundError` where there is none."""
    if word != LATEST:
        return word
    runs = backend.list_runs()
    if not runs:
        raise NotFoundError("there is no AutoML run yet; `bankmlops automl run` makes one")
    return runs[0].id


def pipeline_run_id(backend: Backend, word: str) -> str:
    """A pipeline run's id, or that of the newest. Raises `NotFoundError` where there is none."""
    if word != LATEST:
        return word
    runs = backend.list_pipeline_runs()
    if not runs:
        raise NotFoundError("there is no pipeline run yet; `bankmlops pipelines trigger` makes one")
    return runs[0].id


def published_pipeline(backend: Backend, word: str, version: str | None) -> PublishedPipeline:
    """A published pipeline by its name (the newest version that is active, where none is given) or its id.

    Raises `NotFoundError`.
    """
    named = [each for each in backend.list_published_pipelines() if each.name == word and version in (None, each.version)]
    named.sort(key=lambda each: each.status != "Active")  # stable: newest first among the active, then among the others
    if named:
        return named[0]
    if version is not None:
        raise NotFoundError(f"there is no published pipeline {word!r} version {version!r}; `bankmlops pipelines list` lists them")
    try:
        return backend.get_published_pipeline(word)
    except NotFoundError:
        raise NotFoundError(f"there is no published pipeline {word!r}; `bankmlops pipelines list` lists them") from None


def pipeline_endpoint(backend: Backend, word: str) -> PipelineEndpoint:
    """A pipeline endpoint by its name or its id. Raises `NotFoundError`."""
    named = [each for each in backend.list_pipeline_endpoints() if each.name == word]
    return named[0] if named else backend.get_pipeline_endpoint(word)


def schedule_named(backend: Backend, word: str) -> Schedule:
    """A schedule by its name or its id. Raises `NotFoundError`."""
    named = [each for each in backend.list_schedules() if each.config.name == word]
    return named[0] if named else backend.get_schedule(word)


def reachable_endpoint(backend: Backend, name: str) -> Endpoint:
    """The endpoint of this name. Raises `NotFoundError`, and `ConflictError` where it has no address to be called at."""
    endpoint = backend.get_endpoint(name)
    if not endpoint.scoring_uri:
        raise ConflictError(
            f"endpoint {name!r} is {endpoint.state} and can't be called; `bankmlops endpoints logs {name}` may tell why, "
            "and once deleted it can be deployed again"
        )
    return endpoint
