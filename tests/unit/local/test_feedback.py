"""Labels that come back: joined by id, stored once, refused where they can't be true, and never lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bankmlops.errors import InvalidRequestError, NotFoundError
from bankmlops.local.feedback import feedback as room
from bankmlops.local.feedback import keeping
from bankmlops.local.feedback import store as feedback_store
from bankmlops.local.feedback.feedback import Feedback
from bankmlops.local.feedback.keeping import Keeper
from bankmlops.local.serving.endpoints import Endpoints
from bankmlops.local.training.models import Models
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.scoring.collector import Collected
from bankmlops.types import Model, Outcome, OutcomeReceipt
from support.bundles import specification, write_bundle
from support.waiting import wait_until

MODEL = "bank:1"


class Served:
    """What feedback asks of an endpoint and a registry, over real files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "endpoint"
        self.folder.mkdir(exist_ok=True)
        self._bundle = folder / "bundle"
        if not self._bundle.exists():
            write_bundle(self._bundle)

    def collected_in(self, name: str) -> Path:
        if name != "bank-endpoint":
            raise NotFoundError(f"there is no endpoint {name!r}")
        return self.folder

    def get(self, name: str, version: str) -> Model:
        return Model(name, version, "run")

    def bundle(self, _model: Model) -> Path:
        return self._bundle

    def collect(self, first: int, count: int, file: str = "collected.jsonl") -> None:
        """Requests of two rows, as the scoring service writes them."""
        body = json.dumps({"data": [{"age": 20, "job": "student"}, {"age": 70, "job": "retired"}]}).encode()
        lines = (
            Collected(1.7e9 + number, f"id-{number}", MODEL, body, ["no", "yes"]).line() for number in range(first, first + count)
        )
        with (self.folder / file).open("a") as stream:
            stream.writelines(lines)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


@pytest.fixture
def feedback(served: Served, tmp_path: Path) -> Feedback:
    return _feedback(served, tmp_path)


def _feedback(served: Served, folder: Path) -> Feedback:
    return Feedback(LocalWorkspace(folder / "workspace"), cast(Endpoints, served), cast(Models, served))


def _sent(feedback: Feedback, *outcomes: Outcome) -> OutcomeReceipt:
    return feedback.record("bank-endpoint", outcomes)


def _reasons(receipt: OutcomeReceipt) -> Sequence[tuple[str, str]]:
    assert all("\n" not in each.reason for each in receipt.refusals)
    return [(each.kind, each.reason) for each in receipt.refusals]


def test_joined_in_the_order_of_arrival(served: Served, feedback: Feedback) -> None:
    """A label is joined to its row's inputs and answer; rows are read in the order in which labels came, from any place on."""
    served.collect(0, 3)
    assert _sent(feedback, Outcome("id-2", "yes", 1), Outcome("id-0", "yes")) == OutcomeReceipt(2, 0, 0)
    first, second = feedback.labelled("bank-endpoint")
    assert (first.number, first.request_id, first.row, first.answer, first.label) == (1, "id-2", 1, "yes", "yes")
    assert (second.inputs, second.answer, second.label) == ({"age": 20, "job": "student"}, "no", "yes")
    assert second.time == "2023-11-14T22:13:20.000Z"
    assert second.model == MODEL
    assert feedback.labelled("bank-endpoint", after=1) == (second,)


def test_a_label_counts_once(served: Served, feedback: Feedback) -> None:
    """The same label again, in one delivery or in another, changes nothing; one that contradicts it is refused."""
    served.collect(0, 1)
    assert _sent(feedback, Outcome("id-0", "yes"), Outcome("id-0", "yes")) == OutcomeReceipt(1, 1, 0)
    assert _sent(feedback, Outcome("id-0", "yes")) == OutcomeReceipt(0, 1, 0)
    receipt = _sent(feedback, Outcome("id-0", "no"))
    assert (receipt.stored, receipt.repeated, receipt.refused) == (0, 0, 1)
    assert _reasons(receipt) == [
        ("Conflict", "request 'id-0' row 0: has the label 'yes' already, and 'no' contradicts it"),
    ]
    assert [each.label for each in feedback.labelled("bank-endpoint")] == ["yes"]


