"""The retraining loop once, with real processes: new data trains a challenger, which replaces the champion where it is better.

All of it under traffic that must not see a failed request, whichever model answers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pytest

from bankmlops import client
from bankmlops.local.backend import LocalBackend
from bankmlops.local.pipelines.data import held_out
from bankmlops.pipelines.yaml_file import load_pipeline
from bankmlops.runs import wait
from bankmlops.types import (
    DataSource,
    Endpoint,
    NewDatasetVersion,
    PipelineRun,
    PublishedPipeline,
    RunStatus,
    ScheduleConfig,
    StepRun,
)
from support.command_line import CommandLine
from support.steady_traffic import steady_traffic
from support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long]

PIPELINE = Path(__file__).parents[2] / "docs" / "pipelines" / "retraining.yaml"
TINY = MappingProxyType({"minutes": 0.1, "algorithms": "LogisticRegression"})
ASKED = [{"age": 30, "balance": 100}, {"age": 60, "balance": 900}]
ROWS, TEST_SHARE, MIXED_UP, CLEAN = 600, 0.25, 0.45, 0.05
Row = tuple[int, int, str]


def _rows(seed: int, wrong: float) -> list[Row]:
    """Rows in which the age tells the answer, but for a share that is `wrong`."""
    draw = random.Random(seed)
    rows = []
    for _ in range(ROWS):
        age, is_wrong = draw.randint(18, 80), draw.random() < wrong
        rows.append((age, draw.randint(0, 5000), "yes" if (age >= 50) != is_wrong else "no"))
    return rows


def _table(rows: Sequence[Row]) -> pa.Table:
    return pa.table({name: list(column) for name, column in zip(("age", "balance", "y"), zip(*rows, strict=True), strict=True)})


def _mixed_up_where_it_trains(seed: int) -> list[Row]:
    """Rows that are clean where the pipeline holds them out, and mixed up where it trains: nothing better comes of them."""
    clean, mixed_up = _rows(seed, CLEAN), _rows(seed + 1, MIXED_UP)
    held = [row for row, is_held in zip(clean, held_out(_table(clean), TEST_SHARE), strict=True) if is_held]
    return held + [row for row, is_held in zip(mixed_up, held_out(_table(mixed_up), TEST_SHARE), strict=True) if not is_held]


class Loop:
    """A workspace in which a champion is served, and new data retrains."""

    def __init__(self, folder: Path) -> None:
        self.command = CommandLine(folder)
        self.backend = LocalBackend(self.command.workspace)
        self._folder = folder
        self._seen: set[str] = set()

    def start(self, published: PublishedPipeline) -> None:
        """Have the first champion trained and served, and new data retrain."""
        header = self.backend.authorization_header()
        first = client.trigger(published.endpoint, header, "retraining", TINY, idempotency_key="first")
        ended = wait(self.backend.get_pipeline_run, first, timeout_seconds=300)
        assert ended.status is RunStatus.COMPLETED, ended.error
        self.backend.schedule_pipeline(
            ScheduleConfig("on-data", published.id, NewDatasetVersion("bank", "dataset"), parameters=TINY)
        )

    def register(self, rows: Sequence[Row]) -> str:
        """A new version of the dataset."""
        path = self._folder / "bank.csv"
        path.write_text("age,balance,y\n" + "".join(f"{age},{balance},{y}\n" for age, balance, y in rows))
        return self.backend.register_dataset("bank", DataSource(path, synthetic=True), "y").version

    def await_fired(self) -> PipelineRun:
        """The run that the schedule started since the last that was waited for, ended."""
        wait_until(self._fired, 60)
        run_id = self._fired()[0]
        self._seen.add(run_id)
        return wait(self.backend.get_pipeline_run, run_id, timeout_seconds=300)

    def served(self) -> Endpoint:
        return self.backend.get_endpoint("bank-live")

    def _fired(self) -> list[str]:
        runs = self.backend.list_pipeline_runs()
        return [run.id for run in runs if run.run_source == "schedule on-data" and run.id not in self._seen]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path)
    loop.register(_rows(1, MIXED_UP))
    loop.backend.up()
    try:
        published = loop.backend.publish_pipeline(load_pipeline(PIPELINE), "1")
        loop.start(published)
        yield loop
    finally:
        loop.backend.delete_endpoint("bank-live")
        loop.backend.down()
        loop.command.end_processes()


def _step(run: PipelineRun, name: str) -> StepRun:
    return next(step for step in run.steps if step.name == name)


def test_the_loop(loop: Loop) -> None:
    """A better challenger is registered and served under the same keys; one that is no better is not; one command goes back."""
    champion, keys = loop.served(), loop.backend.get_keys("bank-live")
    assert (champion.model_name, champion.model_version) == ("bank-live", "1")
    with steady_traffic(champion.scoring_uri, keys.primary, ASKED) as traffic:
        _a_better_challenger(loop, loop.register(_rows(2, CLEAN)))
        before = traffic.answered
        _one_that_is_no_better(loop, loop.register(_mixed_up_where_it_trains(3)))
        assert traffic.answered > before
        loop.command.json("endpoints", "rollback", "bank-live")
        assert loop.served().model_version == "1"
        before = traffic.answered
        wait_until(lambda: traffic.answered > before + 20)
    assert traffic.failures == []
    assert loop.backend.get_keys("bank-live") == keys
    assert loop.served().scoring_uri == champion.scoring_uri


def _a_better_challenger(loop: Loop, version: str) -> None:
    run = loop.await_fired()
    assert run.status is RunStatus.COMPLETED, run.error
    assert run.parameters["dataset"] == f"bank:{version}"
    judged = _step(run, "challenge").outputs
    assert (judged["passed"], judged["champion"]) == ("true", "bank-live:1")
    low, _, high = judged["interval"].partition(" to ")
    assert 0 < float(low) <= float(judged["difference"]) <= float(high)
    assert _step(run, "register").outputs["model"] == "bank-live:2"
    assert loop.backend.get_model("bank-live").run_id == _step(run, "train").outputs["automl_run_id"]
    assert _step(run, "deploy").outputs["replaced"] == "bank-live:1"
    assert loop.served().model_version == "2"


def _one_that_is_no_better(loop: Loop, version: str) -> None:
    run = loop.await_fired()
    assert run.status is RunStatus.COMPLETED, run.error
    assert run.parameters["dataset"] == f"bank:{version}"
    judged = _step(run, "challenge").outputs
    assert (judged["passed"], judged["champion"]) == ("false", "bank-live:2")
    for name in ("register", "deploy"):
        left_undone = _step(run, name)
        assert left_undone.status is RunStatus.NOT_STARTED
        assert left_undone.reason.startswith("challenge let nothing through: not better than bank-live:2 beyond noise (")
    assert loop.backend.get_model("bank-live").version == "2"
    assert loop.served().model_version == "2"
