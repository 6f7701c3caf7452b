"""What a deployment may set, from a real process: other origins' pages, plain JSON, and refusing unknown categories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.cors import check_origins
from bankmlops.scoring.service import read_service
from bankmlops.types import UnknownCategories
from support.bundles import OLD, YOUNG, write_service
from support.scoring_server import ScoringProcess

ROWS = {"data": [YOUNG, OLD]}
PAGE, OTHER = "https://app.example.org", "https://evil.example.org"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringProcess]:
    settings = {"cors_origins": [PAGE, "http://localhost:3000"], "plain_json": True, "unknown_categories": "refuse"}
    with ScoringProcess.start(tmp_path_factory.mktemp("server"), **settings) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/score", "/explain", "/swagger.json"])
def test_preflight(server: ScoringProcess, path: str) -> None:
    """A browser that asks before it sends is told, without a key, that the page may post with a key."""
    answer = server.options(path, Origin=PAGE, **ASKED)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert {"authorization", "content-type"} <= set(answer.headers["access-control-allow-headers"].split(", "))
    assert answer.headers["vary"] == "origin"


@pytest.mark.slow
def test_answers_to_a_page(server: ScoringProcess) -> None:
    """A page of a named origin may read every answer, refusals too; a page of another may read none."""
    for key, status in ((None, 401), ("wrong-key-wrong-key", 403)):
        refused = server.score(ROWS, key, Origin=PAGE)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (status, PAGE)
    answer = server.score(ROWS, Origin="http://localhost:3000")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "x-ms-request-id" in answer.headers["access-control-expose-headers"]
    for headers in ({"Origin": OTHER}, {"Origin": "null"}, {}):
        other = server.score(ROWS, **headers)
        assert other.status_code == 200
        assert "access-control-allow-origin" not in other.headers
        assert other.headers["vary"] == "origin"
    assert "access-control-allow-origin" not in server.options("/score", Origin=OTHER, **ASKED).headers


@pytest.mark.slow
def test_plain_json(server: ScoringProcess) -> None:
    """A deployment may answer JSON to everybody."""
    assert server.score(ROWS).json() == {"result": ["no", "yes"]}
    schema = server.get("/openapi.json").json()["components"]["schemas"]["ServiceOutput"]
    assert schema["type"] == "object"


@pytest.mark.slow
def test_unknown_category(server: ScoringProcess) -> None:
    """A deployment may refuse what training did not see, by row and column; the description lists what serves."""
    for path in ("/score", "/explain"):
        response = server.post(path, {"data": [YOUNG, {"age": 30, "job": "astronaut"}]})
        assert response.status_code == 400
        told = "row 1, column 'job': 'astronaut' is no category that training saw; 'retired', 'student' would serve"
        assert response.json()["message"] == told
    row = server.get("/openapi.json").json()["components"]["schemas"]["Row"]["properties"]
    assert row["job"]["enum"] == ["retired", "student"]


@pytest.mark.slow
def test_nobody_asked_for_it(tmp_path: Path) -> None:
    """Without the settings no origin is let in, and any origin is where the deployment says so."""
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
    with ScoringProcess.start(tmp_path / "closed") as closed:
        assert "access-control-allow-origin" not in closed.score(ROWS, Origin=PAGE).headers
        assert closed.options("/swagger.json", Origin=PAGE, **ASKED).status_code == 405
    with ScoringProcess.start(tmp_path / "open", cors_origins=["*"]) as opened:
        answer = opened.score(ROWS, Origin=OTHER)
        assert answer.headers["access-control-allow-origin"] == "*"


def test_read_from_the_file(tmp_path: Path) -> None:
    """The settings are what service.json says, and nothing where it says nothing."""
    write_service(tmp_path)
    service = read_service(tmp_path / "service.json")
    assert (service.cors_origins, service.plain_json, service.unknown_categories) == ((), False, UnknownCategories.SCORE)
    write_service(tmp_path, cors_origins=["*"], plain_json=True, unknown_categories="refuse")
    service = read_service(tmp_path / "service.json")
    assert (service.cors_origins, service.plain_json, service.unknown_categories) == (("*",), True, UnknownCategories.REFUSE)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cors_origins": "*"}, "service.json: cors_origins must be a list"),
        ({"cors_origins": [7]}, "service.json: cors_origins: '7' is no origin"),
        ({"plain_json": "yes"}, "plain_json must be true or false"),
        ({"unknown_categories": "guess"}, "unknown_categories must be score or refuse"),
        ({"unknown_categories": ["score"]}, "unknown_categories must be score or refuse"),
    ],
)
def test_settings_that_can_not_serve(tmp_path: Path, settings: dict[str, object], told: str) -> None:
    """A setting of another kind is one line that names it."""
    write_service(tmp_path, **settings)
    with pytest.raises(InvalidRequestError, match=told):
        read_service(tmp_path / "service.json")


@pytest.mark.parametrize(
    "origin", ["*", "http://localhost", "https://app.example.org:8443", "http://[::1]:80", "http://127.0.0.1"]
)
def test_origins(origin: str) -> None:
    """An origin is a scheme, a host and perhaps a port, as a browser sends it."""
    assert check_origins([origin]) == (origin,)


@pytest.mark.parametrize(
    "origin", ["", "null", "app.example.org", "https://app.example.org/", "https://*.example.org", "ftp://a", "https://a\r\nx: y"]
)
def test_no_origins(origin: str) -> None:
    """What no browser would send is refused, with what would serve."""
    with pytest.raises(InvalidRequestError, match=r"is no origin; .* would serve"):
        check_origins([origin])


def test_many_origins() -> None:
    """The list is bounded."""
    with pytest.raises(InvalidRequestError, match="at most 50"):
        check_origins([PAGE] * 51)