@pytest.mark.parametrize(
    ("classes", "written", "stored"),
    [
        (("01", "02", "A"), ("01", "02"), ("01", "02")),
        (("1", "2"), ("01", "2.0"), ("1", "2")),
        (("0", "1"), ("1,0", " 0"), ("1", "0")),
        (("False", "True"), ("true", "FALSE"), ("True", "False")),
        (("1", "A"), ("01", "A"), (None, "A")),
        (("no", "yes"), ("Yes", "no"), (None, "no")),
    ],
)
def test_labels_as_they_are_written(
    served: Served, feedback: Feedback, classes: tuple[str, ...], written: tuple[str, str], stored: tuple[str | None, str | None]
) -> None:
    """A number or a truth is the class that training made of it, however it is spelled; a text is the class that it is."""
    (served.bundle(Model("bank", "1", "run")) / "features.json").write_text(replace(specification(), classes=classes).to_json())
    served.collect(0, 2)
    receipt = _sent(feedback, *(Outcome(f"id-{number}", label) for number, label in enumerate(written)))
    assert receipt.refused == stored.count(None)
    assert [each.label for each in feedback.labelled("bank-endpoint")] == [label for label in stored if label]


@pytest.mark.parametrize(
    ("outcome", "kind", "message"),
    [
        (Outcome("id-9", "yes"), "NotFound", "has collected no such row, or it was rotated away; `bankmlops up` keeps all"),
        (Outcome("id-0", "yes", 2), "NotFound", "row 2"),
        (Outcome("id-0", "maybe"), "BadRequest", "'maybe' is none of no, yes"),
        (Outcome("id-0", "yes", -1), "BadRequest", "1 to 100 characters"),
        (Outcome("", "yes"), "BadRequest", "1 to 100 characters"),
        (Outcome("x" * 101, "yes"), "BadRequest", "1 to 100 characters"),
        (Outcome("id-0", "y" * 5000), "BadRequest", "at most 200"),
        (Outcome("id-0\n' OR 1=1 --", "yes"), "NotFound", r"id-0\n"),
    ],
)
def test_what_is_refused(served: Served, feedback: Feedback, outcome: Outcome, kind: str, message: str) -> None:
    """A wrong or hostile label is refused in one short line, and the good ones beside it are stored."""
    served.collect(0, 1)
    receipt = _sent(feedback, outcome, Outcome("id-0", "no", 1))
    assert (receipt.stored, receipt.refused) == (1, 1)
    ((found, reason),) = _reasons(receipt)
    assert found == kind
    assert message in reason
    assert len(reason) < 200


def test_a_flood(served: Served, feedback: Feedback, tmp_path: Path) -> None:
    """Unknown ids leave nothing behind, the reasons told are few, and too many at once are refused whole."""
    served.collect(0, 1)
    _sent(feedback, Outcome("id-0", "no"))
    before = sum(path.stat().st_size for path in (tmp_path / "workspace" / "feedback").rglob("*.db*"))
    receipt = _sent(feedback, *(Outcome(f"unknown-{number}", "yes") for number in range(10_000)))
    assert (receipt.refused, len(receipt.refusals)) == (10_000, 20)
    assert sum(path.stat().st_size for path in (tmp_path / "workspace" / "feedback").rglob("*.db*")) <= before
    with pytest.raises(InvalidRequestError, match="at most 10,000"):
        _sent(feedback, *[Outcome("id-0", "no")] * 10_001)


