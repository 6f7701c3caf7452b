"""What goes over the wire: Azure ML's requests, answers, headers and documents, from a real scoring process."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.bundles import OLD, PRIMARY, SECONDARY, YOUNG
from support.scoring_server import ScoringProcess, read_answers, request

pytestmark = pytest.mark.slow
ROWS = {"data": [YOUNG, OLD]}
PLAIN = "application/json; format=plain"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringProcess]:
    with ScoringProcess.start(tmp_path_factory.mktemp("server")) as server:
        yield server
        assert "Traceback" not in server.log


def _result(response: httpx.Response) -> Any:
    """What Azure's JSON string of JSON holds."""
    assert response.status_code == 200, response.text
    return json.loads(response.json())["result"]


@pytest.mark.parametrize("path", ["/", "/health/live"])
def test_healthy(server: ScoringProcess, path: str) -> None:
    """The health page says Healthy, without a key."""
    response = server.get(path)
    assert (response.status_code, response.text) == (200, "Healthy")


def test_ready(server: ScoringProcess) -> None:
    """A service that takes requests says that it is ready."""
    assert server.get("/health/ready").status_code == 200


def test_head(server: ScoringProcess) -> None:
    """HEAD answers the headers of GET and no body."""
    response = httpx.head(f"{server.url}/", trust_env=False)
    assert (response.status_code, response.headers["content-length"], response.content) == (200, "7", b"")


def test_answer_is_a_json_string(server: ScoringProcess) -> None:
    """As AutoML's scoring file does it, the answer is a JSON string that holds the result, unless plain JSON is asked for."""
    response = server.score(ROWS)
    assert response.headers["content-type"] == "application/json"
    assert response.json() == '{"result":["no","yes"]}'
    assert server.score(ROWS, Accept=PLAIN).json() == {"result": ["no", "yes"]}


@pytest.mark.parametrize(
    "body",
    [
        ROWS,
        {"Inputs": {"data": [YOUNG, OLD]}, "GlobalParameters": {"method": "predict"}},
        {"Inputs": {"data": [YOUNG, OLD]}},
        {"input_data": {"columns": ["age", "job"], "index": [0, 1], "data": [[20, "student"], [70, "retired"]]}},
        {"data": {"columns": ["job", "age"], "data": [["student", 20], ["retired", 70]]}},
        {"data": [{**YOUNG, "y": "no"}, {"age": 70.0, "job": "never seen"}]},
        {"Inputs": {"data": [YOUNG, OLD]}, "GlobalParameters": None},
    ],
)
def test_shapes_of_a_request(server: ScoringProcess, body: object) -> None:
    """Both of Azure's formats and pandas' split tables are scored; the label may be there, and 70.0 is a whole number."""
    assert _result(server.score(body)) == ["no", "yes"]


@pytest.mark.parametrize(
    "body",
    [
        {"data": [YOUNG, OLD], "method": "predict_proba"},
        {"Inputs": {"data": [YOUNG, OLD]}, "GlobalParameters": {"method": "predict_proba"}},
    ],
)
def test_probabilities(server: ScoringProcess, body: object) -> None:
    """predict_proba answers one probability a class, and each row's sum to 1."""
    probabilities = _result(server.score(body))
    assert [sum(row) for row in probabilities] == pytest.approx([1, 1])
    assert probabilities[0][1] == pytest.approx(1 / (1 + 2.718281828**2), abs=1e-6)


@pytest.mark.parametrize("key", [PRIMARY, SECONDARY])
def test_either_key(server: ScoringProcess, key: str) -> None:
    """Both keys open, whatever the case of the word Bearer."""
    assert _result(server.score(ROWS, key)) == ["no", "yes"]
    assert server.score(ROWS, None, Authorization=f"bearer  {key}").status_code == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        (f"Basic {PRIMARY}", 401),
        (PRIMARY, 401),
        ("Bearer wrong", 403),
        (f"Bearer {PRIMARY[:-1]}", 403),
        (f"Bearer {PRIMARY}x", 403),
        ("Bearer \xff\xfe", 403),
    ],
)
def test_no_key_and_wrong_key(server: ScoringProcess, authorization: str | None, status: int) -> None:
    """Without a key 401, with a wrong one 403; the body is not looked at, and the answer says what is wrong."""
    given = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    response = httpx.post(f"{server.url}/score", content=b"not JSON", headers=given, trust_env=False)
    assert response.status_code == status, response.text
    assert response.json()["status_code"] == status
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert PRIMARY[:-1] not in response.text


