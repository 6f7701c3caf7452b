"""MLflow's pages in a real browser, on a workspace that a real search wrote: what a person looks for is where one looks."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from bankmlops.datasets import synthesize, synthesize_stream
from bankmlops.local.backend import LocalBackend
from bankmlops.local.training.mlflow_store import open_store
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.online.loop import OnlineLoop, OnlineSettings
from bankmlops.online.promotion import trained_model
from bankmlops.online.scores import POLICIES
from bankmlops.online.stream import read_stream
from bankmlops.online.training import WindowTraining
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, DataSource, Run, RunStatus, StreamDrift
from support.browser import NEEDS_CHROMIUM, chromium, quiet_page
from support.quick_bundle import train_quickly

pytestmark = NEEDS_CHROMIUM
TRAINING = "?workflowType=machine_learning"


@dataclass(frozen=True)
class Served:
    """The pages' address, where the command says to begin, the run behind them, and the page of an online loop's run."""

    url: str
    first: str
    run: Run
    online: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("mlflow")
    online, run = _learn_online(folder), _train(folder)  # the pages begin with the newest
    command = [sys.executable, "-m", "bankmlops.local.training.mlflow_ui", "--workspace", str(folder / "workspace")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = re.search(r"http://\S+", process.stdout.readline())
        assert first
        yield Served(first[0].partition("/#")[0], first[0], run, online)
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _train(folder: Path) -> Run:
    backend = LocalBackend(folder / "workspace")
    synthesize(folder / "bank.csv", 1000, 7)
    dataset = backend.register_dataset("bank", DataSource(folder / "bank.csv", synthetic=True), "y")
    config = AutoMLConfig(dataset=dataset, experiment_name="nightly", experiment_timeout_minutes=0.15)
    run = wait(backend.get_run, backend.submit_automl(config).id, timeout_seconds=300)
    assert run.status is RunStatus.COMPLETED, run.error
    backend.register_model(run.id, "bank-model")
    return run


def _learn_online(folder: Path) -> str:
    """Three policies over a stream whose world changes, and the challenger as a run."""
    backend = LocalBackend(folder / "workspace")
    synthesize_stream(folder / "s.csv", folder / "s.labels.csv", 2000, 5, StreamDrift.SUDDEN, 60.0)
    stream = read_stream(folder / "s.csv", folder / "s.labels.csv")
    settings = OnlineSettings(warm_up=500, retrain_every=1000, window=1000)
    loop = OnlineLoop(stream, settings, folder, train_quickly)
    loop.run()
    training = WindowTraining(backend, "bank", stream.label_column, 0.1, synthetic=True)
    config = training.config(training.register(loop.newest_window(), folder))
    backend.record_run(trained_model(loop, config, folder / "outputs", 1.0))
    mlflow = open_store(LocalWorkspace(folder / "workspace"))
    experiment = mlflow.get_experiment_by_name("online-bank").experiment_id
    (run,) = (run for run in mlflow.search_runs([experiment]) if "mlflow.parentRunId" not in run.data.tags)
    return f"/#/experiments/{experiment}/runs/{run.info.run_id}"


@pytest.fixture
def page(served: Served) -> Iterator[Page]:
    options = {"viewport": {"width": 1600, "height": 900}}
    with chromium() as browser, quiet_page(browser, served.url, allowed="", **options) as page:
        page.set_default_timeout(60_000)
        yield page


def test_the_run_and_its_trials(page: Page, served: Served) -> None:
    """The first page lists the run and not yet its trials; the run's own page names those, its metrics and the model."""
    expect.set_options(timeout=60_000)
    page.goto(served.first)
    row = page.get_by_role("link", name=served.run.id)
    expect(row).to_be_visible()
    expect(page.get_by_role("link", name="VotingEnsemble")).to_have_count(0)
    row.click()
    expect(page.get_by_text("Child runs", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=re.compile(r"\d+ VotingEnsemble")).first).to_be_visible()
    for words in ("bank-model", "AUC_weighted", "primary_metric"):
        expect(page.get_by_text(words).first).to_be_visible()


def test_the_plots(page: Page, served: Served) -> None:
    """The plots are among the run's artifacts, and open there."""
    expect.set_options(timeout=60_000)
    page.goto(served.first)
    page.get_by_role("link", name=served.run.id).click()
    page.get_by_role("tab", name="Artifacts").click()
    for name in ("confusion_matrix.png", "roc.png", "precision_recall.png", "report.html"):
        expect(page.get_by_text(name, exact=True)).to_be_visible()
    page.get_by_text("roc.png", exact=True).click()
    expect(page.locator("img[src^='blob:'], img[src^='data:image/png']").first).to_be_visible()


def test_the_curves_of_an_online_run(page: Page, served: Served) -> None:
    """The score of each policy is drawn over the labels, and all of them are in one picture among the artifacts."""
    expect.set_options(timeout=60_000)
    page.goto(f"{served.url}{served.online}")
    page.get_by_role("tab", name="Model metrics").click()
    page.get_by_placeholder("Search metric charts").fill("prequential_log_loss")
    for policy in POLICIES:
        expect(page.get_by_text(f"prequential_log_loss_{policy}", exact=True).first).to_be_visible()
    charts = page.locator(".js-plotly-plot").filter(has=page.locator("path.js-line"))  # a line, and not one bar
    expect(charts).to_have_count(len(POLICIES))
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("prequential.png", exact=True).click()
    expect(page.locator("img[src^='blob:'], img[src^='data:image/png']").first).to_be_visible()


def test_the_registered_model(page: Page, served: Served) -> None:
    """The registry has the model, its version and the alias under which it is served."""
    expect.set_options(timeout=60_000)
    page.goto(f"{served.url}/#/models/bank-model{TRAINING}")
    expect(page.get_by_text("bank-model").first).to_be_visible()
    expect(page.get_by_text("Version 1").first).to_be_visible()
    expect(page.get_by_text("champion").first).to_be_visible()
