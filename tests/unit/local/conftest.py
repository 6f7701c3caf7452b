"""What several tests of the local room share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.trained import Trained


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A completed run; a test that changes its workspace uses names of its own."""
    from support.trained import train  # scikit-learn comes with it: not for tests that are only collected

    return train(tmp_path_factory.mktemp("trained"))
