"""`POST /explain`: contributions that add up to what `POST /score` answers, behind the same door, and off the event loop."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy
import pytest

from bankmlops.features import matrix_from_rows
from bankmlops.scoring.bundle import load_bundle
from bankmlops.scoring.explainer import Explainer
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.model import Scorer
from bankmlops.scoring.refusal import RefusedError
from support.bundles import BACKGROUND, OLD, PRIMARY, YOUNG, specification, write_bundle, write_service
from support.scoring_server import ScoringProcess

ROWS = [YOUNG, OLD, {"age": 41, "job": "never seen"}]
BODY = json.dumps({"data": ROWS}).encode()


def _scorer(folder: Path) -> Scorer:
    return Scorer(load_bundle(folder), 100)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("explained") / "bundle")


def _explain(scorer: Scorer, rows: list[dict[str, Any]], **limits: float) -> Any:
    explainer = Explainer(scorer, Limits.read(limits))
    return json.loads(explainer.explain(json.dumps({"data": rows}).encode()).body)


def test_contributions_add_up(bundle: Path) -> None:
    """Base plus the contributions is each class's probability, and base is the background's mean."""
    scorer = _scorer(bundle)
    document = _explain(scorer, ROWS)
    base = scorer.probabilities(matrix_from_rows(specification(), BACKGROUND)).mean(axis=0)
    assert document["classes"] == ["no", "yes"]
    assert document["base"] == pytest.approx(base.tolist(), abs=1e-6)
    scored = scorer.score(json.dumps({"data": ROWS, "method": "predict_proba"}).encode()).result
    for row, probabilities in zip(document["result"], scored, strict=True):
        assert row["probabilities"] == pytest.approx(probabilities, abs=1e-6)
        assert numpy.sum([document["base"], *row["contributions"].values()], axis=0) == pytest.approx(
            row["probabilities"], abs=1e-9
        )
    assert [row["label"] for row in document["result"]] == scorer.score(BODY).result


def test_contributions_are_right(bundle: Path) -> None:
    """The column that the model does not read has none; a high age speaks for yes, a low one against it."""
    young, old, _ = (row["contributions"] for row in _explain(_scorer(bundle), ROWS)["result"])
    assert list(young) == ["age", "job"]
    assert young["job"] == old["job"] == [0, 0]
    assert young["age"][1] < -0.3 < 0.3 < old["age"][1]
    assert sum(young["age"]) == pytest.approx(0, abs=1e-6)


def test_a_row_is_explained_alike_alone(bundle: Path) -> None:
    """What is said of a row does not depend on the other rows, nor on when it is asked."""
    scorer = _scorer(bundle)
    together = _explain(scorer, ROWS)["result"]
    assert [_explain(scorer, [row])["result"][0] for row in ROWS] == together


@pytest.mark.parametrize(
    ("rows", "limits", "status", "told"),
    [
        ([YOUNG] * 3, {"explained_rows": 2}, 413, "3 rows: send at most 2 in a request"),
        ([YOUNG], {"scoring_seconds": 1e-9}, 503, "longer than 1e-09 s"),
    ],
)
def test_bounds(bundle: Path, rows: list[dict[str, Any]], limits: dict[str, float], status: int, told: str) -> None:
    """Rows and time are bounded."""
    with pytest.raises(RefusedError, match=told) as caught:
        _explain(_scorer(bundle), rows, **limits)
    assert caught.value.status == status


def _without_background(folder: Path) -> Path:
    """The bundle as an older version exported it."""
    manifest = json.loads((folder / "model.json").read_text())
    del manifest["sha256"]["background.json"]
    (folder / "model.json").write_text(json.dumps(manifest))
    (folder / "background.json").unlink()
    return folder


@pytest.mark.slow
def test_an_older_bundle(tmp_path: Path) -> None:
    """A model that was exported without a background is served; that it can't explain is a 404 in one line, and not described."""
    _without_background(write_bundle(tmp_path / "model"))
    write_service(tmp_path)
    with ScoringProcess.serve(tmp_path) as server:
        assert server.score({"data": ROWS}).status_code == 200
        response = server.post("/explain", BODY)
        assert response.status_code == 404
        assert "exported without a background" in response.json()["message"]
        assert "/explain" not in server.get("/openapi.json").json()["paths"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringProcess]:
    with ScoringProcess.start(tmp_path_factory.mktemp("server"), limits={"explained_rows": 700, "queued_batches": 2}) as server:
        yield server
        assert "Traceback" not in server.log


@pytest.mark.slow
def test_over_the_wire(server: ScoringProcess) -> None:
    """The answer is plain JSON with the headers of an answer, in the log and the metrics."""
    response = server.post("/explain", {"Inputs": {"data": [YOUNG]}})
    assert response.status_code == 200, response.text
    assert response.json()["result"][0]["label"] == "no"
    assert float(response.headers["x-ms-run-fn-exec-ms"]) > 0
    assert response.headers["x-ms-request-id"]
    text = server.get("/metrics").text
    assert 'bankmlops_explain_requests_total{status="200"} 1' in text
    assert "bankmlops_explain_rows_total 1" in text
    assert "bankmlops_explain_request_seconds_count 1" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (BODY, {"Authorization": ""}, 401, "Authorization"),
        (BODY, {"Authorization": "Bearer wrong"}, 403, "not one of"),
        (BODY, {"Content-Type": "text/csv"}, 415, "application/json"),
        (b"[", {}, 400, "not JSON"),
        (b'{"data": [{"age": null, "job": "student"}]}', {}, 400, "row 0, column 'age': null"),
        (b'{"data": [{"age": NaN, "job": "student"}]}', {}, 400, "row 0, column 'age': NaN"),
    ],
)
def test_the_same_door(server: ScoringProcess, body: bytes, headers: dict[str, str], status: int, told: str) -> None:
    """Keys, content types and rows are checked as for scoring, and the refusals read alike."""
    explained, scored = (server.post(path, body, **headers) for path in ("/explain", "/score"))
    assert (explained.status_code, explained.json()) == (status, scored.json())
    assert told in explained.json()["message"]
    assert server.get("/explain").status_code == 405


@pytest.mark.slow
def test_small_requests_pass_an_explanation(server: ScoringProcess) -> None:
    """While rows are explained requests are scored; when too many explanations wait the next is a 503 that says when to come."""
    many = json.dumps({"data": [YOUNG] * 700}).encode()
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(server.post("/explain", many))) for _ in range(8)]
    for thread in threads:
        thread.start()
    scored = 0
    while any(thread.is_alive() for thread in threads):
        began = time.monotonic()
        assert server.score({"data": [YOUNG]}, PRIMARY).status_code == 200
        scored += time.monotonic() - began < 0.5
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 503)
    assert scored > 10
