"""The values that cross the doors between rooms: frozen, typed, made of the standard library alone."""

from __future__ import annotations

from bankmlops.types.access import AccessToken, AuditEntry, NewAccessToken, TokenScope
from bankmlops.types.datasets import Dataset, DataSource, StreamDrift
from bankmlops.types.endpoints import DeploymentConfig, Endpoint, EndpointKeys, EndpointState, KeyName, Runtime, UnknownCategories
from bankmlops.types.models import Model, Parity, TrainedModel
from bankmlops.types.outcomes import LabelledRow, Outcome, OutcomeReceipt, RefusedOutcome
from bankmlops.types.pipelines import PipelineConfig, PipelineEndpoint, PipelineRun, PrunedRuns, PublishedPipeline, StepRun
from bankmlops.types.runs import (
    AutoMLConfig,
    ChildRun,
    ColumnPurpose,
    Device,
    Engine,
    Featurization,
    FeaturizationMode,
    Run,
    RunStatus,
)
from bankmlops.types.schedules import (
    Cron,
    Frequency,
    MissedFires,
    NewDatasetVersion,
    Recurrence,
    Schedule,
    ScheduleConfig,
    ScheduleStatus,
    WeekDay,
)
from bankmlops.types.workspaces import CostlyResource, Workspace

__all__ = [
    "AccessToken",
    "AuditEntry",
    "AutoMLConfig",
    "ChildRun",
    "ColumnPurpose",
    "CostlyResource",
    "Cron",
    "DataSource",
    "Dataset",
    "DeploymentConfig",
    "Device",
    "Endpoint",
    "EndpointKeys",
    "EndpointState",
    "Engine",
    "Featurization",
    "FeaturizationMode",
    "Frequency",
    "KeyName",
    "LabelledRow",
    "MissedFires",
    "Model",
    "NewAccessToken",
    "NewDatasetVersion",
    "Outcome",
    "OutcomeReceipt",
    "Parity",
    "PipelineConfig",
    "PipelineEndpoint",
    "PipelineRun",
    "PrunedRuns",
    "PublishedPipeline",
    "Recurrence",
    "RefusedOutcome",
    "Run",
    "RunStatus",
    "Runtime",
    "Schedule",
    "ScheduleConfig",
    "ScheduleStatus",
    "StepRun",
    "StreamDrift",
    "TokenScope",
    "TrainedModel",
    "UnknownCategories",
    "WeekDay",
    "Workspace",
]
