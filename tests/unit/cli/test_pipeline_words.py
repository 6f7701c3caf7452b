"""The words about pipeline files, parameters, resubmission and the files of steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bankmlops.pipelines import RunOptions
from bankmlops.pipelines.yaml_file import load_pipeline
from bankmlops.types import PipelineRun, PublishedPipeline, RunStatus
from support.http_server import Answer, serving
from support.memory_backend import MemoryBackend

Command = Callable[..., Any]
TRAINING = Path(__file__).parents[3] / "docs" / "pipelines" / "training.yaml"


def test_run_a_file(command: Command, backend: MemoryBackend) -> None:
    """A file's pipeline is run, with the parameters that were given; reuse can be turned off."""
    assert command("pipelines", "run", TRAINING, "--watch").code == 0
    assert (
        command("pipelines", "run", TRAINING, "--set", "minutes=2", "--set", "dataset=a=b", "--no-reuse", "--no-wait").code == 0
    )
    pipeline = load_pipeline(TRAINING)
    options = RunOptions(parameters={"minutes": "2", "dataset": "a=b"}, allow_reuse=False)
    assert backend.calls == [pipeline, (pipeline, options)]


def test_publish_a_file(command: Command, backend: MemoryBackend) -> None:
    """A file's pipeline is published under its own name, with its own description unless another is given."""
    assert command("pipelines", "publish", TRAINING, "--version", "7", "--json").document["name"] == "bank-training"
    assert command("pipelines", "publish", TRAINING, "--description", "mine").code == 0
    pipeline = load_pipeline(TRAINING)
    assert backend.calls == [(pipeline, "7", pipeline.description), (pipeline, "1", "mine")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((TRAINING, "--dataset", "bank"), "--dataset does not go with"),
        ((TRAINING, "--minutes", "3"), "--minutes does not go with"),
        ((TRAINING, "--set", "minutes"), "NAME=VALUE"),
        (("training",), "--dataset NAME"),
        (("nobody.yaml",), "can't read nobody.yaml"),
    ],
)
def test_words_that_do_not_serve(command: Command, backend: MemoryBackend, words: tuple[object, ...], message: str) -> None:
    """What can't be run is one line."""
    done = command("pipelines", "run", *words, "--no-wait")
    assert done.code != 0
    assert len(done.errors) == 1
    assert message in done.errors[0]
    assert backend.calls == []


def test_resubmit(command: Command, backend: MemoryBackend) -> None:
    """A run is done again, from a step where one is named."""
    assert command("pipelines", "resubmit", "run-5", "--from", "train", "--no-wait").code == 0
    assert ("resubmit", "run-5", "train") in backend.calls


def test_log_and_download(command: Command, backend: MemoryBackend, tmp_path: Path) -> None:
    """A step's log and its files are at hand."""
    assert command("pipelines", "log", "run-5", "train").out == "run-5 train begins\ndone\n"
    assert command("pipelines", "log", "run-5", "train", "--json").document == ["run-5 train begins", "done"]
    done = command("pipelines", "download", "run-5", "score", "predictions", "--to", tmp_path)
    assert done.out.strip() == str(tmp_path / "predictions.txt")


def test_a_file_is_shown_by_its_name(command: Command, backend: MemoryBackend) -> None:
    """A person reads the name of a file that a step gave, a machine where it lies."""
    file = f"file:pipeline-runs/run-5/score/outputs/predictions.parquet#{'a' * 64}"
    run = PipelineRun("run-5", "nightly", RunStatus.COMPLETED, (), outputs={"predictions": file, "rows": "7"})
    backend.changes = [run, run]
    assert [line.split() for line in command("pipelines", "watch", "run-5").out.splitlines()[-2:]] == [
        ["predictions", "predictions.parquet"],
        ["rows", "7"],
    ]
    assert command("pipelines", "watch", "run-5", "--json").document["outputs"]["predictions"] == file


def test_schema(command: Command) -> None:
    """The schema is JSON, with or without being asked for JSON."""
    assert command("pipelines", "schema").document == command("pipelines", "schema", "--json").document


def test_trigger_by_a_key(command: Command, backend: MemoryBackend) -> None:
    """An idempotency key goes with the POST; on Azure, which knows none, it is refused."""
    with serving(lambda _: Answer({"Id": "run-1"})) as server:
        backend.pipelines = [PublishedPipeline("id-2", "training", "2", f"{server.url}/submit", "Active")]
        assert command("pipelines", "trigger", "training", "--idempotency-key", "build-17", "--no-wait").code == 0
        done = command("--backend", "azure", "pipelines", "trigger", "training", "--idempotency-key", "build-17")
    assert [asked.headers["idempotency-key"] for asked in server.asked] == ["build-17"]
    assert done.code == 2
    assert "--idempotency-key" in done.errors[0]
