"""Routes, and what the server stands on when it starts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Annotated, Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bankmlops.emulator.web.errors import answer_error
from bankmlops.emulator.web.routing import Application, Given, Router
from bankmlops.errors import AuthenticationError, NotFoundError


async def _length(request: Request) -> int:
    return len(await request.body())


Length = Annotated[int, Given(_length)]
router = Router(prefix="/v1")
last = Router(documented=False)


@router.get("/things/{name}")
@router.get("/things/{name}/{rest:path}")
def get_thing(name: str, rest: str = "") -> dict[str, str]:
    return {"name": name, "rest": rest}


@router.get("/things/fixed")
def never_reached() -> None:
    raise AssertionError


@router.get("/query/name={name}")
async def query(name: str, needed: str, count: int = 5, active: bool = True) -> list[object]:
    return [name, needed, count, active]


@router.post("/length")
async def length(size: Length, request: Request) -> Response:
    return PlainTextResponse(f"{request.method} {size}", 201)


@router.get("/missing")
def missing() -> None:
    raise NotFoundError("there is no such thing")


@router.get("/broken")
def broken() -> None:
    raise ValueError("a fault of ours")


@router.get("/nan")
def nan() -> dict[str, float]:
    return {"loss": float("nan")}


@last.route("/{path:path}", ["GET", "POST"])
async def otherwise(path: str) -> Response:
    return PlainTextResponse(path, 501)


def _refuse(request: Request) -> None:
    if "let-me-in" not in request.headers:
        raise AuthenticationError("who are you?")


def _ask(application: Application, method: str, path: str, **options: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)

    return asyncio.run(ask())


APPLICATION = Application([router, last], None, answer_error)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/things/a%20b", {"name": "a b", "rest": ""}),
        ("/v1/things/x/deep/er", {"name": "x", "rest": "deep/er"}),
        ("/v1/things/fixed", {"name": "fixed", "rest": ""}),
        ("/v1/query/name=n?needed=a", ["n", "a", 5, True]),
        ("/v1/query/name=n?needed=&count=-3&active=FALSE", ["n", "", -3, False]),
    ],
)
def test_parameters(path: str, answer: object) -> None:
    """They come from the path and the query, converted, and the first route that matches answers."""
    assert _ask(APPLICATION, "GET", path).json() == answer


@pytest.mark.parametrize("query", ["", "?needed=a&count=many", "?needed=a&active=perhaps"])
def test_queries_that_cannot_serve(query: str) -> None:
    """A missing or malformed parameter is a 400."""
    assert _ask(APPLICATION, "GET", f"/v1/query/name=n{query}").status_code == 400


def test_given_parameters_and_responses() -> None:
    """A marked parameter gets what its source makes of the request, and a response is sent as it is."""
    answer = _ask(APPLICATION, "POST", "/v1/length", content=b"12345")
    assert (answer.status_code, answer.text) == (201, "POST 5")


def test_other_methods_and_paths_go_to_the_last_router() -> None:
    """A path of another method is as unknown as an unknown path."""
    for method, path in (("POST", "/v1/things/a"), ("GET", "/v2/things/a"), ("GET", "/v1/things/")):
        assert _ask(APPLICATION, method, path).status_code == 501


def test_errors(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the project's is answered with its code; any other is a 500, and its traceback is in the log alone."""
    assert _ask(APPLICATION, "GET", "/v1/missing").json()["error"]["message"] == "there is no such thing"
    answer = _ask(APPLICATION, "GET", "/v1/broken")
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "a fault of ours" in caplog.text


def test_a_metric_that_is_no_number() -> None:
    """NaN is sent as Python's clients write it."""
    assert _ask(APPLICATION, "GET", "/v1/nan").text == '{"loss":NaN}'


def test_a_check_stands_before_every_route() -> None:
    """With a check none of the router's routes answers who does not pass it, and the router itself is as before."""
    guarded = Application([router.with_check(_refuse), last], None, answer_error)
    assert _ask(guarded, "GET", "/v1/things/a").status_code == 401
    assert _ask(guarded, "GET", "/v1/things/a", headers={"let-me-in": "1"}).status_code == 200
    assert _ask(APPLICATION, "GET", "/v1/things/a").status_code == 200


def test_the_server_starts_on_little() -> None:
    """What takes long to import is not imported before the emulator is ready, nor by the command that starts it."""
    heavy = ("fastapi", "pydantic", "httpx", "rich", "mlflow", "pandas", "numpy", "sklearn", "azureml", "pyarrow", "yaml")
    for module in ("bankmlops.emulator.server", "bankmlops.emulator.commands"):
        program = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", module
