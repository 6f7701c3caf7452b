"""The HTTP client, against real servers on loopback."""

from __future__ import annotations

import datetime
import json
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from types import MappingProxyType

import numpy
import pandas
import pytest

from bankmlops import client
from bankmlops.errors import (
    AuthenticationError,
    BackendUnavailableError,
    BankMLOpsError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)
from support.http_server import Answer, Asked, LocalServer, serving

KEY = "a-key-that-nobody-may-see"
ROWS = [{"age": 20, "job": "student"}, {"age": 70, "job": None}]


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving(lambda _: Answer({"result": ["no", "yes"]})) as running:
        yield running


@pytest.mark.parametrize(
    "answer",
    [json.dumps({"result": ["no", "yes"]}), {"result": ["no", "yes"]}, ["no", "yes"]],
    ids=["Azure's JSON in a JSON string", "plain JSON", "a bare list"],
)
def test_score(server: LocalServer, answer: object) -> None:
    """Rows are sent under "data" with the key as a bearer token, and the labels come back whatever way they are wrapped."""
    server.answer = lambda _: Answer(answer)
    assert client.score(f"{server.url}/score", KEY, ROWS) == ("no", "yes")
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.document) == ("POST", "/score", {"data": ROWS})
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["content-type"] == "application/json"


def test_no_key_no_header(server: LocalServer) -> None:
    """An endpoint without authentication is sent no header of it."""
    client.score(server.url, None, ROWS)
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, InvalidRequestError),
        (422, InvalidRequestError),
        (429, BackendUnavailableError),
        (500, BackendUnavailableError),
        (503, BackendUnavailableError),
    ],
)
def test_errors_are_translated(server: LocalServer, status: int, kind: type[BankMLOpsError]) -> None:
    """Each HTTP status is one of our errors, with the server's own words and without the key, though the server repeats it."""
    server.answer = lambda _: Answer({"status_code": status, "message": f"not with {KEY}, my friend"}, status)
    with pytest.raises(kind, match=r"not with \*\*\*, my friend") as caught:
        client.score(f"{server.url}/score", KEY, ROWS)
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"code": "BadRequest", "message": "column age"}}', "column age"),
        (b"plain\x1b[31m words\nof two lines", "plain [31m words of two lines"),
        (b'"a JSON text"', "a JSON text"),
        (b"<html><body>gateway</body></html>", "answered HTTP 400"),
        (b"", "answered HTTP 400"),
        (b"x" * 5000, "..."),
    ],
)
def test_messages_fit_a_terminal(server: LocalServer, body: bytes, words: str) -> None:
    """Whatever a server says in an error, the message is one bounded line that can't steer a terminal."""
    server.answer = lambda _: Answer(status=400, body=body)
    with pytest.raises(InvalidRequestError) as caught:
        client.score(server.url, KEY, ROWS)
    message = str(caught.value)
    assert words in message
    assert message.isprintable()
    assert len(message) < 600


def test_an_error_in_a_success(server: LocalServer) -> None:
    """Azure's scoring files answer their own errors with HTTP 200; they are errors all the same."""
    server.answer = lambda _: Answer(json.dumps({"error": "Input has the wrong columns"}))
    with pytest.raises(InvalidRequestError, match="wrong columns"):
        client.score(server.url, KEY, ROWS)


@pytest.mark.parametrize("body", [b"{", b"Healthy", b'{"result": ["yes"]}', b'{"result": "yes"}', b"[" * 100_000])
def test_other_answers(server: LocalServer, body: bytes) -> None:
    """An answer that is not one label a row is refused."""
    server.answer = lambda _: Answer(body=body)
    with pytest.raises(BackendUnavailableError, match=server.url):
        client.score(server.url, KEY, ROWS)


def test_redirects_are_not_followed(server: LocalServer) -> None:
    """A redirect does not carry the key elsewhere."""
    server.answer = lambda asked: Answer({}, 307, headers={"Location": "/other"}) if asked.path != "/other" else Answer({})
    with pytest.raises(BackendUnavailableError, match="307"):
        client.score(f"{server.url}/score", KEY, ROWS)
    assert [asked.path for asked in server.asked] == ["/score"]


