"""Swagger UI in a real browser: what a person does on the page that `bankmlops endpoints docs` serves."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from support.bundles import PRIMARY
from support.scoring_server import ScoringProcess

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed (Debian: chromium)"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringProcess]:
    with ScoringProcess.start(tmp_path_factory.mktemp("scoring")) as process:
        yield process


@pytest.fixture(scope="module")
def served(scoring: ScoringProcess) -> Iterator[str]:
    """The address of the page, in front of the endpoint."""
    program = (
        "from bankmlops.swagger_ui import Target, serve_docs\n"
        f"target = Target('bank', {scoring.url + '/score'!r}, {scoring.url + '/swagger.json'!r})\n"
        "serve_docs(target, 0, lambda url: print(url, flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0  # uvicorn hands Ctrl-C on when it has ended


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=["docs", "the endpoint's own"])
def page(request: pytest.FixtureRequest, browser: Browser, served: str, scoring: ScoringProcess) -> Iterator[Page]:
    """The page open in the browser; no request may go anywhere but to its own origin, and nothing may be said on its console."""
    url = served if request.param == "docs" else f"{scoring.url}/docs"
    complaints: list[str] = []
    page = browser.new_page()
    page.set_default_timeout(30_000)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on(
        "request", lambda sent: None if sent.url.startswith(("data:", url.rpartition("/")[0])) else complaints.append(sent.url)
    )
    page.goto(url)
    yield page
    page.close()
    assert [line for line in complaints if "401" not in line] == []


def _try_score(page: Page) -> None:
    score = page.locator("#operations-default-RunMLService")
    score.locator(".opblock-summary-control").click()
    score.get_by_role("button", name="Try it out").click()
    body = score.locator("textarea.body-param__text")
    body.fill('{"data": [{"age": 20, "job": "student"}, {"age": 70, "job": "retired"}]}')
    score.get_by_role("button", name="Execute").click()


def test_authorize_and_try(page: Page) -> None:
    """With a key typed under Authorize, trying the scoring operation shows the labels."""
    page.get_by_role("button", name="Authorize", exact=True).click()
    page.locator(".auth-container input").fill(f"Bearer {PRIMARY}")
    page.locator(".auth-container button.authorize").click()
    page.locator(".modal-ux").get_by_role("button", name="Close", exact=True).click()
    _try_score(page)
    answer = page.locator("#operations-default-RunMLService .live-responses-table .response")
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer.locator(".response-col_description")).to_contain_text("no")
    expect(answer.locator(".response-col_description")).to_contain_text("yes")


def test_try_without_a_key(page: Page) -> None:
    """Without a key the page shows how the endpoint refuses."""
    _try_score(page)
    answer = page.locator("#operations-default-RunMLService .live-responses-table .response")
    expect(answer.locator(".response-col_status")).to_contain_text("401")
    expect(answer).to_contain_text("Authorization is missing")


def test_try_the_health_check(page: Page) -> None:
    """Trying the health check shows that the service is up."""
    health = page.locator("#operations-default-ServiceHealthCheck")
    health.locator(".opblock-summary-control").click()
    health.get_by_role("button", name="Try it out").click()
    health.get_by_role("button", name="Execute").click()
    expect(health.locator(".live-responses-table")).to_contain_text("Healthy")
