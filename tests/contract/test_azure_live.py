"""The contract on a real workspace, which costs money: only where a person gave credentials and BANKMLOPS_ALLOW_AZURE=1."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bankmlops.azure.backend import AzureBackend
from bankmlops.azure.configuration import find_configuration
from bankmlops.backend import Backend
from bankmlops.errors import InvalidRequestError
from contract.contract import BackendContract, Beyond

ALLOWED = os.environ.get("BANKMLOPS_ALLOW_AZURE") == "1"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(not ALLOWED, reason="needs a workspace's config.json, credentials and BANKMLOPS_ALLOW_AZURE=1"),
]


class TestAzureLive(BackendContract):
    """What it made that costs money is removed at the end."""

    minutes = 15.0
    timeout_seconds = 7200.0

    @pytest.fixture(scope="class")
    def backend(self) -> Iterator[Backend]:
        backend = AzureBackend(find_configuration())
        there_before = set(backend.costly_resources())
        yield backend
        for resource in set(backend.costly_resources()) - there_before:
            backend.release(resource)

    @pytest.fixture
    def beyond_azure(self) -> Beyond:
        """It is refused in a line that names Azure."""
        return lambda: pytest.raises(InvalidRequestError, match="Azure")