def test_request_ids(server: ScoringProcess) -> None:
    """Every answer has an id of its own and the time that scoring took; the caller's id is echoed."""
    first, second = server.score(ROWS), server.score(ROWS, **{"x-ms-client-request-id": "mine-1"})
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first.headers["x-ms-request-id"])
    assert first.headers["x-ms-request-id"] == first.headers["x-request-id"]
    assert "x-ms-client-request-id" not in first.headers
    assert second.headers["x-ms-client-request-id"] == second.headers["x-ms-request-id"] == "mine-1"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert float(first.headers["x-ms-run-fn-exec-ms"]) > 0


@pytest.mark.parametrize(("value", "status"), [(b"x" * 101, 431), (b"tab\there", 400), (b"\xe9", 400), (b"x" * 100, 200)])
def test_bad_request_ids(server: ScoringProcess, value: bytes, status: int) -> None:
    """An id that is too long or no printable ASCII is refused and not echoed."""
    headers = {"x-ms-client-request-id": value, "Authorization": f"Bearer {PRIMARY}".encode()}
    response = httpx.post(f"{server.url}/score", json=ROWS, headers=headers, trust_env=False)
    assert response.status_code == status
    assert ("x-ms-client-request-id" in response.headers) == (status == 200)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b'{"data": [', "not JSON"),
        (b'{"data": [{"age": NaN, "job": "student"}]}', "row 0, column 'age': NaN where a whole number would serve"),
        (b'{"data": [{"age": 1, "job": "student"}, {"age": Infinity, "job": "student"}]}', "row 1, column 'age': Infinity"),
        (b'{"data": [{"age": -Infinity, "job": "student"}]}', "row 0, column 'age': -Infinity"),
        (b'{"data": [{"age": 1, "job": NaN}]}', "row 0, column 'job': NaN where a text would serve"),
        (b'{"data": [{"age": 1e999, "job": "student"}]}', "row 0, column 'age'"),
        (b'{"data": [{"age": 1, "job": "\xff"}]}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"data": ' + b"[" * 150 + b"]" * 150 + b"}", "row 0: a list where an object"),
        ([1], "the body is a list"),
        ({}, "data is missing"),
        ({"data": None}, "data is missing or null"),
        ({"data": []}, "no row"),
        ({"data": "text"}, "data is a text"),
        ({"data": [YOUNG, 7]}, "row 1: a int"),
        ({"data": [YOUNG, {"job": "student"}]}, "row 1, column 'age': missing"),
        ({"data": [YOUNG, {**YOUNG, "age": "20"}]}, "row 1, column 'age': '20' where a whole number would serve"),
        ({"data": [YOUNG, {**YOUNG, "age": None}]}, "row 1, column 'age': null where a whole number would serve"),
        ({"data": [YOUNG, {**YOUNG, "job": None}]}, "row 1, column 'job': null where a text would serve"),
        ({"data": [YOUNG, {**YOUNG, "age": True}]}, "row 1, column 'age': true"),
        ({"data": [YOUNG, {**YOUNG, "age": 1.5}]}, "row 1, column 'age': 1.5"),
        ({"data": [YOUNG, {**YOUNG, "job": 1}]}, "row 1, column 'job': 1 where a text would serve"),
        ({"data": [{**YOUNG, "age": [1]}]}, r"row 0, column 'age': \[1\]"),
        ({"data": [{**YOUNG, "job": {"a": 1}}]}, "row 0, column 'job'"),
        ({"data": [YOUNG, {**YOUNG, "salary": 1}]}, "row 1: the model was not trained with column 'salary'"),
        ({"data": [YOUNG], "method": "explode"}, "method: 'explode' is unknown; predict or predict_proba would serve"),
        ({"data": [YOUNG], "method": ["predict"]}, "method: a list is unknown"),
        ({"Inputs": 7}, "Inputs is a number; an object would serve"),
        ({"Inputs": {"data": [YOUNG]}, "GlobalParameters": [1]}, "GlobalParameters is a list"),
        ({"Inputs": {"data": [YOUNG]}, "GlobalParameters": 0}, "GlobalParameters is a number"),
        ({"Inputs": {"data": [YOUNG]}, "GlobalParameters": {"method": "explode"}}, "method: 'explode' is unknown"),
        ({"data": {"columns": ["age"], "data": [[1, 2]]}}, "row 0: a list of 1 values"),
        ({"data": {"columns": ["age", "age"], "data": [[1, 2]]}}, "columns must be texts, each once"),
        (b'{"data": [{"age": ' + b"9" * 5000 + b', "job": "student"}]}', "JSON|age"),
        (b'{"data": [{"age": ' + b"9" * 400 + b', "job": "student"}]}', "row 0, column 'age'"),
    ],
)
def test_bad_bodies(server: ScoringProcess, body: object, message: str) -> None:
    """A body that can't be scored is a 400 in one line that says what is wrong, where, and what would serve."""
    response = server.score(body)
    assert response.status_code == 400, response.text
    document = response.json()
    assert document["status_code"] == 400
    assert re.search(message, document["message"]), document
    assert "\n" not in document["message"]


