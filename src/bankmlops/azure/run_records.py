"""A run of any kind as plain values: found by its id alone, so that it can be followed after the process that began it died.

The SDK shows a run's times nowhere but in a private record, which is read here and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from bankmlops.azure.errors import translated
from bankmlops.errors import NotFoundError
from bankmlops.types import RunStatus
from bankmlops.types.defaults import NO_TAGS

MAXIMUM_LISTED = 100
STATUS = {
    "Completed": RunStatus.COMPLETED,
    "Finished": RunStatus.COMPLETED,
    "Failed": RunStatus.FAILED,
    "NotResponding": RunStatus.FAILED,
    "Canceled": RunStatus.CANCELED,
    "Cancelled": RunStatus.CANCELED,
    "NotStarted": RunStatus.NOT_STARTED,
    "Unapproved": RunStatus.NOT_STARTED,
    "Queued": RunStatus.NOT_STARTED,
    "Provisioning": RunStatus.NOT_STARTED,
}
EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What run history holds of a run, as of the moment it was read."""

    id: str
    name: str
    experiment_name: str
    status: RunStatus
    type: str
    parent_id: str
    properties: Mapping[str, str]
    tags: Mapping[str, str]
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    error: str

    @property
    def seconds(self) -> float:
        return (self.ended - self.started).total_seconds() if self.started and self.ended else 0.0


def find_run(workspace: Any, run_id: str) -> Any:
    """The SDK's run, whatever its kind and experiment. Raises `NotFoundError`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,255}", run_id):
        raise NotFoundError(f"there is no run {run_id!r}: an id has letters, digits, '-', '_' and '.'")
    with translated(f"run {run_id}"):
        return workspace.get_run(run_id)


def record_of(run: Any) -> RunRecord:
    values = run._run_dto
    return RunRecord(
        id=str(run.id),
        name=str(values.get("name") or ""),
        experiment_name=str(run.experiment.name),
        status=status_of_word(str(values.get("status") or "")),
        type=str(values.get("run_type") or ""),
        parent_id=str(values.get("parent_run_id") or ""),
        properties=values.get("properties") or {},
        tags=values.get("tags") or {},
        created=_time(values.get("created_utc")),
        started=_time(values.get("start_time_utc")),
        ended=_time(values.get("end_time_utc")),
        error=_error_line(values.get("error")),
    )


def status_of_word(word: str) -> RunStatus:
    """Azure's many words for what is under way are `RUNNING` here: Starting, Preparing, Finalizing, CancelRequested, Paused."""
    return STATUS.get(word, RunStatus.RUNNING)


def children_of(run: Any, properties: Mapping[str, str] | None = None) -> list[tuple[Any, RunRecord]]:
    """The run's children, each with its record; plain runs, since making the special kinds costs a request a child."""
    children = run.get_children(properties=dict(properties) if properties else None, _rehydrate_runs=False)
    return [(child, record_of(child)) for child in children]


def newest_runs(workspace: Any, run_type: str, tags: Mapping[str, str] = NO_TAGS) -> Sequence[RunRecord]:
    """The workspace's runs of a type that bear these tags, newest first, at most 100."""
    from azureml.core import Experiment, Run

    records: list[RunRecord] = []
    for experiment in Experiment.list(workspace):
        runs = Run.list(experiment, type=run_type, _rehydrate_runs=False)
        found = (record for record in map(record_of, runs) if record.type == run_type and tags.items() <= record.tags.items())
        records += islice(found, MAXIMUM_LISTED)
    records.sort(key=lambda record: record.created or EARLIEST, reverse=True)
    return records[:MAXIMUM_LISTED]


def text_of(properties: Mapping[str, str], name: str) -> str:
    return str(properties.get(name) or "")


def json_of(properties: Mapping[str, str], name: str) -> dict[str, Any]:
    """A property that holds a JSON object; an empty one where it is missing or is none."""
    try:
        value = json.loads(properties.get(name) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _time(value: object) -> datetime | None:
    if isinstance(value, str) and value:
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _error_line(error: object) -> str:
    inner = error.get("error", error) if isinstance(error, dict) else None
    message = inner.get("message") if isinstance(inner, dict) else None
    return " ".join(message.split())[:600] if isinstance(message, str) else ""
