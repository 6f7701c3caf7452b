"""What leads on from a result: what a person should know of it, and the command that comes next, with its names filled in."""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bankmlops.cli.session import Session
from bankmlops.errors import BankMLOpsError
from bankmlops.types import Dataset, Endpoint, Model, Run

GUARDRAILS, REPORT = "outputs/guardrails.json", "outputs/report.html"
_DROPPED = "Columns without information"
LARGEST_COUNTED = 100_000_000  # bytes of a file that is read once more for its classes: a second or two
_SHOWN = 5
_UNTOLD = (BankMLOpsError, OSError, ValueError)  # what can't be told is left out: the command itself has done its work


def after_dataset(session: Session, dataset: Dataset, file: Path) -> Iterator[str]:
    """The classes of the file's label, where counting them takes no time, and how to train on the dataset."""
    with suppress(*_UNTOLD):
        if file.stat().st_size <= LARGEST_COUNTED:
            yield f"label {dataset.label_column!r}: {_listed(_classes(session, dataset.label_column, file))}"
    yield f"next: {_command(session, 'automl', 'run', '--dataset', dataset.name, '--minutes', 2)}"


def after_run(session: Session, run: Run, name: str) -> Iterator[str]:
    """What was found in the data, where the report is, and how to register the winner as a model called `name`."""
    if not run.status.is_final:
        yield f"next: {_command(session, 'automl', 'watch', run.id)}"
        return
    with suppress(*_UNTOLD):
        files = session.backend.list_artifacts(run.id)
        if GUARDRAILS in files:
            yield _found(session, run.id)
        if REPORT in files:
            yield f"the report: {_command(session, 'automl', 'download', run.id, REPORT)}"
    yield f"next: {_command(session, 'models', 'register', run.id, '--name', name)}"


def after_model(session: Session, model: Model) -> Iterator[str]:
    """How to serve it."""
    yield f"next: {_command(session, 'endpoints', 'deploy', _endpoint_name(model.name), '--model', model.name)}"


def after_endpoint(session: Session, endpoint: Endpoint) -> Iterator[str]:
    """How to ask it, where its key is, and how to watch its inputs."""
    key = f" (its key: {_command(session, 'endpoints', 'keys', endpoint.name)})" if endpoint.auth_enabled else ""
    yield f"next: {_command(session, 'score', endpoint.name, 'FILE')}{key}"
    if not endpoint.collect_model_data:
        update = _command(session, "endpoints", "update", endpoint.name, "--collect-model-data")
        yield f"to watch its inputs: {update}, later: {_command(session, 'monitor', endpoint.name)}"


def _classes(session: Session, label: str, file: Path) -> list[str]:
    """Each class and its rows, the most frequent first."""
    from bankmlops.datasets import read_table

    with session.busy(f"counting the classes of {label}"):
        counts = read_table(file).column(label).value_counts().to_pylist()
    counts.sort(key=lambda each: (-each["counts"], str(each["values"])))
    return [f"{each['values']} {each['counts']:,}" for each in counts]


def _found(session: Session, run_id: str) -> str:
    """The guardrails that need a person's judgement, and the columns that were left out."""
    with tempfile.TemporaryDirectory(prefix="bankmlops-hints-") as folder:
        file = session.backend.download_artifact(run_id, GUARDRAILS, Path(folder))
        findings = json.loads(file.read_text(encoding="utf-8"))["findings"]
    alerted = [finding["name"] for finding in findings if finding["status"] == "alerted"]
    dropped = [name for finding in findings if finding["name"] == _DROPPED for name in finding["columns"]]
    return f"{_counted(alerted, 'guardrail alert', 'guardrail alerts')}; {_counted(dropped, 'column dropped', 'columns dropped')}"


def _counted(names: Sequence[str], one: str, several: str) -> str:
    return f"{len(names)} {one if len(names) == 1 else several} ({_listed(names)})" if names else f"no {one}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in names[:_SHOWN]) + more


def _command(session: Session, *words: object) -> str:
    """The command line, with what was said of backend and workspace but for what the environment says anyway."""
    settings = session.settings
    where: list[object] = []
    if settings.backend != os.environ.get("BANKMLOPS_BACKEND", "local"):
        where += ["--backend", settings.backend]
    if settings.workspace != Path(os.environ.get("BANKMLOPS_WORKSPACE", ".bankmlops")):
        where += ["--workspace", settings.workspace]
    return shlex.join(map(str, ["bankmlops", *where, *words]))


def _endpoint_name(model: str) -> str:
    """The model's name as Azure takes it for a web service: at most 32 lower-case letters, digits and dashes, a letter first."""
    plain = re.sub(r"[^a-z0-9]+", "-", model.lower()).lstrip("-0123456789")[:23].rstrip("-")
    return f"{plain}-endpoint" if plain else "endpoint"