@pytest.mark.parametrize("age", [0, -5, 1e6, 3e38, -(2**70), 16777217])
def test_strange_numbers(server: ScoringProcess, age: object) -> None:
    """Any number that float32 holds is scored, and the probabilities are numbers."""
    response = server.score({"data": [{"age": age, "job": "student"}], "method": "predict_proba"}, Accept=PLAIN)
    assert response.status_code == 200, response.text
    assert all(0 <= probability <= 1 for probability in response.json()["result"][0])


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/score", 405, "OPTIONS, POST"),
        ("PUT", "/score", 405, "OPTIONS, POST"),
        ("OPTIONS", "/score", 200, "OPTIONS, POST"),
        ("POST", "/swagger.json", 405, "GET, HEAD"),
        ("GET", "/nothing", 404, None),
        ("GET", "/docs/../service.json", 404, None),
        ("GET", "/docs/%2e%2e/%2e%2e/service.json", 404, None),
        ("GET", "/docs/swagger-ui-bundle.js.map", 404, None),
    ],
)
def test_routes(server: ScoringProcess, method: str, path: str, status: int, allow: str | None) -> None:
    """Another method or path is refused, with the methods that would serve."""
    with server.connect() as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        head = b"".join(iter(lambda: connection.recv(65536), b"")).decode().lower()
    assert int(head.split()[1]) == status
    assert (f"allow: {allow}".lower() in head) if allow else ("allow:" not in head)


@pytest.mark.parametrize("headers", [{"Content-Type": "text/csv"}, {"Content-Encoding": "gzip"}])
def test_unsupported_content(server: ScoringProcess, headers: dict[str, str]) -> None:
    """Anything but plain JSON is a 415."""
    assert server.score(ROWS, **headers).status_code == 415


def test_content_type_with_charset(server: ScoringProcess) -> None:
    """A charset beside application/json does no harm."""
    assert server.score(ROWS, **{"Content-Type": "Application/JSON; charset=utf-8"}).status_code == 200


def test_swagger(server: ScoringProcess) -> None:
    """The Swagger 2.0 document has the paths, operations, definitions and key of Azure's own, and the model's columns."""
    document = server.get("/swagger.json").json()
    assert (document["swagger"], document["info"]["title"], document["schemes"]) == ("2.0", "bank", ["http"])
    operations = {path: {verb: entry["operationId"] for verb, entry in item.items()} for path, item in document["paths"].items()}
    assert operations == {"/": {"get": "ServiceHealthCheck"}, "/score": {"post": "RunMLService"}}
    assert document["securityDefinitions"]["Bearer"]["type"] == "apiKey"
    assert document["paths"]["/score"]["post"]["security"] == [{"Bearer": []}]
    assert set(document["definitions"]) == {"ServiceInput", "ServiceOutput", "ErrorResponse"}
    example = document["definitions"]["ServiceInput"]["example"]
    assert _result(server.score(example)) == document["definitions"]["ServiceOutput"]["example"]
    columns = document["definitions"]["ServiceInput"]["properties"]["data"]["items"]["properties"]
    assert columns == {"age": {"type": "integer", "format": "int64"}, "job": {"type": "string"}}


@pytest.mark.parametrize("path", ["/swagger.json", "/openapi.json"])
def test_references_resolve(server: ScoringProcess, path: str) -> None:
    """Every reference within a document leads somewhere."""
    response = server.get(path)
    for reference in re.findall(r'"\$ref":"#/([^"]+)"', response.text):
        place = response.json()
        for part in reference.split("/"):
            place = place[part]
        assert place["type"]