def test_large_answers(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer beyond the bound is not read to its end."""
    monkeypatch.setattr(client, "MAXIMUM_BYTES", 1000)
    server.answer = lambda _: Answer(body=b"x" * 100_000)
    with pytest.raises(BackendUnavailableError, match="more than 1,000 bytes"):
        client.swagger(server.url)


def test_slow_answers(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer in time is given up."""
    monkeypatch.setattr(client, "TOTAL_SECONDS", 0.1)

    def slowly(asked: Asked) -> Answer:
        time.sleep(0.5)
        return Answer({})

    server.answer = slowly
    with pytest.raises(BackendUnavailableError, match="in time"):
        client.swagger(server.url)


def test_nobody_there() -> None:
    """An address where nothing listens is BackendUnavailableError, and the key is not in it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(BackendUnavailableError, match="does not answer") as caught:
        client.score(f"http://127.0.0.1:{port}/score", KEY, ROWS)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "bank-endpoint", "ftp://127.0.0.1/score", "http://127.0.0.1:x/score", "http://[::1", "http://a\nb/"]
)
def test_no_address(url: str) -> None:
    """What is no HTTP address is the caller's mistake."""
    with pytest.raises(InvalidRequestError, match="address"):
        client.score(url, KEY, ROWS)


@pytest.mark.parametrize("key", ["", "two\nlines", "schlüssel"])
def test_keys_that_no_header_holds(key: str) -> None:
    """A key that can't be sent is refused before anything is, and not repeated."""
    with pytest.raises(InvalidRequestError) as caught:
        client.score("http://127.0.0.1:9/score", key, ROWS)
    assert not key or key not in str(caught.value)


def test_values_that_python_has(server: LocalServer) -> None:
    """NumPy's scalars, decimals, dates and other mappings are sent as JSON has them."""
    rows = [
        {"age": numpy.int64(20), "rate": numpy.float32(1.5), "owner": numpy.bool_(True), "sum": Decimal("2.25")},
        MappingProxyType({"day": datetime.date(2026, 1, 31), "at": datetime.datetime(2026, 1, 31, 12, 30, tzinfo=datetime.UTC)}),
    ]
    client.score(server.url, KEY, rows)
    assert server.asked[0].document["data"] == [
        {"age": 20, "rate": 1.5, "owner": True, "sum": 2.25},
        {"day": "2026-01-31", "at": "2026-01-31T12:30:00+00:00"},
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "NaN or infinity, .* null would serve"),
        (numpy.float32("inf"), "NaN or infinity"),
        (Decimal("NaN"), "NaN or infinity"),
        (pandas.NaT, "NaN or infinity"),
        ({1}, "a value of type set where"),
        (numpy.array([1, 2]), "a value of type ndarray where"),
        (b"x", "a value of type bytes where"),
    ],
)
def test_values_that_json_lacks(value: object, said: str) -> None:
    """What JSON has nothing for is refused by row and column before anything is sent."""
    with pytest.raises(InvalidRequestError, match=f"^row 1, column 'age': {said}"):
        client.score("http://127.0.0.1:9/score", KEY, [{"age": 20}, {"age": value}])


def test_a_request_that_json_lacks() -> None:
    """Outside of the rows it is refused as well."""
    with pytest.raises(InvalidRequestError, match="the request can't be sent: a value of type set"):
        client.score_document("http://127.0.0.1:9/score", KEY, {"data": [], "method": {1}})


def test_loopback_needs_no_proxy(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on this machine is called directly, whatever proxy the environment names."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert client.score(server.url, KEY, ROWS) == ("no", "yes")


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://127.0.0.1:80/", False),
        ("http://127.8.9.1/", False),
        ("http://[::1]:80/", False),
        ("http://localhost/", False),
        ("https://bank.westeurope.azurecontainer.io/score", True),
        ("http://10.0.0.1/score", True),
    ],
)
def test_proxies_are_for_other_machines(url: str, trusted: bool) -> None:
    """The environment's proxies count for every address but this machine's."""
    assert client.trusts_environment(url) is trusted


