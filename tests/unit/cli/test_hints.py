"""After a result a person reads what comes next, with its names filled in; a machine reads the result alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from bankmlops.automl.guardrails import examine
from bankmlops.cli import hints
from bankmlops.errors import BackendUnavailableError
from bankmlops.features import encode_labels, fit
from bankmlops.types import DeploymentConfig, Endpoint, Model
from support.memory_backend import MemoryBackend

Command = Callable[..., Any]
REPORT = "outputs/report.html"


class Found(MemoryBackend):
    """A backend whose runs have the guardrails of a small table, and a report."""

    def list_artifacts(self, run_id: str) -> Sequence[str]:
        return ["outputs/guardrails.json", REPORT]

    def download_artifact(self, run_id: str, path: str, to: Path) -> Path:
        numbers = numpy.arange(200)
        columns = {
            "age": numbers % 50,
            "same": numpy.zeros(200),
            "y": numpy.where(numbers % 20 == 0, "yes", "no").astype(object),
        } | {f"id{number}": numpy.array([f"c{row}" for row in range(200)], dtype=object) for number in range(6)}
        specification = fit(columns, "y")
        file = to / Path(path).name
        file.write_text(examine(columns, specification, encode_labels(specification, columns["y"])).to_json())
        return file


@pytest.fixture
def found(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> Found:
    made = Found()
    monkeypatch.setattr("bankmlops.connect.connect", lambda _name, _workspace: made)
    return made


def test_after_a_dataset(command: Command, backend: MemoryBackend) -> None:
    """The classes are counted, the most frequent first and the first few by name, and the search is next."""
    classes = [letter for count, letter in enumerate("abcdefg", 1) for _ in range(count)]
    Path("loans.csv").write_text("age,grade\n" + "".join(f"{row},{name}\n" for row, name in enumerate(classes)))
    done = command("data", "register", "loans.csv", "--name", "my-loans", "--label", "grade")
    assert done.errors == [
        "label 'grade': g 7, f 6, e 5, d 4, c 3 and 2 more",
        "next: bankmlops automl run --dataset my-loans --minutes 2",
    ]


def test_after_a_large_dataset(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes long to read is not read once more to count its classes."""
    monkeypatch.setattr(hints, "LARGEST_COUNTED", 10)
    Path("loans.csv").write_text("age,grade\n" + "1,a\n2,b\n" * 50)
    done = command("data", "register", "loans.csv", "--name", "my-loans", "--label", "grade")
    assert done.errors == ["next: bankmlops automl run --dataset my-loans --minutes 2"]


def test_after_a_run(command: Command, found: Found) -> None:
    """Alerts and dropped columns are counted and named, some of them, and the report and the registration are next."""
    lines = command("automl", "run", "--dataset", "bank").errors[-3:]
    alerts, _, dropped = lines[0].partition("; ")
    assert alerts == "1 guardrail alert (Class balance)"
    assert dropped == "7 columns dropped (same, id0, id1, id2, id3 and 2 more)"
    assert lines[1:] == [
        f"the report: bankmlops automl download AutoML_1 {REPORT}",
        "next: bankmlops models register AutoML_1 --name bank",
    ]


def test_after_a_run_of_which_no_more_can_be_told(command: Command, found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has completed is a success, though its files can't be had just now."""

    def gone(*_: object) -> Sequence[str]:
        raise BackendUnavailableError("no answer")

    monkeypatch.setattr(found, "list_artifacts", gone)
    done = command("automl", "run", "--dataset", "bank")
    assert (done.code, done.errors[-1]) == (0, "next: bankmlops models register AutoML_1 --name bank")
    assert "no answer" not in done.err


def test_after_a_run_that_is_not_waited_for(command: Command, backend: MemoryBackend) -> None:
    """It is watched next."""
    done = command("automl", "run", "--dataset", "bank", "--no-wait")
    assert done.errors == ["next: bankmlops automl watch AutoML_1"]


@pytest.mark.parametrize(
    ("model", "endpoint"),
    [("bank", "bank-endpoint"), ("2_Bank.Loans", "bank-loans-endpoint"), ("7", "endpoint"), ("a" * 40, "a" * 23 + "-endpoint")],
)
def test_after_a_model(command: Command, backend: MemoryBackend, model: str, endpoint: str) -> None:
    """It is deployed next, under a name that an endpoint can have."""
    done = command("models", "register", "AutoML_1", "--name", model)
    assert done.errors == [f"next: bankmlops endpoints deploy {endpoint} --model {model}"]


def test_after_an_endpoint(command: Command, backend: MemoryBackend) -> None:
    """It is asked next; where its key is, and how its inputs are watched, is said."""
    done = command("endpoints", "deploy", "bank-endpoint", "--model", "bank")
    assert done.errors == [
        "next: bankmlops score bank-endpoint FILE (its key: bankmlops endpoints keys bank-endpoint)",
        "to watch its inputs: bankmlops endpoints update bank-endpoint --collect-model-data, "
        "later: bankmlops monitor bank-endpoint",
    ]


def test_after_an_endpoint_that_collects(command: Command, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was set is not asked for again."""
    deploy = backend.deploy_model

    def as_set(model: Model, config: DeploymentConfig) -> Endpoint:
        return replace(deploy(model, config), auth_enabled=config.auth_enabled, collect_model_data=config.collect_model_data)

    monkeypatch.setattr(backend, "deploy_model", as_set)
    done = command("endpoints", "deploy", "bank-endpoint", "--model", "bank", "--collect-model-data", "--no-auth")
    assert done.errors == ["next: bankmlops score bank-endpoint FILE"]


def test_where_it_was_done(command: Command, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command works where this one did: what the environment says need not be said."""
    words = ("models", "register", "AutoML_1", "--name", "bank")
    done = command("--workspace", "my work", *words, "--backend", "azure")
    assert done.errors == ["next: bankmlops --backend azure --workspace 'my work' endpoints deploy bank-endpoint --model bank"]
    monkeypatch.setenv("BANKMLOPS_WORKSPACE", "elsewhere")
    assert command(*words).errors == ["next: bankmlops endpoints deploy bank-endpoint --model bank"]


@pytest.mark.parametrize(
    "words",
    [
        ("automl", "run", "--dataset", "bank", "--no-wait"),
        ("models", "register", "AutoML_1", "--name", "bank"),
        ("endpoints", "deploy", "bank-endpoint", "--model", "bank"),
        ("data", "register", "bank.csv", "--label", "y"),
    ],
)
def test_a_machine_is_told_nothing_more(command: Command, found: Found, words: Sequence[str]) -> None:
    """With --json there is no such line, and nothing is looked up for one."""
    done = command(*words, "--json")
    assert (done.code, done.err) == (0, "")
