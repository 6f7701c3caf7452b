"""How many workers a service's container has."""

from __future__ import annotations

import pytest

from bankmlops.emulator.services.inference_server import _workers


@pytest.mark.parametrize(("given", "number"), [(None, "1"), ("2", "2"), ("0", "1"), ("-3", "1"), ("many", "1"), ("1000", "64")])
def test_workers(monkeypatch: pytest.MonkeyPatch, given: str | None, number: str) -> None:
    """As many as `WORKER_COUNT` says, within bounds; one where it says nothing that serves."""
    monkeypatch.delenv("WORKER_COUNT", raising=False)
    if given is not None:
        monkeypatch.setenv("WORKER_COUNT", given)
    assert _workers() == number
