"""Microsoft's own widgets, `azureml-widgets`, on runs of the emulator: in a classic notebook, in a real browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from support.browser import NEEDS_CHROMIUM, chromium
from support.command_line import CommandLine
from support.emulated_azure import emulator_of
from support.own_environment import SECONDS as ENVIRONMENT_SECONDS
from support.own_environment import python_with

pytestmark = [*NEEDS_CHROMIUM, pytest.mark.slow, pytest.mark.timeout(ENVIRONMENT_SECONDS + 600)]

TOKEN = "a-token-for-this-test"
SECONDS = 240
SCALE = "0.006"  # of the quarter of an hour that AutoML is asked to take
CELLS = (
    """
from pathlib import Path
from random import Random
from azureml.core import Dataset, Experiment, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import AutoMLStep
from azureml.train.automl import AutoMLConfig
from azureml.widgets import RunDetails
ws = Workspace.from_config()
""",
    """
run = Experiment(ws, "by-hand").start_logging(snapshot_directory=None)
run.log("accuracy", 0.875)
for loss in (3, 2, 1):
    run.log("loss", loss)
Path("std_log.txt").write_text("a line of the log\\n")
run.upload_file("user_logs/std_log.txt", "std_log.txt")
run.complete()
RunDetails(run).show()
""",
    """
random = Random(3)
ages = [random.randint(18, 80) for _ in range(400)]
lines = [f"{age},{'yes' if age + random.gauss(0, 20) > 65 else 'no'}" for age in ages]
Path("table.csv").write_text("\\n".join(["age,y", *lines]))
store = ws.get_default_datastore()
store.upload_files([str(Path("table.csv").resolve())], target_path="widgets", show_progress=False)
config = AutoMLConfig(
    task="classification",
    training_data=Dataset.Tabular.from_delimited_files(store.path("widgets/table.csv")),
    label_column_name="y",
    compute_target=ComputeTarget.create(ws, "cluster", AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=4)),
    experiment_timeout_hours=0.25,
    n_cross_validations=2,
    primary_metric="AUC_weighted",
    allowed_models=["LogisticRegression", "LightGBM"],
    debug_log="automl.log",
)
automl = Experiment(ws, "automl").submit(config, show_output=False)
RunDetails(automl).show()
""",
    """
pipeline_run = Experiment(ws, "pipeline").submit(Pipeline(ws, [AutoMLStep("train", automl_config=config, allow_reuse=False)]))
RunDetails(pipeline_run).show()
""",
)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """An emulator, and a folder with the notebook and the workspace's names."""
    command = CommandLine(tmp_path_factory.mktemp("widgets"))
    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), command.folder / "watch.ipynb")
    with emulator_of(command, "widgets", SCALE):
        yield command


@pytest.fixture(scope="module")
def notebook(command: CommandLine) -> Iterator[str]:
    """The address of a classic notebook's server."""
    python = python_with("azureml-widgets")  # whose script wants ipywidgets 7.6, which the rest of the tests do without
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = command.folder / "home"
    home.mkdir()
    words = [str(python), "-m", "notebook", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    environment = {**command.environment_of_commands(), "JUPYTER_TOKEN": TOKEN, "HOME": str(home)}
    with (command.folder / "notebook.log").open("wb") as log:
        process = subprocess.Popen(words, cwd=command.folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}", process, command.folder / "notebook.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and process.poll() is None:
        try:
            opener.open(f"{address}/api", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def page(notebook: str) -> Iterator[Page]:
    """The notebook, of which every cell was begun; what its scripts ask of others, such as telemetry, is refused."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1366, "height": 900})
        context.route(lambda url: not url.startswith((notebook, "data:", "blob:")), lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.goto(f"{notebook}/notebooks/watch.ipynb?token={TOKEN}")
        page.wait_for_function("() => window.Jupyter?.notebook?.kernel?.is_connected()")
        page.evaluate("Jupyter.notebook.execute_all_cells()")
        yield page
        context.close()


def _assert_shown(page: Page, cell: int, *words: str) -> None:
    """What the cell puts out comes to say all this; a cell that ends by an error is not waited for."""
    output = page.locator(".cell").nth(cell).locator(".output_wrapper")
    for each in words:
        either = output.filter(has_text=each).or_(page.locator(".output_error"))
        expect(either.first).to_be_visible(timeout=SECONDS * 1000)
        expect(page.locator(".output_error")).to_have_count(0)
        expect(output).to_contain_text(each)


def test_a_run(page: Page) -> None:
    """Its state, its metrics, a series as a plot, and its log."""
    _assert_shown(page, 1, "ScriptRun Widget (Completed)", "accuracy", "0.875", "loss")
    expect(page.locator(".cell").nth(1).locator("textarea").last).to_have_value("a line of the log\n\nRun is completed.")


def test_an_automl_run(page: Page) -> None:
    """A row a trial with its algorithm and metric, which grows while the run goes on, and the metric as a plot."""
    _assert_shown(page, 2, "LogisticRegression", "AUC_weighted", "VotingEnsemble", "Completed")


def test_a_pipeline_run(page: Page) -> None:
    """A row a step, which comes to its end, and the graph."""
    _assert_shown(page, 3, "train", "Finished", "Completed")
    expect(page.locator(".cell").nth(3).locator("svg, canvas").first).to_be_attached(timeout=60_000)
