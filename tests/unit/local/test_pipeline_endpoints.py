"""Pipeline endpoints: an id that stays, and a default that moves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bankmlops.errors import ConflictError, NotFoundError
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.pipelines.addressed_endpoints import AddressedEndpoints
from bankmlops.local.pipelines.endpoints import PipelineEndpoints, pipeline_of
from bankmlops.local.pipelines.store import PipelineStore
from bankmlops.local.workspace import LocalWorkspace
from support.trainer import CONFIG


@pytest.fixture
def workspace(tmp_path: Path) -> LocalWorkspace:
    return LocalWorkspace(tmp_path / "workspace")


@pytest.fixture
def pipelines(workspace: LocalWorkspace) -> list[str]:
    return [PipelineStore(workspace).publish(CONFIG, version, "").id for version in "123"]


def test_versions(workspace: LocalWorkspace, pipelines: list[str]) -> None:
    """Each pipeline that was the default stays a version of the endpoint, and can be asked for and be the default again."""
    endpoints = PipelineEndpoints(workspace)
    made = endpoints.create("retraining", pipelines[0])
    endpoints.set_default(made.id, pipelines[1])
    moved = endpoints.set_default(made.id, pipelines[2])
    assert (moved.id, moved.default_version, dict(moved.versions)) == (made.id, "2", dict(zip("012", pipelines, strict=True)))
    assert endpoints.set_default(made.id, pipelines[0]).default_version == "0"
    assert (pipeline_of(moved), pipeline_of(moved, "1")) == (pipelines[2], pipelines[1])
    with pytest.raises(NotFoundError, match="0, 1, 2 would serve"):
        pipeline_of(moved, "9")


def test_many_move_it_at_once(workspace: LocalWorkspace, pipelines: list[str]) -> None:
    """Moves at the same moment make each pipeline one version, and leave one of them the default."""
    endpoints = PipelineEndpoints(workspace)
    made = endpoints.create("retraining", pipelines[0])
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda pipeline: endpoints.set_default(made.id, pipeline), pipelines * 4))
    found = endpoints.get(made.id)
    assert sorted(found.versions.values()) == sorted(pipelines)
    assert found.default_version in found.versions


def test_what_can_not_be(workspace: LocalWorkspace, pipelines: list[str]) -> None:
    """A name is taken once; what is not there is named."""
    endpoints = PipelineEndpoints(workspace)
    made = endpoints.create("retraining", pipelines[0])
    with pytest.raises(ConflictError, match="'retraining'"):
        endpoints.create("retraining", pipelines[1])
    for endpoint_id, pipeline_id in ((made.id, "nobody"), ("nobody", pipelines[0])):
        with pytest.raises(NotFoundError, match="nobody"):
            endpoints.set_default(endpoint_id, pipeline_id)
    with pytest.raises(NotFoundError, match="nobody"):
        endpoints.create("other", "nobody")
    assert [each.name for each in endpoints.list()] == ["retraining"]


def test_what_is_done_is_written_down(workspace: LocalWorkspace, pipelines: list[str]) -> None:
    """An endpoint has an address on this machine; what is done to it is in the audit log."""
    endpoints = AddressedEndpoints(workspace)
    made = endpoints.create("retraining", pipelines[0])
    assert made.endpoint.startswith("http://127.0.0.1:")
    assert made.endpoint.endswith(f"/pipeline-endpoints/{made.id}/submit")
    endpoints.set_default(made.id, pipelines[1])
    endpoints.disable(made.id)
    assert endpoints.get(made.id).status == "Disabled"
    endpoints.enable(made.id)
    assert endpoints.list()[0].status == "Active"
    assert [entry.action for entry in AuditLog(workspace).newest(10)] == ["publish", "set default", "disable", "enable"]
