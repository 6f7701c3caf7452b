"""The contract on Azure ML, through Microsoft's own SDK; the cloud is the emulator, which only the environment knows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bankmlops.azure.backend import AzureBackend
from bankmlops.azure.configuration import find_configuration
from bankmlops.backend import Backend
from bankmlops.errors import InvalidRequestError
from bankmlops.types import Model
from contract.contract import BackendContract, Beyond
from support.emulated_azure import emulated_azure
from support.faulty_azure_model import register_faulty_model

pytestmark = pytest.mark.slow


class TestAzureEmulated(BackendContract):
    """Azure's least budget of 15 minutes takes 9 seconds here."""

    @pytest.fixture(scope="class")
    def backend(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
        folder = tmp_path_factory.mktemp("azure")
        with emulated_azure(folder / "emulator", time_scale=0.01):
            yield AzureBackend(find_configuration(folder=folder))

    @pytest.fixture(scope="class")
    def faulty_model(self, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Model:
        """A model whose scoring script fails at once."""
        folder = tmp_path_factory.mktemp("faulty")
        return register_faulty_model(find_configuration(folder=folder), folder)

    @pytest.fixture
    def beyond_azure(self) -> Beyond:
        """It is refused in a line that names Azure."""
        return lambda: pytest.raises(InvalidRequestError, match="Azure")
