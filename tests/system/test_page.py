"""The control server's page in a real browser: what a person sees, hears and does there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bankmlops.cli.ui import _REDIRECT
from bankmlops.client import page_address
from bankmlops.local.control import page_api
from bankmlops.local.control.page_traffic import Traffic
from bankmlops.local.training.mlflow_links import MLflowLinks
from bankmlops.types import (
    ChildRun,
    Cron,
    Dataset,
    Endpoint,
    EndpointState,
    PublishedPipeline,
    Run,
    RunStatus,
    Schedule,
    ScheduleConfig,
    ScheduleStatus,
)
from support.browser import NEEDS_CHROMIUM, chromium, least_contrast, quiet_page
from support.watched_page import NOW, Shown, open_shown, serve_page, started_run

pytestmark = NEEDS_CHROMIUM
MARKUP = "<img src=x onerror=alert(1)>"
SECTIONS = ("Runs", "Pipelines", "AutoML", "Datasets", "Endpoints", "Schedules")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    shown = open_shown(tmp_path)
    shown.pipeline_runs = [started_run()]
    shown.runs = [Run("AutoML_1", "bank", RunStatus.RUNNING, "accuracy", progress="trial 3, best accuracy 0.9", started=NOW)]
    shown.change_step("run-1", "train", status=RunStatus.RUNNING, run_id="AutoML_1", started=NOW)
    return shown


@pytest.fixture
def url(shown: Shown) -> Iterator[str]:
    with serve_page(shown) as url:
        yield url


@pytest.fixture
def page(browser: Browser, url: str, shown: Shown) -> Iterator[Page]:
    """The page on a laptop, signed in."""
    with quiet_page(browser, url, viewport={"width": 1366, "height": 768}) as page:
        page.goto(_signed_in(url, shown))
        expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
        yield page


def _signed_in(url: str, shown: Shown) -> str:
    return page_address(url, {"Authorization": f"Bearer {shown.token}"})


def test_a_run_goes_on(page: Page, shown: Shown) -> None:
    """The graph follows the run from state to state without a reload, and each change is said aloud."""
    page.get_by_role("link", name="bank-training").click()
    graph = page.get_by_role("group", name="Steps of the run, as a graph")
    expect(graph.get_by_role("button", name="train: running")).to_be_visible()
    expect(graph.get_by_role("button", name="evaluate: waiting")).to_be_visible()
    expect(graph.locator(".edge")).to_have_count(5)
    page.evaluate("window.unreloaded = true")
    shown.change_step("run-1", "train", status=RunStatus.COMPLETED, seconds=12.0)
    shown.change_step("run-1", "evaluate", status=RunStatus.FAILED, error="accuracy is 0.87, below the gate of 0.9")
    shown.change_step("run-1", "register", reason="the run failed before")
    shown.change("run-1", status=RunStatus.FAILED, error="evaluate: accuracy is 0.87, below the gate of 0.9", ended=NOW)
    expect(graph.get_by_role("button", name="train: completed")).to_be_visible()
    expect(graph.get_by_role("button", name="evaluate: failed")).to_be_visible()
    expect(graph.get_by_role("button", name="register: not run")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("step evaluate: failed")
    expect(page.get_by_text("below the gate").first).to_be_visible()
    expect(page).to_have_title("bank-training: Failed – bankmlops")
    assert page.evaluate("window.unreloaded")


def test_by_keyboard(page: Page, shown: Shown) -> None:
    """Everything is reached by keys, what has the focus is seen to have it, and the focus survives a change."""
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    _tab_to(page, "bank-training")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="bank-training")).to_be_focused()
    _tab_to(page, "prepare")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    train = page.get_by_role("group").get_by_role("button", name="train")
    expect(train).to_be_focused()
    assert train.locator(".box").evaluate("box => getComputedStyle(box).strokeWidth") == "3.5px"
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Step train")).to_be_visible()
    expect(train).to_have_attribute("aria-pressed", "true")
    shown.change_step("run-1", "train", status=RunStatus.COMPLETED, seconds=12.0)
    expect(page.get_by_role("group").get_by_role("button", name="train: completed")).to_be_focused()
    page.keyboard.press(" ")
    expect(page.get_by_role("region", name="Step train")).to_have_count(0)


def _tab_to(page: Page, words: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if words in page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"):
            return
    raise AssertionError(f"no press of Tab leads to {words!r}")


def test_the_table_says_what_the_graph_does(page: Page, url: str) -> None:
    """Whoever can't see the graph reads each step's state and what it waits for in a table."""
    page.goto(f"{url}/ui#/runs/run-1")
    row = page.get_by_role("table", name="Steps of the run").get_by_role("row", name="evaluate evaluate")
    expect(row).to_contain_text("waiting")
    expect(row).to_contain_text("train, guardrails")


def test_what_each_section_tells(browser: Browser, url: str, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row says what a person comes for: the REST address, the score, health and latency, and when a schedule fires next."""
    monkeypatch.setattr(page_api, "read_traffic", lambda _uri: Traffic(700, 3, 1.5, 20.0))
    shown.pipelines = [PublishedPipeline("p1", "bank-training", "7", f"{url}/pipelines/p1/submit", description="nightly")]
    shown.pipeline_runs = [replace(shown.read("run-1"), pipeline_id="p1")]
    shown.datasets = [Dataset("bank", "3", 41188, ("age", "y"), "y", "abc" * 20, created=NOW)]
    shown.endpoints = [Endpoint("bank-live", EndpointState.HEALTHY, f"{url}/score", "", "process", "bank", "4", created=NOW)]
    nightly = ScheduleConfig("nightly", "p1", Cron("30 2 * * *", "Europe/Berlin"))
    shown.schedules = [
        Schedule("s1", nightly, ScheduleStatus.ACTIVE, next_fire=datetime.now(UTC) + timedelta(hours=3, minutes=1)),
        Schedule("s2", replace(nightly, name="weekly"), ScheduleStatus.PAUSED),
    ]
    with quiet_page(browser, url) as page:
        page.goto(_signed_in(url, shown))
        for section, row, told in (
            ("pipelines", "bank-training", ("7", "Active", "Running", f"{url}/pipelines/p1/submit")),
            ("automl", "bank", ("Running", "trial 3, best accuracy 0.9")),
            ("datasets", "bank", ("3", "41,188", "y")),
            ("endpoints", "bank-live", ("Healthy", "bank 4", "700", "3", "1.5 ms", "20 ms")),
            ("schedules", "nightly", ("Active", "bank-training 7", "30 2 * * * (Europe/Berlin)", "in 3 h")),
            ("schedules", "weekly", ("Paused", "–")),
        ):
            page.goto(f"{url}/ui#/{section}")
            found = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=row))
            for words in told:
                expect(found).to_contain_text(words)


