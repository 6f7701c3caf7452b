"""Deployed models: how they are served, and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bankmlops.types.defaults import empty_mapping


class EndpointState(StrEnum):
    """Azure ML's own words for the state of a web service."""

    TRANSITIONING = "Transitioning"
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    FAILED = "Failed"


class UnknownCategories(StrEnum):
    """What becomes of a row with a category that training did not see."""

    SCORE = "score"
    REFUSE = "refuse"


class Runtime(StrEnum):
    """What serves a model on this machine; `AUTO` is a container where an engine is at hand, else a process."""

    AUTO = "auto"
    CONTAINER = "container"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class DeploymentConfig:
    """How a model is served. `port` 0 takes a free one; `cpu_cores` and `memory_gb` bind where the runtime can bound them.

    `cors_origins` are the web origins whose pages may call it ("*" is any); `plain_json` has it answer JSON where those of Azure
    answer a JSON string that holds it. `workers` processes answer side by side. `collect_model_data` keeps inputs and answers
    for `bankmlops monitor`.
    """

    name: str
    auth_enabled: bool = True
    app_insights: bool = False
    cpu_cores: float = 1.0
    memory_gb: float = 1.0
    port: int = 0
    timeout_seconds: float = 120.0
    tags: Mapping[str, str] = field(default_factory=empty_mapping)
    workers: int = 1
    cors_origins: tuple[str, ...] = ()
    plain_json: bool = False
    unknown_categories: UnknownCategories = UnknownCategories.SCORE
    runtime: Runtime = Runtime.AUTO
    collect_model_data: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A deployed model. `runtime` is "container", "process" or "ACI"; URLs are empty while it is not there.

    `runtime_reason` says why that runtime was taken where nobody asked for it. What is below it is as the deployment set it.
    """

    name: str
    state: EndpointState
    scoring_uri: str
    swagger_uri: str
    runtime: str
    model_name: str
    model_version: str
    auth_enabled: bool = True
    app_insights: bool = False
    created: datetime | None = None
    cold_start_seconds: float = 0.0
    tags: Mapping[str, str] = field(default_factory=empty_mapping)
    runtime_reason: str = ""
    workers: int = 1
    cors_origins: tuple[str, ...] = ()
    plain_json: bool = False
    unknown_categories: UnknownCategories = UnknownCategories.SCORE
    collect_model_data: bool = False


@dataclass(frozen=True, slots=True)
class EndpointKeys:
    """Both keys open the endpoint; neither shows in a repr."""

    primary: str = field(repr=False)
    secondary: str = field(repr=False)


class KeyName(StrEnum):
    """Which of the two keys."""

    PRIMARY = "Primary"
    SECONDARY = "Secondary"
