"""Every size, time and queue has a bound that a real process keeps, shown on raw sockets by clients slow or hostile."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.bundles import OLD, PRIMARY, YOUNG, write_service
from support.scoring_server import ScoringProcess, read_answers, read_to_end, request
from support.slow_bundle import write_slow_bundle

pytestmark = pytest.mark.slow
PLAIN = {"Accept": "application/json; format=plain"}
BODY = json.dumps({"data": [YOUNG, OLD]}).encode()
ANSWER = (200, b'{"result":["no","yes"]}')
LIMITS = {
    "body_bytes": 200_000,
    "buffered_bytes": 400_000,
    "rows": 2000,
    "header_bytes": 4096,
    "head_seconds": 0.6,
    "request_seconds": 1.2,
    "keep_alive_seconds": 1.0,
    "waiting_requests": 8,
    "connections": 40,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringProcess]:
    """A service with small bounds."""
    with ScoringProcess.start(tmp_path_factory.mktemp("server"), limits=LIMITS) as server:
        yield server
        assert "Traceback" not in server.log


@pytest.fixture(autouse=True)
def still_serving(server: ScoringProcess) -> Iterator[None]:
    """Whatever a client did, the next one is answered."""
    yield
    assert server.score(BODY).status_code == 200


def _workers(server: ScoringProcess) -> list[psutil.Process]:
    """The worker, and what it has beside it: who talks to callers and holds what they are sent."""
    found = psutil.Process(server.process.pid).children(recursive=True)
    assert found
    return found


def _memory(server: ScoringProcess) -> int:
    return sum(process.memory_info().rss for process in _workers(server))


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def _status(answer: bytes) -> int:
    return int(answer.split(maxsplit=2)[1]) if answer else 0


def test_declared_length(server: ScoringProcess) -> None:
    """A body that is declared too long is a 413 before it is sent."""
    with server.connect() as connection:
        connection.sendall(request(b"", {"Content-Length": "200001"}))
        assert read_answers(connection, 1)[0][0] == 413


def test_streamed_length(server: ScoringProcess) -> None:
    """A body without a declared length is a 413 as soon as it has become too long, though it never ends."""
    with server.connect() as connection:
        connection.sendall(request(b"", {"Transfer-Encoding": "chunked"}))
        for _ in range(21):
            connection.sendall(_chunk(b" " * 10_000))
        status, body = read_answers(connection, 1)[0]
        assert (status, json.loads(body)["status_code"]) == (413, 413)


def test_endless_body(server: ScoringProcess) -> None:
    """A client that goes on sending after its 413 is cut off after a few times the limit."""
    with server.connect() as connection, pytest.raises(OSError):  # noqa: PT011, PT012  # reset or broken pipe
        connection.sendall(request(b"", {"Transfer-Encoding": "chunked"}))
        for _ in range(1000):
            connection.sendall(_chunk(b" " * 100_000))


def test_chunked_body(server: ScoringProcess) -> None:
    """A body in many small chunks, with extensions and a trailer, is scored."""
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in BODY)
    with server.connect() as connection:
        connection.sendall(request(chunks + b"0\r\nX-Trailer: 1\r\n\r\n", {"Transfer-Encoding": "chunked", **PLAIN}))
        assert read_answers(connection, 1) == [ANSWER]


@pytest.mark.parametrize("ending", [b"0\r\nX-Trailer: ", b"1;extension="])
def test_endless_framing(server: ScoringProcess, ending: bytes) -> None:
    """Trailers and chunk extensions count as head: they can't be sent without end."""
    with server.connect() as connection:
        connection.sendall(request(_chunk(BODY) + ending, {"Transfer-Encoding": "chunked"}))
        with pytest.raises(OSError):  # noqa: PT011, PT012  # reset or broken pipe
            for _ in range(200):
                connection.sendall(b"x" * 10_000)
                time.sleep(0.001)


def test_false_length(server: ScoringProcess) -> None:
    """A body that is shorter than declared is waited for no longer than a request may take."""
    with server.connect() as connection:
        began = time.monotonic()
        connection.sendall(request(BODY, {"Content-Length": str(len(BODY) + 1)}))
        assert _status(read_to_end(connection)) == 408
        assert 1.0 < time.monotonic() - began < 6


@pytest.mark.parametrize("lengths", [("5", "6"), ("-1",), ("five",), ("99999999999999999999999999",)])
def test_bad_length(server: ScoringProcess, lengths: tuple[str, ...]) -> None:
    """A length that is contradictory or no number is refused."""
    declared = "".join(f"Content-Length: {length}\r\n" for length in lengths).encode()
    with server.connect() as connection:
        connection.sendall(b"POST /score HTTP/1.1\r\nHost: t\r\nConnection: close\r\n" + declared + b"\r\n")
        assert _status(read_to_end(connection)) in (400, 401, 413)


