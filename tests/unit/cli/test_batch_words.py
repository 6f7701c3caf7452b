"""`bankmlops score --model`: whole files are scored with a registered model, and its words are checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from support.bundles import write_bundle
from support.memory_backend import MemoryBackend
from support.run_files import RunFiles

Command = Callable[..., Any]


@pytest.fixture
def with_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    backend = RunFiles(write_bundle(tmp_path_factory.mktemp("bundle") / "bundle"))
    monkeypatch.setattr("bankmlops.connect.connect", lambda _name, _workspace: backend)
    return backend


def test_score_a_file(command: Command, with_bundle: MemoryBackend) -> None:
    """The model's version comes after a colon; the result says what was written, and where the rejected rows are."""
    Path("rows.csv").write_text("age,job,y\n20,student,no\n70,retired,yes\nold,student,no\n")
    done = command("score", "--model", "bank:3", "--input", "rows.csv", "--output", "out.parquet", "--proba", "--json")
    assert done.code == 0, done.err
    assert done.document == {
        "output": "out.parquet",
        "rows": 2,
        "rejected": 1,
        "rejections": "out.parquet.rejected.jsonl",
        "resumed": 0,
    }
    assert pq.read_table("out.parquet").column("prediction").to_pylist() == ["no", "yes"]
    shown = command("score", "--model", "bank", "--input", "rows.csv", "--output", "out.parquet")
    assert "out.parquet.rejected.jsonl" in shown.out


@pytest.mark.parametrize(
    "words",
    [
        ("score",),
        ("score", "bank-endpoint"),
        ("score", "--model", "bank", "--input", "rows.csv"),
        ("score", "bank-endpoint", "--model", "bank", "--input", "rows.csv", "--output", "out.parquet"),
    ],
)
def test_words_that_do_not_fit(command: Command, with_bundle: MemoryBackend, words: tuple[str, ...]) -> None:
    """An endpoint with its rows, or a model with its files: anything between is refused in a line."""
    done = command(*words)
    assert done.code == 2
    assert len(done.errors) == 1
    assert "--model, --input and --output" in done.err


def test_a_model_without_a_bundle(command: Command, backend: MemoryBackend) -> None:
    """A model that Azure trained has none: the line says what would serve."""
    done = command("score", "--model", "bank", "--input", "rows.csv", "--output", "out.parquet")
    assert done.code == 2
    assert "has no exported bundle" in done.err
