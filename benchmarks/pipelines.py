"""What the pipeline engine costs a step, and how many triggers it accepts over HTTP: `make bench-pipelines`.

A step that does nothing (`prepare`, of a dataset that is a value in memory) is run in a chain, where each waits for the one
before, and side by side; what a step takes then is the engine's: its queue, its records, its log. Triggers are POSTs with a
bearer token to a control server of its own, by several clients at once; each answer is a run that is kept. With PostgreSQL
installed both are measured on a cluster of the benchmark's own as well. Nothing else should run on the machine meanwhile.

    python benchmarks/pipelines.py --steps 40 --triggers 150 --out build/bench/pipelines.json --write docs/pipelines-faults.md
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import figures
import httpx
from dbos import DBOS

from bankmlops.backend import Backend
from bankmlops.local.backend import LocalBackend
from bankmlops.local.pipelines.database import VARIABLE, PipelineDatabase, postgres_database, sqlite_database
from bankmlops.local.pipelines.engine import PipelineEngine, RunRequest
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Pipeline, Step
from bankmlops.runs import wait
from bankmlops.types import Dataset, DataSource, PipelineRun, RunStatus
from support.postgres import postgres

PACKAGES = ("bankmlops", "dbos", "psycopg", "fastapi", "uvicorn")
DATASET = Dataset("bank", "1", 60, ("age", "y"), "y", "0" * 64)
ROUNDS = 3
CLIENTS = 8
TABLE = "age,job,y\n" + "".join(
    f"{20 + number},{('student', 'retired')[number % 2]},{('no', 'yes')[number % 2]}\n" for number in range(60)
)
Figures = dict[str, Any]


class Nothing:
    """A backend whose only dataset is a value."""

    def get_dataset(self, _name: str, _version: str | None = None) -> Dataset:
        return DATASET


def main() -> None:
    """Measure, and print the tables."""
    options = _options()
    document: Figures = {**figures.facts(PACKAGES), "steps": options.steps, "triggers": options.triggers}
    document["load_average"] = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bankmlops-bench-") as folder:
        for name, url in _databases():
            place = Path(folder) / name
            place.mkdir()
            document[name] = {**_step_figures(place, url, options.steps), **_trigger_figures(place, url, options.triggers)}
    figures.write_json(options.out, document)
    markdown = _markdown(document)
    print(markdown)
    if options.write:
        figures.write_block(options.write, "pipelines", markdown)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=figures.whole_number(2, 90), default=40, help="of a graph")
    parser.add_argument("--triggers", type=figures.whole_number(8, 190), default=150, help="fewer than may wait at once")
    parser.add_argument("--out", type=Path, default=Path("build/bench/pipelines.json"))
    parser.add_argument("--write", type=Path, help="put the table into this page's block as well")
    return parser.parse_args()


def _databases() -> Iterator[tuple[str, str]]:
    """Each engine's name and URL; an empty one is the workspace's own SQLite file."""
    yield "SQLite", ""
    if list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        with postgres() as cluster:
            yield "PostgreSQL", cluster.new_database()


def _step_figures(folder: Path, url: str, count: int) -> Figures:
    """Milliseconds a step, the median of some runs."""
    database = postgres_database(url) if url else sqlite_database(folder / "steps.sqlite")
    with _launched(database, folder) as engine:
        _run(engine, _graph(2, chained=True))
        return {
            name: statistics.median(_run(engine, _graph(count, chained=chained)) / count * 1e3 for _ in range(ROUNDS))
            for name, chained in (("chain", True), ("side_by_side", False))
        }


@contextmanager
def _launched(database: PipelineDatabase, folder: Path) -> Iterator[PipelineEngine]:
    backend: Backend = Nothing()  # type: ignore[assignment]
    engine = PipelineEngine(database, lambda: backend, LocalWorkspace(folder / "steps"))
    engine.launch()
    try:
        yield engine
    finally:
        DBOS.destroy(destroy_registry=True)


def _graph(count: int, *, chained: bool) -> Pipeline:
    steps = [
        Step(f"step-{number}", "prepare", {"dataset": "bank:1"}, after=(f"step-{number - 1}",) if chained and number else ())
        for number in range(count)
    ]
    return Pipeline("nothing", tuple(steps))


def _run(engine: PipelineEngine, pipeline: Pipeline) -> float:
    """Seconds from the request to its end, as they are recorded."""
    request = RunRequest(pipeline, allow_reuse=False)
    return _seconds(wait(engine.read, engine.start(str(uuid.uuid4()), request).id, timeout_seconds=300, poll_seconds=0.5))


def _seconds(run: PipelineRun) -> float:
    if run.status is not RunStatus.COMPLETED or run.started is None or run.ended is None:
        raise SystemExit(f"run {run.id} ended {run.status}: {run.error}")
    return (run.ended - run.started).total_seconds()


def _trigger_figures(folder: Path, url: str, count: int) -> Figures:
    """Triggers a second over HTTP, and milliseconds that one takes; every one of them has to be accepted, and kept."""
    backend = LocalBackend(folder / "workspace")
    (folder / "bank.csv").write_text(TABLE)
    dataset = backend.register_dataset("bank", DataSource(folder / "bank.csv", synthetic=True), "y")
    step = Step("prepare", "prepare", {"dataset": f"{dataset.name}:{dataset.version}"})
    published = backend.publish_pipeline(Pipeline("nothing", (step,)), "1")
    with _served(backend, url):
        header = backend.authorization_header()
        started = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            times = list(pool.map(lambda _: _trigger(published.endpoint, header), range(count)))
        seconds = time.perf_counter() - started
    return {"triggers_a_second": count / seconds, "trigger_ms": statistics.median(times) * 1e3, "clients": CLIENTS}


@contextmanager
def _served(backend: LocalBackend, url: str) -> Iterator[None]:
    if url:
        os.environ[VARIABLE] = url
    try:
        backend.up()
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        backend.down()


def _trigger(endpoint: str, header: Mapping[str, str]) -> float:
    started = time.perf_counter()
    answer = httpx.post(endpoint, json={"ExperimentName": "bench"}, headers=dict(header), timeout=60, trust_env=False)
    if not answer.is_success:
        raise SystemExit(f"a trigger was answered {answer.status_code}: {answer.text}")
    return time.perf_counter() - started


def _markdown(document: Figures) -> str:
    header = ("engine", "ms a step, in a chain", "ms a step, side by side", "triggers/s", "ms a trigger, p50")
    rows = [
        (name, *(figures.number(document[name][key]) for key in ("chain", "side_by_side", "triggers_a_second", "trigger_ms")))
        for name in ("SQLite", "PostgreSQL")
        if name in document
    ]
    more = f"{document['steps']} steps, medians of {ROUNDS} runs; {document['triggers']} triggers by {CLIENTS} clients at once"
    more += f"; the machine's load average before it {document['load_average']:.1f}"
    return f"{figures.caption(document, more)}\n\n{figures.table(header, rows)}"


if __name__ == "__main__":
    main()
