"""What every test stands on: a home of its own, no setting of the person who runs it, and an ordinary Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("contract.contract", "support")

FOREIGN = ("AZURE", "BANKMLOPS_", "MLFLOW_", "MSI_", "DBOS_", "IDENTITY_")


def pytest_configure(config: pytest.Config) -> None:
    """Isolate this process, and so all that it starts, before anything is imported that reads its surroundings."""
    home = Path(tempfile.mkdtemp(prefix="bankmlops-home-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ["HOME"] = str(home)
    kept = "BANKMLOPS_ALLOW_AZURE" if os.environ.get("BANKMLOPS_ALLOW_AZURE") == "1" else ""
    for name in list(os.environ):
        if not kept and name.startswith(FOREIGN) and name != "BANKMLOPS_LONG_TESTS":
            del os.environ[name]
    os.environ["BANKMLOPS_CONTAINER_ENGINE"] = "none"  # those who test containers name an engine
    settings.register_profile("any machine", deadline=None)  # an example that takes long on a busy machine is no failure
    settings.load_profile("any machine")
    # A shell that starts this in the background has it ignore Ctrl-C, and so would the commands under test.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
