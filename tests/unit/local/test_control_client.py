"""The caller of the control server, and what it makes of a refusal that goes away."""

from __future__ import annotations

from pathlib import Path

import pytest

from bankmlops.errors import BackendUnavailableError, NotFoundError
from bankmlops.local.control.client import ControlClient
from bankmlops.local.control.files import ControlFiles, ControlRecord
from bankmlops.local.processes import own_identity
from bankmlops.local.workspace import LocalWorkspace
from support.http_server import Answer, serving

REFUSAL = {"error": {"message": "the control server is stopping; try again"}}


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(REFUSAL, 503, headers={"Retry-After": "5"}), 5.0),
        (Answer(REFUSAL, 429, headers={"Retry-After": "1"}), 1.0),
        (Answer(REFUSAL, 503, headers={"Retry-After": "soon"}), None),
        (Answer(REFUSAL, 500), None),
    ],
)
def test_a_refusal_that_goes_away(tmp_path: Path, answer: Answer, seconds: float | None) -> None:
    """The error says after how long the server wants to be asked again, where the server said so."""
    files = ControlFiles(LocalWorkspace(tmp_path))
    with serving(lambda _: answer) as server:
        files.write_record(ControlRecord(own_identity(), server.url))
        with pytest.raises(BackendUnavailableError, match="is stopping") as refusal:
            ControlClient(files).get("/runs")
    assert refusal.value.retry_seconds == seconds


def test_a_refusal_that_stays(tmp_path: Path) -> None:
    """What is not there is not there, whatever the server's other words."""
    files = ControlFiles(LocalWorkspace(tmp_path))
    with serving(lambda _: Answer({"error": {"message": "no such run"}}, 404)) as server:
        files.write_record(ControlRecord(own_identity(), server.url))
        with pytest.raises(NotFoundError, match="no such run"):
            ControlClient(files).get("/runs/nobody")
