"""Where no worker can work, and what is said there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bankmlops.connect import run_worker
from bankmlops.errors import BackendUnavailableError, InvalidRequestError


def test_sqlite_serves_one_process(tmp_path: Path) -> None:
    """Without a PostgreSQL to take steps from there is no worker; the line says what would serve."""
    with pytest.raises(InvalidRequestError, match=r"a worker needs PostgreSQL.*BANKMLOPS_DATABASE_URL=postgresql://") as refusal:
        run_worker("local", tmp_path / "workspace", 1.0)
    assert "\n" not in str(refusal.value)


def test_azure_has_its_own(tmp_path: Path) -> None:
    """On Azure ML there is nothing to take."""
    with pytest.raises(InvalidRequestError, match="only the local backend has workers"):
        run_worker("azure", tmp_path / "workspace", 1.0)


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is not there ends the worker with its address, and leaves nothing of the URL in the environment."""
    monkeypatch.setenv("BANKMLOPS_DATABASE_URL", "postgresql://bank:s3cr3t@127.0.0.1:1/bank")
    with pytest.raises(BackendUnavailableError, match=r"PostgreSQL at 127\.0\.0\.1:1/bank refuses") as refusal:
        run_worker("local", tmp_path / "workspace", 1.0)
    assert "s3cr3t" not in str(refusal.value)
    assert "BANKMLOPS_DATABASE_URL" not in os.environ