def test_length_and_chunks(server: ScoringProcess) -> None:
    """A request that says both how long it is and that it comes in chunks is a smuggler's, and refused."""
    with server.connect() as connection:
        connection.sendall(request(_chunk(BODY) + b"0\r\n\r\n", {"Content-Length": "3", "Transfer-Encoding": "chunked"}))
        assert _status(read_to_end(connection)) == 400


def test_rows(server: ScoringProcess) -> None:
    """One row more than the limit is a 413 that names the limit."""
    row = b'{"age":1,"job":"student"}'
    assert server.score(b'{"data":[' + b",".join([row] * 2000) + b"]}").status_code == 200
    response = server.score(b'{"data":[' + b",".join([row] * 2001) + b"]}")
    assert response.status_code == 413
    assert "at most 2,000" in response.json()["message"]


@pytest.mark.parametrize("depth", [190, 1000, 90_000])
@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"data":', b"}")])
def test_depth(server: ScoringProcess, depth: int, pair: tuple[bytes, bytes]) -> None:
    """Deeply nested JSON is a 400, closed or not."""
    opening, closing = (part * min(depth, 100_000 // len(part)) for part in pair)
    for body in (opening, opening + b"1" + closing):
        assert server.score(body).status_code in (400, 413)


def test_long_head(server: ScoringProcess) -> None:
    """A head that is too long is a 431, in one header, in many, or in the address."""
    for extra in (b"X: " + b"x" * 5000 + b"\r\n", b"X: y\r\n" * 1000):
        with server.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n" + extra + b"\r\n")
            assert _status(read_to_end(connection)) == 431
    with server.connect() as connection:
        connection.sendall(b"GET /" + b"x" * 5000)
        assert _status(read_to_end(connection)) == 431


def test_head_in_drops(server: ScoringProcess) -> None:
    """A head that never ends, in drops, is cut off by its size if not by its time."""
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011, PT012  # reset or broken pipe
            while time.monotonic() < began + 10:
                connection.sendall(b"X-Drop: y\r\n")
                time.sleep(0.05)
    assert time.monotonic() - began < 6


@pytest.mark.parametrize("sent", [b"", b"G", b"POST /score HTTP/1.1\r\nHost: t\r\n"])
def test_slow_head(server: ScoringProcess, sent: bytes) -> None:
    """A head that is not whole in time is a 408 and the end of the connection."""
    with server.connect() as connection:
        began = time.monotonic()
        connection.sendall(sent)
        assert _status(read_to_end(connection)) == 408
        assert 0.5 < time.monotonic() - began < 6


def test_slow_body(server: ScoringProcess) -> None:
    """A body that comes a byte at a time is cut off when the request's time is over."""
    with server.connect() as connection:
        began = time.monotonic()
        connection.sendall(request(b"", {"Content-Length": "1000"}))
        with pytest.raises(OSError):  # noqa: PT011, PT012  # reset or broken pipe
            while time.monotonic() < began + 10:
                connection.sendall(b" ")
                time.sleep(0.05)
    assert time.monotonic() - began < 6


def test_idle_connection(server: ScoringProcess) -> None:
    """A connection between requests is closed after its time, without a word."""
    with server.connect() as connection:
        connection.sendall(request(BODY, PLAIN))
        assert read_answers(connection, 1) == [ANSWER]
        began = time.monotonic()
        assert read_to_end(connection) == b""
        assert 0.8 < time.monotonic() - began < 6


def test_slow_reader(server: ScoringProcess) -> None:
    """A client that asks for much and reads nothing is cut off."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: t\r\n\r\n" * 20)
        time.sleep(3.0)
        connections = [each for process in _workers(server) for each in process.net_connections()]
        assert not [each for each in connections if each.status == psutil.CONN_ESTABLISHED]


def test_slow_readers_share_memory(server: ScoringProcess) -> None:
    """However many wait for the same large file, it is held once."""
    assert server.get("/docs/swagger-ui-bundle.js").status_code == 200
    before = _memory(server)
    connections = [server.connect() for _ in range(30)]
    for connection in connections:
        connection.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: t\r\n\r\n")
    time.sleep(0.5)
    assert _memory(server) - before < 20 * 2**20
    for connection in connections:
        connection.close()


def test_too_many_connections(server: ScoringProcess) -> None:
    """A connection too many is a 503 that says when to come again; once others have left there is room."""
    time.sleep(0.3)
    connections = [server.connect() for _ in range(45)]
    try:
        answer = read_to_end(connections[-1])
        assert _status(answer) == 503
        assert b"retry-after: 1" in answer
    finally:
        for connection in connections:
            connection.close()
    time.sleep(0.3)


def test_burst(server: ScoringProcess) -> None:
    """When more requests arrive at once than may wait, the rest are a 503 with Retry-After at once, and the next is served."""
    connections = [server.connect() for _ in range(30)]
    time.sleep(0.3)  # they are accepted
    (worker,) = psutil.Process(server.process.pid).children()
    worker.suspend()
    try:
        for connection in connections:
            connection.sendall(request(BODY, {"Connection": "close", **PLAIN}))
        time.sleep(0.1)
    finally:
        worker.resume()
    answers = [read_to_end(connection) for connection in connections]
    statuses = Counter(map(_status, answers))
    assert set(statuses) == {200, 503}
    assert statuses[200] >= 8
    assert all(b"retry-after: 1" in answer for answer in answers if _status(answer) == 503)
    assert 'bankmlops_rejections_total{reason="overloaded"}' in server.get("/metrics").text
    assert "bankmlops_waiting_requests 0" in server.get("/metrics").text


def test_refusals_are_counted(server: ScoringProcess) -> None:
    """What the protocol turns away is counted by its reason."""
    with server.connect() as connection:
        connection.sendall(b"no HTTP at all\r\n\r\n")
        assert _status(read_to_end(connection)) == 400
    with server.connect() as connection:
        connection.sendall(b"GET /" + b"x" * 5000)
        assert _status(read_to_end(connection)) == 431
    text = server.get("/metrics").text
    assert 'bankmlops_rejections_total{reason="http"}' in text
    assert 'bankmlops_rejections_total{reason="head"}' in text


def test_connect_method(server: ScoringProcess) -> None:
    """A client that takes it for a proxy is refused."""
    with server.connect() as connection:
        connection.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n")
        assert _status(read_to_end(connection)) == 405


def test_broken_requests_do_not_fill_the_log(server: ScoringProcess) -> None:
    """A request that is no HTTP writes nothing to the log."""
    time.sleep(0.2)
    before = len(server.log)
    for _ in range(50):
        with server.connect() as connection:
            connection.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
            read_to_end(connection)
    assert len(server.log) == before


def test_client_that_leaves(server: ScoringProcess) -> None:
    """A client that goes away in the middle of its body leaves no trace but a line."""
    with server.connect() as connection:
        connection.sendall(request(b'{"data"', {"Content-Length": "100000"}))
        time.sleep(0.1)
    _wait(lambda: "POST /score 499" in server.log)


def test_small_ones_pass_a_large_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    """While large requests are scored small ones are answered, and when too many large ones wait the next is a 503."""
    large = b'{"data":[' + b",".join([json.dumps(YOUNG).encode()] * 20_000) + b"]}"
    statuses: list[int] = []
    with ScoringProcess.start(tmp_path_factory.mktemp("batches"), limits={"queued_batches": 2}) as server:

        def send_large() -> None:
            statuses.append(server.score(large).status_code)

        threads = [threading.Thread(target=send_large) for _ in range(8)]
        for thread in threads:
            thread.start()
        seconds = []
        while any(thread.is_alive() for thread in threads):
            began = time.monotonic()
            assert server.score(BODY, PRIMARY).status_code == 200
            seconds.append(time.monotonic() - began)
        assert set(statuses) == {200, 503}
        assert len(seconds) > 1
        assert server.score(large).status_code == 200


def test_small_ones_keep_their_pace(tmp_path: Path) -> None:
    """While large requests are scored one after the other, 99 of 100 small ones take far less than one of those."""
    large = request(b'{"data":[' + b",".join([json.dumps(YOUNG).encode()] * 1_500) + b"]}")
    over = threading.Event()
    write_slow_bundle(tmp_path / "model", layers=10)
    write_service(tmp_path)
    with ScoringProcess.serve(tmp_path) as server:
        port, of_large = server.port, list[float]()

        def send_large() -> None:
            while not over.is_set():
                of_large.append(_seconds(port, large))

        sender = threading.Thread(target=send_large)
        sender.start()
        until, of_small = time.monotonic() + 1.2, list[float]()
        while time.monotonic() < until:
            of_small.append(_seconds(port, request(BODY)))
        over.set()
        sender.join()
    assert len(of_small) > 2 * len(of_large)
    assert sorted(of_small)[len(of_small) * 99 // 100] < min(of_large) / 2, (of_small, of_large)


def _seconds(port: int, content: bytes) -> float:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(content)
        assert read_answers(connection, 1)[0][0] == 200
    return time.monotonic() - began


def _wait(look: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
