"""The Azure backend before it has spoken to anybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bankmlops.azure.backend import AzureBackend
from bankmlops.azure.configuration import AzureConfig
from bankmlops.azure.parallel import each
from bankmlops.errors import AuthenticationError, InvalidRequestError, NotFoundError
from bankmlops.types import CostlyResource, DataSource

CONFIG = AzureConfig("subscription", "group", "workspace")


def test_nothing_is_imported_until_it_is_needed() -> None:
    """Making the backend costs no import of the SDK."""
    program = (
        "import sys\n"
        "from bankmlops.azure.backend import AzureBackend\n"
        "from bankmlops.azure.configuration import AzureConfig\n"
        "AzureBackend(AzureConfig('s', 'g', 'w'))\n"
        "sys.exit(any(name.partition('.')[0] in ('azureml', 'azure', 'msrest') for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials each operation is one line that says what to set."""
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "MSI_ENDPOINT", "IDENTITY_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    backend = AzureBackend(CONFIG)
    for ask in (backend.authenticate, backend.list_runs, backend.costly_resources, backend.up):
        with pytest.raises(AuthenticationError, match="AZURE_CLIENT_SECRET") as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_what_is_refused_without_asking(tmp_path: Path) -> None:
    """Names and versions that can't exist are told at once, without credentials or a network."""
    backend = AzureBackend(CONFIG)
    backend.down()
    with pytest.raises(InvalidRequestError, match="dataset name"):
        backend.register_dataset("two words", DataSource(tmp_path / "none.csv"), "y")
    with pytest.raises(NotFoundError, match="whole numbers"):
        backend.get_dataset("bank", "newest")
    with pytest.raises(NotFoundError, match="whole numbers"):
        backend.get_model("bank", "²")
    with pytest.raises(InvalidRequestError, match=r"Balloon.*ACI, AmlCompute"):
        backend.release(CostlyResource("Balloon", "red"))


def test_questions_at_once_are_answered_in_order() -> None:
    """Many questions keep their order, none asks nothing, and an error is raised."""
    assert each(lambda number: number * number, list(range(50))) == tuple(number * number for number in range(50))
    assert each(str, []) == ()
    with pytest.raises(ZeroDivisionError):
        each(lambda number: 1 // number, [1, 0])
