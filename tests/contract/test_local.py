"""The contract on this machine: a workspace folder, and real processes that train, serve and run pipelines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bankmlops.backend import Backend
from bankmlops.local.backend import LocalBackend
from contract.contract import BackendContract


@pytest.mark.slow
class TestLocal(BackendContract):
    """The local backend."""

    minutes = 0.15

    @pytest.fixture(scope="class")
    def backend(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
        backend = LocalBackend(tmp_path_factory.mktemp("local") / "workspace")
        yield backend
        backend.down()
