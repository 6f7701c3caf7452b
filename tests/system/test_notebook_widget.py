"""The live view of a run in JupyterLab, in a real browser and with a real kernel."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from support.browser import NEEDS_CHROMIUM, chromium, quiet_page

pytestmark = [
    *NEEDS_CHROMIUM,
    pytest.mark.skipif(importlib.util.find_spec("jupyterlab") is None, reason="JupyterLab is not installed (make test-system)"),
]
TOKEN = "a-token-for-this-test"
TESTS = Path(__file__).parents[1]
# A run that goes on when the test says so: it makes the file `ended`.
CELLS = (
    f"import sys; sys.path.insert(0, {str(TESTS)!r})",
    """
from pathlib import Path
from dataclasses import replace
from bankmlops.notebook import RunDetails
from bankmlops.types import PipelineRun, RunStatus, StepRun
from support.memory_backend import MemoryBackend

training = StepRun("<b>train</b>", RunStatus.RUNNING, progress="trial 7, best accuracy 0.9161")
steps = (StepRun("prepare", RunStatus.COMPLETED, 0.4), training)
going_on = PipelineRun("run-1", "nightly", RunStatus.RUNNING, steps, name="bank-training")
ended = replace(going_on, status=RunStatus.COMPLETED, steps=tuple(replace(step, status=RunStatus.COMPLETED) for step in steps))
backend = MemoryBackend()
backend.get_pipeline_run = lambda run_id: ended if Path("ended").exists() else going_on
RunDetails(going_on, backend).show()
""",
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab in an empty folder that holds the notebook."""
    _without_news(tmp_path / "settings")
    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "watch.ipynb")
    options = (
        "--no-browser --allow-root --ServerApp.ip=127.0.0.1 --ServerApp.port=0 --LabApp.extension_manager=readonly "
        "--LabApp.news_url= --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate --ServerApp.open_browser=False"
    )
    log = tmp_path / "lab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options.split()],
            cwd=tmp_path,
            env={**os.environ, "JUPYTER_TOKEN": TOKEN, **_folders(tmp_path)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield _address(process, log)
    finally:
        os.kill(process.pid, signal.SIGTERM)
        _wait(process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """JupyterLab ends its kernels first; a kernel whose server was killed ends by itself."""
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _folders(folder: Path) -> dict[str, str]:
    return {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}


def _without_news(settings: Path) -> None:
    """JupyterLab asks a person whether it may fetch news; here the answer is no."""
    told = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    told.parent.mkdir(parents=True)
    told.write_text('{"fetchNews": "false"}')


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture
def page(lab: str) -> Iterator[Page]:
    with chromium() as browser, quiet_page(browser, lab, allowed="", viewport={"width": 1366, "height": 900}) as page:
        page.set_default_timeout(60_000)
        page.goto(f"{lab}/lab/tree/watch.ipynb?token={TOKEN}")
        yield page


def test_it_follows_the_run(page: Page, tmp_path: Path) -> None:
    """Run all cells, and the view says how the run stands; it changes by itself, and at its end is HTML without a widget."""
    expect(page.locator(".jp-NotebookPanel .jp-CodeCell").first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="| Idle")).to_be_visible(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    heading = page.get_by_role("heading", name="bank-training: running")
    expect(heading).to_be_visible(timeout=60_000)
    row = page.get_by_role("row", name="<b>train</b>")
    expect(row).to_contain_text("trial 7, best accuracy 0.9161")
    expect(page.locator(".jp-OutputArea-output .bankmlops-run")).to_have_count(1)
    (tmp_path / "ended").touch()
    expect(page.get_by_role("heading", name="bank-training: completed")).to_be_visible(timeout=30_000)
    expect(row).to_contain_text("completed")
    expect(page.locator(".jp-RenderedHTML .bankmlops-run")).to_have_count(1)