def _swagger(schema: object) -> dict[str, object]:
    return {"swagger": "2.0", "paths": {"/score": {}}, "definitions": {"ServiceInput": schema}}


ROWS_SCHEMA = {
    "type": "array",
    "items": {"type": "object", "properties": {"age": {"type": "integer", "format": "int64"}, "job": {"type": "string"}}},
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"data": ROWS_SCHEMA}},
        {
            "properties": {
                "Inputs": {"type": "object", "properties": {"data": ROWS_SCHEMA}},
                "GlobalParameters": {"type": "object"},
            }
        },
    ],
    ids=["scoring file v1", "scoring file v2"],
)
def test_columns_of_the_swagger(server: LocalServer, schema: object) -> None:
    """The columns that an endpoint takes are read from its own description, in both of Azure's shapes."""
    server.answer = lambda _: Answer(_swagger(schema))
    assert client.input_columns(client.swagger(f"{server.url}/swagger.json")) == {"age": "integer", "job": "string"}


def test_a_swagger_without_columns() -> None:
    """A description that says nothing of columns gives none."""
    for document in ({"paths": {}}, _swagger(None), _swagger({"type": "object"}), _swagger({"properties": []})):
        assert client.input_columns(document) == {}


@pytest.mark.parametrize("document", [[], {"openapi": "3.1.0"}, {"paths": []}, "swagger"])
def test_no_swagger(server: LocalServer, document: object) -> None:
    """A document without paths is no description."""
    server.answer = lambda _: Answer(document)
    with pytest.raises(BackendUnavailableError, match="no swagger"):
        client.swagger(server.url)


def test_example_rows() -> None:
    """The example row of a description serves as a row; where there is none, that is said."""
    example = {"type": "object", "properties": {"data": ROWS_SCHEMA}, "example": {"data": [{"age": 20, "job": "student"}]}}
    assert client.example_rows(_swagger(example)) == [{"age": 20, "job": "student"}]
    assert client.example_rows(_swagger({"example": {"Inputs": {"data": [{"age": 1}]}}})) == [{"age": 1}]
    with pytest.raises(NotFoundError, match="example"):
        client.example_rows(_swagger({"type": "object"}))


def test_trigger(server: LocalServer) -> None:
    """A trigger posts the experiment's name with the given header, and answers the run's id."""
    server.answer = lambda _: Answer({"Id": "run-1", "Status": "NotStarted"})
    assert client.trigger(f"{server.url}/submit", {"Authorization": "Bearer token"}, "nightly") == "run-1"
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.document) == ("POST", "/submit", {"ExperimentName": "nightly"})
    assert asked.headers["authorization"] == "Bearer token"


def test_trigger_by_a_key(server: LocalServer) -> None:
    """An idempotency key travels as a header; one that can't is refused before anything is sent."""
    server.answer = lambda _: Answer({"Id": "run-1"})
    assert client.trigger(server.url, {}, "nightly", idempotency_key="build-17") == "run-1"
    assert server.asked[0].headers["idempotency-key"] == "build-17"
    for key in ("", "two words", "a\nb", "\xe9", "x" * 256):
        with pytest.raises(InvalidRequestError, match="idempotency key"):
            client.trigger(server.url, {}, "nightly", idempotency_key=key)
    assert len(server.asked) == 1


@pytest.mark.parametrize("document", [{}, {"Id": ""}, {"Id": 7}, []])
def test_trigger_without_an_id(server: LocalServer, document: object) -> None:
    """An answer without a run id is an error."""
    server.answer = lambda _: Answer(document)
    with pytest.raises(BackendUnavailableError, match="no run id"):
        client.trigger(server.url, {}, "nightly")


def test_trigger_refused(server: LocalServer) -> None:
    """A refused trigger is one of our errors, without the token."""
    server.answer = lambda _: Answer({"error": {"message": "token secret-token is wrong"}}, 401)
    with pytest.raises(AuthenticationError) as caught:
        client.trigger(server.url, {"Authorization": "Bearer secret-token"}, "nightly")
    assert "secret-token" not in str(caught.value)