def test_a_leaderboard_leads_into_mlflow(page: Page, url: str, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best trial stands first, with its metrics; where MLflow's pages are served, the run and each trial lead there."""
    scores = (("LightGBM", 0.91), ("XGBoostClassifier", 0.89))
    shown.children["AutoML_1"] = [
        ChildRun(f"AutoML_1_{place}", place, name, RunStatus.COMPLETED, score, {"accuracy": score}, {"trees": "40"})
        for place, (name, score) in enumerate(scores)
    ]
    shown.runs = [replace(shown.runs[0], status=RunStatus.COMPLETED, best_child_id="AutoML_1_0")]
    served = MLflowLinks(f"{url}/#run", {"AutoML_1_0": f"{url}/#trial"})
    monkeypatch.setattr(page_api, "mlflow_links", lambda *_: served)
    page.goto(f"{url}/ui#/automl/AutoML_1")
    first, second = (page.get_by_role("table").get_by_role("row").nth(place) for place in (1, 2))
    expect(first).to_contain_text("0.9100")
    expect(first.get_by_role("link", name="LightGBM")).to_have_attribute("href", f"{url}/#trial")
    expect(first).to_have_class("winner")
    expect(second).to_contain_text("XGBoostClassifier")
    expect(page.get_by_role("link", name="open in MLflow")).to_have_attribute("href", f"{url}/#run")


def test_what_was_left_stays_away(page: Page, shown: Shown) -> None:
    """A window whose size changed as its reader went on to another section shows that one."""
    shown.datasets = [Dataset("bank", "3", 41188, ("age", "y"), "y", "abc" * 20, created=NOW)]
    page.evaluate("dispatchEvent(new Event('resize')); location.hash = '#/datasets'")
    expect(page.get_by_role("heading", name="Datasets")).to_be_visible()
    page.wait_for_timeout(500)
    expect(page.get_by_role("heading", name="Datasets")).to_be_visible(timeout=1)


def test_nothing_is_there_yet(page: Page, url: str, shown: Shown) -> None:
    """An empty list says what to do next."""
    shown.pipeline_runs, shown.runs = [], []
    for section in SECTIONS:
        page.goto(f"{url}/ui#/{section.lower()}")
        expect(page.get_by_role("heading", name=section, exact=True)).to_be_visible()
        expect(page.get_by_role("link", name=section, exact=True)).to_have_attribute("aria-current", "page")
        expect(page.locator(".empty code")).to_contain_text("bankmlops ")


def test_markup_is_text(page: Page, url: str, shown: Shown) -> None:
    """What is called like markup is shown as its letters, wherever a name comes from."""
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    hostile = replace(started_run("hostile", MARKUP), error=MARKUP, tags={MARKUP: MARKUP}, outputs={MARKUP: MARKUP})
    steps = tuple(replace(step, name=f"{MARKUP}{step.name}", progress=MARKUP, depends_on=()) for step in hostile.steps)
    shown.pipeline_runs = [replace(hostile, steps=steps)]
    shown.datasets = [Dataset(MARKUP, "1", 1, (MARKUP,), MARKUP, "abc")]
    shown.pipelines = [PublishedPipeline("p", MARKUP, MARKUP, MARKUP, MARKUP, MARKUP)]
    for path in ("runs", "runs/hostile", "datasets", "pipelines"):
        page.goto("about:blank")
        page.goto(f"{url}/ui#/{path}")
        expect(page.get_by_text(MARKUP).first).to_be_visible()
    assert dialogs == []
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1366, 390])
def test_it_can_be_read(browser: Browser, url: str, shown: Shown, scheme: str, width: int) -> None:
    """Light or dark, on a laptop or a phone: text stands out (WCAG AA), and nothing sticks out of the window."""
    shown.change_step("run-1", "prepare", status=RunStatus.CANCELED)
    shown.change_step("run-1", "evaluate", status=RunStatus.FAILED, error="below the gate")
    shown.datasets = [Dataset("bank", "1", 41188, ("age", "y"), "y", "abc" * 20, True, NOW - timedelta(days=1))]
    with quiet_page(browser, url, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        page.goto(_signed_in(url, shown))
        expect(page.get_by_role("link", name="bank-training")).to_be_visible()
        for path in ("runs", "runs/run-1/evaluate", "datasets", "schedules"):
            page.goto(f"{url}/ui#/{path}")
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            contrast, text = least_contrast(page)
            assert contrast >= 4.5, f"{text!r} on /{path}"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(13, 18, 25)" if scheme == "dark" else "rgb(245, 246, 248)")


def test_a_long_graph_fits_a_laptop(browser: Browser, url: str, shown: Shown) -> None:
    """Six steps in a row stand beside each other, and none is cut off."""
    run = shown.read("run-1")
    chain = [replace(run.steps[0], name=f"step-{n}", depends_on=(f"step-{n - 1}",) if n else ()) for n in range(6)]
    shown.pipeline_runs = [replace(run, steps=tuple(chain))]
    with quiet_page(browser, url, viewport={"width": 1366, "height": 800}) as page:
        page.goto(_signed_in(url, shown))
        page.goto(f"{url}/ui#/runs/run-1")
        drawing = page.locator(".drawing")
        expect(drawing.get_by_role("button", name="step-5")).to_be_visible()
        assert drawing.evaluate("card => card.scrollWidth <= card.clientWidth")


def test_sign_in_by_token(browser: Browser, url: str, shown: Shown) -> None:
    """Without a session the page asks for a token, says when it is wrong, and shows nothing before it is right."""
    with quiet_page(browser, url) as page:
        page.goto(f"{url}/ui#/runs/run-1")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.get_by_label("Or give a token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("This token opens nothing here")
        page.get_by_label("Or give a token").fill(shown.token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="bank-training")).to_be_visible()


def test_sign_in_by_file(browser: Browser, url: str, shown: Shown, tmp_path: Path) -> None:
    """The private file that `bankmlops ui` opens leads a browser in; its code leaves the address, and works once."""
    address = _signed_in(url, shown)
    file = tmp_path / "ui.html"
    file.write_text(_REDIRECT.format(address))
    with quiet_page(browser, url, file.as_uri()) as page:
        page.goto(file.as_uri())
        expect(page.get_by_role("link", name="bank-training")).to_be_visible()
        assert page.url == f"{url}/ui#/"
    with quiet_page(browser, url) as page:
        page.goto(address)
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_server_goes(browser: Browser, shown: Shown) -> None:
    """What was shown stays when the server does not answer any more, below a line that says so."""
    with serve_page(shown) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(_signed_in(url, shown))
        expect(page.get_by_role("link", name="bank-training")).to_be_visible()
    expect(page.get_by_text("does not answer").first).to_be_visible()
    expect(page.get_by_role("link", name="bank-training")).to_be_visible()
    context.close()