def test_openapi(server: ScoringProcess) -> None:
    """The same service as OpenAPI 3.1, with a media type for each answer."""
    document = server.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    post = document["paths"]["/score"]["post"]
    assert "application/json" in post["requestBody"]["content"]
    assert all("content" in answer for answer in post["responses"].values())
    row = document["components"]["schemas"]["Row"]["properties"]
    assert row["age"].pop("maximum") == -row["age"].pop("minimum") == pytest.approx(3.4028235e38)
    assert row["age"] == {"type": "integer", "description": "From 20 to 70 in training."}
    assert row["job"] == {"type": "string", "examples": ["retired", "student"]}
    assert set(document["paths"]) == {"/", "/score", "/explain"}


def test_docs_need_no_other_machine(server: ScoringProcess) -> None:
    """Swagger UI's page and files come from the service, and its policy lets it talk to nobody else."""
    page = server.get("/docs")
    assert page.status_code == 200
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 5
    for name in files:
        assert not re.match(r"(?:[a-z]+:)?//", name)
        answer = server.get(f"/{name}")
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert '"swagger.json"' in server.get("/docs/initializer.js").text


def test_metrics(server: ScoringProcess) -> None:
    """The metrics are Prometheus' text format: requests by status, refusals by reason, a cumulative histogram, the model."""
    server.score(ROWS)
    server.score(b"no")
    text = server.get("/metrics").text
    values = {}
    for line in filter(lambda line: not line.startswith("#"), text.splitlines()):
        name, value = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z]+="[^"]*",?)*\})?) (\S+)', line).groups()
        values[name] = float(value)
    assert values['bankmlops_requests_total{status="200"}'] >= 1
    assert values['bankmlops_rejections_total{reason="invalid"}'] >= 1
    assert values["bankmlops_rows_total"] >= 2
    buckets = [value for name, value in values.items() if name.startswith("bankmlops_request_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == values["bankmlops_request_seconds_count"]
    assert values['bankmlops_model_info{model="bankmarketing",version="1",algorithm="LogisticRegression"}'] == 1
    for name in (
        "log_rows_dropped_total",
        "collector_requests_dropped_total",
        "log_queue",
        "waiting_requests",
        "batch_queue",
        "explain_queue",
        "body_buffer_bytes",
    ):
        assert values[f"bankmlops_{name}"] >= 0


def test_keep_alive_and_pipelining(server: ScoringProcess) -> None:
    """Several requests on one connection, sent at once, are answered in order."""
    bodies = [json.dumps({"data": [row] * count}).encode() for row, count in ((YOUNG, 1), (OLD, 2), (YOUNG, 3))]
    with server.connect() as connection:
        connection.sendall(b"".join(request(body, {"Accept": PLAIN}) for body in bodies))
        answers = read_answers(connection, 3)
    assert [status for status, _ in answers] == [200] * 3
    assert [json.loads(body)["result"] for _, body in answers] == [["no"], ["yes"] * 2, ["no"] * 3]


def test_offer_of_http_2(server: ScoringProcess) -> None:
    """A client that offers to speak HTTP/2 (Java's does so) is answered in HTTP/1.1."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"}
    with server.connect() as connection:
        whole = request(json.dumps(ROWS).encode(), {"Accept": PLAIN, **offer})
        for first in (len(whole), whole.index(b"\r\n\r\n") + 4, 40):
            connection.sendall(whole[:first])
            time.sleep(0.02)
            connection.sendall(whole[first:] + whole)
            assert read_answers(connection, 2) == [(200, b'{"result":["no","yes"]}')] * 2


def test_expect_continue(server: ScoringProcess) -> None:
    """A client that waits to be asked for the body is asked for it, and one without a key is turned away instead."""
    body = json.dumps(ROWS).encode()
    for key, expected in ((PRIMARY, b"HTTP/1.1 100"), ("wrong-key-wrong-key", b"HTTP/1.1 403")):
        with server.connect() as connection:
            head = request(b"", {"Content-Length": str(len(body)), "Expect": "100-continue"}, key=key)
            connection.sendall(head)
            assert connection.recv(65536).startswith(expected)


def test_head_and_body_apart(server: ScoringProcess) -> None:
    """A request is whole however it is cut into packets."""
    whole = request(json.dumps(ROWS).encode(), {"Accept": PLAIN})
    with server.connect() as connection:
        for start in range(0, len(whole), 50):
            connection.sendall(whole[start : start + 50])
        assert read_answers(connection, 1) == [(200, b'{"result":["no","yes"]}')]
