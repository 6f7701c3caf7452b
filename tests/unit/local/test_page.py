"""The control server's page without a browser: its files, and what it reads."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bankmlops.local.control.page_api import LOG_LINES, Recent
from bankmlops.local.control.page_files import page_files
from bankmlops.local.control.page_traffic import Traffic, parse_traffic
from bankmlops.local.loopback import OPTIONS
from bankmlops.types import (
    ChildRun,
    Cron,
    Dataset,
    Endpoint,
    EndpointState,
    PipelineRun,
    PublishedPipeline,
    Run,
    RunStatus,
    Schedule,
    ScheduleConfig,
    ScheduleStatus,
)
from support.watched_page import NOW, Shown, open_shown, serve_page, started_run

BOARD = ChildRun("AutoML_1_0", 0, "LightGBM", RunStatus.COMPLETED, 0.91, {"accuracy": 0.91, "log_loss": float("nan")})
TRAINING = Run("AutoML_1", "bank", RunStatus.RUNNING, "accuracy", trials=3, progress="trial 3", fraction=0.4, started=NOW)


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return open_shown(tmp_path)


@pytest.fixture
def client(shown: Shown) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {shown.token}"}
    with serve_page(shown) as url, httpx.Client(base_url=url, headers=headers, **OPTIONS) as client:
        yield client


def test_the_files(client: httpx.Client) -> None:
    """Page, styles and scripts come with their types and a strict policy, need no token, and are not sent again unchanged."""
    del client.headers["Authorization"]
    kinds = {
        "": "text/html",
        "/": "text/html",
        "/page.css": "text/css",
        "/main.js": "text/javascript",
        "/views/run.js": "text/javascript",
    }
    for path, kind in kinds.items():
        answer = client.get(f"/ui{path}")
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'" in policy
        assert "unsafe" not in policy
        again = client.get(f"/ui{path}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for path in ("/ui/none.js", "/ui/../page_api.py", "/ui/%2e%2e/page_api.py"):
        assert client.get(path).status_code in (401, 404)


def test_the_files_need_nothing_else() -> None:
    """What the page and its scripts name is among its own files; no address leads elsewhere."""
    files = page_files()
    named = set(re.findall(r'(?:href|src)="/ui/([^"]+)"', files["index.html"].content.decode()))
    assert named == {"icon.svg", "main.js", "page.css"}
    for path, file in files.items():
        text = file.content.decode()
        folder = Path(path).parent
        imported = [(folder / name) for name in re.findall(r'from "(\./[^"]+|\.\./[^"]+)"', text)]
        assert {str(Path(*_normal(each.parts))) for each in imported} <= set(files), path
        assert set(re.findall(r"https?://[^\"'\s]+", text)) <= {"http://www.w3.org/2000/svg"}, path


def _normal(parts: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for part in parts:
        found = found[:-1] if part == ".." else [*found, part]
    return found


def test_links_from_elsewhere(client: httpx.Client) -> None:
    """A link or a file elsewhere leads a browser's window to the page, and no other site to anything else here."""
    window = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/ui", headers=window).status_code == 200
    assert client.get("/ui", headers={**window, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    for path in ("/page/runs", "/ui/main.js", "/runs"):
        assert client.get(path, headers=window).status_code == 403


def test_readings_want_a_token(client: httpx.Client) -> None:
    """Nobody reads without one."""
    del client.headers["Authorization"]
    assert client.get("/page/runs").status_code == 401


def test_an_unchanged_answer_is_empty(client: httpx.Client, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that names what it has is told that nothing changed, until something does."""
    monkeypatch.setattr("bankmlops.local.control.page_api._FRESH_SECONDS", -1.0)
    first = client.get("/page/runs")
    assert first.json() == []
    again = client.get("/page/runs", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    shown.pipeline_runs = [started_run()]
    changed = client.get("/page/runs", headers={"If-None-Match": first.headers["etag"]})
    assert [run["id"] for run in changed.json()] == ["run-1"]


def test_a_run_and_what_it_trains(client: httpx.Client, shown: Shown) -> None:
    """A run comes with its graph, and with the best score so far of the search that a step started."""
    shown.pipeline_runs, shown.runs, shown.children = [started_run()], [TRAINING], {"AutoML_1": [BOARD]}
    shown.change_step("run-1", "train", status=RunStatus.RUNNING, run_id="AutoML_1")
    document = client.get("/page/runs/run-1").json()
    assert {step["name"]: step["depends_on"] for step in document["run"]["steps"]}["evaluate"] == ["train", "guardrails"]
    training = document["training"]["train"]
    assert (training["best"], training["progress"], training["fraction"]) == (0.91, "trial 3", 0.4)
    missing = client.get("/page/runs/other")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NotFound")


def test_a_steps_log(client: httpx.Client, shown: Shown) -> None:
    """A step's newest lines, bounded; a step that is not there is refused with those that are."""
    shown.pipeline_runs, shown.runs = [started_run()], [TRAINING]
    shown.change_step("run-1", "train", status=RunStatus.RUNNING, run_id="AutoML_1")
    folder = shown.workspace.folder_of("automl", "AutoML_1") / "logs"
    folder.mkdir()
    (folder / "worker.log").write_text("\n".join(f"line {number} " + "x" * 3000 for number in range(1000)))
    log = client.get("/page/runs/run-1/steps/train/log").json()
    assert (len(log["lines"]), log["ended"]) == (LOG_LINES, False)
    assert max(map(len, log["lines"])) == 2000
    assert "prepare" in client.get("/page/runs/run-1/steps/none/log").json()["error"]["message"]


def test_lists(client: httpx.Client, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipelines, datasets, searches with their leaderboards, endpoints with their traffic and schedules each have a list."""
    monkeypatch.setattr("bankmlops.local.control.page_api.read_traffic", lambda _uri: Traffic(7, 1, 0.5, 2.0))
    shown.pipelines = [PublishedPipeline("p1", "bank-training", "1", "http://127.0.0.1/submit")]
    shown.datasets = [Dataset("bank", "abc", 100, ("age", "y"), "y", "abc", created=NOW)]
    shown.runs, shown.children = [TRAINING], {"AutoML_1": [BOARD]}
    shown.endpoints = [Endpoint("bank", EndpointState.HEALTHY, "http://127.0.0.1:1/score", "", "process", "bank", "4")]
    shown.schedules = [Schedule("s1", ScheduleConfig("nightly", "p1", Cron("0 3 * * *")), ScheduleStatus.ACTIVE, next_fire=NOW)]
    assert client.get("/page/pipelines").json()[0]["version"] == "1"
    assert client.get("/page/datasets").json()[0]["rows"] == 100
    assert client.get("/page/automl").json()[0]["trials"] == 3
    found = client.get("/page/automl/AutoML_1").json()
    assert found["children"][0]["metrics"] == {"accuracy": 0.91, "log_loss": None}
    assert found["links"] == {"run": "", "children": {}, "command": ""}
    assert client.get("/page/endpoints").json()[0]["traffic"]["p95_ms"] == 2.0
    assert client.get("/page/schedules").json()[0]["next_fire"] == NOW.isoformat()


def test_traffic() -> None:
    """Requests, failures and quantiles are read off the scoring service's own exposition."""
    exposition = "\n".join(
        [
            'bankmlops_requests_total{status="200"} 90',
            'bankmlops_requests_total{status="400"} 10',
            'bankmlops_request_seconds_bucket{le="0.001"} 50',
            'bankmlops_request_seconds_bucket{le="0.01"} 100',
            'bankmlops_request_seconds_bucket{le="+Inf"} 100',
            'bankmlops_explain_requests_total{status="200"} 3',
        ]
    )
    assert parse_traffic(exposition) == Traffic(100, 10, 1.0, pytest.approx(9.1))
    assert parse_traffic("") == Traffic(0, 0, None, None)


def test_many_readers_are_one_reading() -> None:
    """Readers that come at once wait for one reading, which is fresh for a second; a failure is nobody else's."""
    now, read, begun = [0.0], [], threading.Event()
    recent = Recent(lambda: now[0])

    def reading() -> bytes:
        read.append(1)
        begun.wait(0.1)
        return b"%d" % len(read)

    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(recent.get("runs", reading))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"1"] * 8
    now[0] = 1.5
    assert recent.get("runs", reading) == b"2"
    with pytest.raises(KeyError):
        recent.get("other", lambda: {}["missing"])
    assert recent.get("other", lambda: b"there") == b"there"


def test_an_ended_run(client: httpx.Client, shown: Shown) -> None:
    """A run whose search is gone is shown all the same."""
    run = replace(started_run(), status=RunStatus.FAILED, error="no reason given")
    shown.pipeline_runs = [
        PipelineRun(run.id, "bank", run.status, tuple(replace(step, run_id="AutoML_gone") for step in run.steps))
    ]
    assert client.get("/page/runs/run-1").json()["training"]["train"] is None