def test_bounded(served: Served, feedback: Feedback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest rows without a label are forgotten beyond a number, those with one never; and so many labels are kept."""
    monkeypatch.setattr(feedback_store, "MAXIMUM_WAITING", 4)
    monkeypatch.setattr(room, "MAXIMUM_LABELS", 2)
    served.collect(0, 1)
    assert _sent(feedback, Outcome("id-0", "no")).stored == 1
    served.collect(1, 3)
    receipt = _sent(feedback, Outcome("id-0", "yes", 1), Outcome("id-3", "yes", 1), Outcome("id-2", "no"), Outcome("id-0", "no"))
    assert (receipt.stored, receipt.repeated, receipt.refused) == (1, 1, 2)
    assert [kind for kind, _ in _reasons(receipt)] == ["NotFound", "Conflict"]


def test_files_that_rotate_and_grow(served: Served, feedback: Feedback) -> None:
    """What was collected is known after its file was rotated away; half a line, or one that is no record, is no row yet."""
    served.collect(0, 2)
    _sent(feedback, Outcome("id-0", "no"))
    (served.folder / "collected.jsonl").rename(served.folder / "collected.1.jsonl")
    served.collect(2, 1)
    with (served.folder / "collected.jsonl").open("a") as stream:
        stream.write('["no", "record"]\n{"request_id": "id-3", "rows"')
    assert _sent(feedback, Outcome("id-2", "yes", 1)).stored == 1
    (served.folder / "collected.1.jsonl").unlink()
    assert _sent(feedback, Outcome("id-1", "yes"), Outcome("id-3", "no")).stored == 1


@pytest.fixture
def endpoint_folder(served: Served, tmp_path: Path) -> Path:
    """Where the workspace has what the endpoint collects."""
    served.folder = LocalWorkspace(tmp_path / "workspace").folder_of("endpoints", "bank-endpoint")
    return served.folder


def test_kept_before_it_is_rotated_away(
    served: Served, feedback: Feedback, tmp_path: Path, endpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first delivery on, what is collected is kept now and then, also where no label comes until its file is gone."""
    monkeypatch.setattr(keeping, "_SECONDS", 0.01)
    leaving = threading.Event()
    keeper = threading.Thread(target=Keeper(LocalWorkspace(tmp_path / "workspace")).run, args=(leaving,))
    keeper.start()
    try:
        served.collect(0, 1)
        _sent(feedback, Outcome("id-0", "no"))
        served.collect(1, 1)
        with sqlite3.connect(tmp_path / "workspace" / "feedback" / "bank-endpoint" / "feedback.db") as connection:
            wait_until(lambda: connection.execute("SELECT 1 FROM requests WHERE request_id = 'id-1'").fetchone(), 10)
        connection.close()
        (endpoint_folder / "collected.jsonl").unlink()
        assert _sent(feedback, Outcome("id-1", "yes", 1)).stored == 1
    finally:
        leaving.set()
        keeper.join(10)


def test_kept_for_labels_alone(served: Served, feedback: Feedback, tmp_path: Path, endpoint_folder: Path) -> None:
    """Of an endpoint that no label came for nothing is copied; a store that is damaged keeps the others from nothing."""
    served.collect(0, 1)
    keeper = Keeper(LocalWorkspace(tmp_path / "workspace"))
    assert keeper.look()
    assert not (tmp_path / "workspace" / "feedback").exists()
    _sent(feedback, Outcome("id-0", "no"))
    damaged = LocalWorkspace(tmp_path / "workspace").folder_of("feedback", "a-damaged-one") / "feedback.db"
    damaged.write_bytes(b"no database" * 1000)
    served.collect(1, 1)
    assert not keeper.look()
    (endpoint_folder / "collected.jsonl").unlink()
    assert _sent(feedback, Outcome("id-1", "no")).stored == 1


def test_an_unknown_endpoint(feedback: Feedback) -> None:
    """It is NotFoundError, whatever is asked."""
    with pytest.raises(NotFoundError):
        feedback.record("nobody", [])
    with pytest.raises(NotFoundError):
        feedback.labelled("nobody")
    assert feedback.labelled("bank-endpoint") == ()


def test_for_its_owner_alone(served: Served, feedback: Feedback, tmp_path: Path) -> None:
    """The file holds callers' data, and nobody else can read it."""
    served.collect(0, 1)
    _sent(feedback, Outcome("id-0", "no"))
    folder = tmp_path / "workspace" / "feedback" / "bank-endpoint"
    assert (folder.stat().st_mode & 0o777, (folder / "feedback.db").stat().st_mode & 0o777) == (0o700, 0o600)


_SENDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from unit.local.test_feedback import Outcome, Served, _feedback
feedback = _feedback(Served(Path(sys.argv[1])), Path(sys.argv[1]))
for number in range(10_000):
    receipt = feedback.record("bank-endpoint", [Outcome(f"id-{number}", "yes")])
    assert receipt.stored == 1, receipt
    print(number, flush=True)
"""


@pytest.mark.slow
def test_killed_in_the_middle(served: Served, feedback: Feedback, tmp_path: Path) -> None:
    """What was acknowledged before a kill -9 is there, once, and the next delivery goes on."""
    served.collect(0, 2000)
    sender: subprocess.Popen[Any] = subprocess.Popen(
        [sys.executable, "-c", _SENDER, str(tmp_path), str(Path(__file__).parents[2])], stdout=subprocess.PIPE, text=True
    )
    assert sender.stdout
    for line in sender.stdout:
        if int(line) >= 40:
            break
    os.kill(sender.pid, signal.SIGKILL)
    acknowledged = 41 + len(sender.stdout.read().split())
    sender.wait()
    found = feedback.labelled("bank-endpoint")
    assert acknowledged <= len(found) <= acknowledged + 1
    assert [each.request_id for each in found] == [f"id-{number}" for number in range(len(found))]
    again = _sent(feedback, *(Outcome(f"id-{number}", "yes") for number in range(len(found) + 1)))
    assert again == OutcomeReceipt(1, len(found), 0)
