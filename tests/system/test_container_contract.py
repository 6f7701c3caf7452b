"""The contract again, where an engine is at hand: whatever is deployed is a container, and nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bankmlops.backend import Backend
from bankmlops.local.backend import LocalBackend
from bankmlops.types import Endpoint
from contract.contract import BackendContract
from support.engine import Engine


@pytest.mark.system
class TestContainer(BackendContract):
    """The local backend, whose endpoints are containers."""

    minutes = 0.15

    @pytest.fixture(scope="class")
    def backend(self, engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("DOCKER_HOST", "BANKMLOPS_CONTAINER_ENGINE"):
                patch.setenv(name, engine.environment[name])
            backend = LocalBackend(tmp_path_factory.mktemp("local") / "workspace")
            yield backend
            backend.down()

    def test_is_a_container(self, backend: Backend, endpoint: Endpoint) -> None:
        """What the contract was kept by was a container, unasked."""
        assert (endpoint.runtime, backend.get_endpoint(endpoint.name).runtime) == ("container", "container")
