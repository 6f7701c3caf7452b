"""What scores files is the bundle of the registered model's run, whichever backend holds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bankmlops.batch import fetch_bundle
from bankmlops.errors import InvalidRequestError
from bankmlops.types import Model
from support.bundles import write_bundle
from support.memory_backend import MemoryBackend
from support.run_files import RunFiles


def test_a_run_with_a_bundle(tmp_path: Path) -> None:
    """The bundle is downloaded, verified and loaded."""
    bundle = fetch_bundle(RunFiles(write_bundle(tmp_path / "bundle")), Model("bank", "1", "AutoML_1"))
    assert bundle.classes == ("no", "yes")
    assert bundle.algorithm == "LogisticRegression"


def test_a_run_without_one() -> None:
    """A model whose run exported nothing, as on Azure, is refused in one line that says what to do."""
    with pytest.raises(InvalidRequestError, match=r"version 2 of model 'bank' has no exported bundle .*local backend"):
        fetch_bundle(MemoryBackend(), Model("bank", "2", "AutoML_1"))


def test_a_model_without_a_run() -> None:
    """A model that comes from no run is refused."""
    with pytest.raises(InvalidRequestError, match="comes from no AutoML run"):
        fetch_bundle(MemoryBackend(), Model("bank", "2", ""))
