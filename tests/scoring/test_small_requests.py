"""Small requests are answered in turns, each as if it were alone; who would wait too long is told so."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.bundle import load_bundle
from bankmlops.scoring.exchange import Exchange
from bankmlops.scoring.model import Prediction, Scorer
from bankmlops.scoring.refusal import RefusedError
from bankmlops.scoring.small_requests import MAXIMUM_TOGETHER, SmallRequest, SmallRequests
from support.bundles import OLD, YOUNG, specification, write_bundle, write_service
from support.scoring_server import ScoringProcess, read_answers, read_to_end, request

PLAIN = {"Accept": "application/json; format=plain"}
BODY = json.dumps({"data": [YOUNG, OLD]}).encode()
ANSWER = (200, b'{"result":["no","yes"]}')
BAD = (b"{", b'{"data":[{"age":"old","job":"student"}]}', b'{"data":[]}', b'{"data":[1]}')


class Connection:
    """Takes answers, and keeps none."""

    def answer(self, request: SmallRequest, head: bytes, body: bytes) -> None:
        """Nobody is there."""


def _request(size: int = 10) -> SmallRequest:
    made = SmallRequest(Connection(), Exchange("POST", "/score", {}), keep_alive=True)
    made.body = b" " * size
    return made


def _turns(
    requests: Sequence[SmallRequest], seconds: float, turn_bytes: int = 1000, refused_after: int = 1000
) -> tuple[list[int], SmallRequests]:
    """How many were answered in each turn, where each takes so long; after so many turns all are refused, in no time."""
    sizes: list[int] = []

    def answer(together: Sequence[SmallRequest]) -> int:
        sizes.append(len(together))
        if len(sizes) > refused_after:
            return 0
        time.sleep(seconds * len(together))
        return len(together)

    async def run() -> SmallRequests:
        queue = SmallRequests(answer, turn_bytes)
        for each in requests:
            queue.put(each)
        while len(queue):
            await asyncio.sleep(0)
        return queue

    queue = asyncio.run(run())
    return sizes, queue


def test_slow_ones_are_answered_one_by_one() -> None:
    """What takes as long as a turn may is answered alone, so that arrivals are seen; how long one waits is known."""
    sizes, queue = _turns([_request() for _ in range(5)], 0.006)
    assert sizes == [1] * 5
    assert queue.seconds_behind(10) > 0.05
    assert queue.seconds_behind(0) == 0.0


def test_refusals_teach_nothing() -> None:
    """What is refused takes no time, and does not make the next turn larger nor the queue look shorter."""
    sizes, queue = _turns([_request() for _ in range(30)], 0.006, refused_after=3)
    assert sizes == [1] * 30
    assert queue.seconds_behind(10) > 0.05


def test_fast_ones_are_answered_together() -> None:
    """Those that take little are answered together, up to a bound of number and of bytes; the first tells how long they take."""
    sizes, _ = _turns([_request() for _ in range(1 + 2 * MAXIMUM_TOGETHER)], 0.0)
    assert sum(sizes) == 1 + 2 * MAXIMUM_TOGETHER
    assert sizes[0] == 1
    assert 1 < max(sizes) <= MAXIMUM_TOGETHER
    sizes, _ = _turns([_request(400) for _ in range(9)], 0.0)
    assert max(sizes) <= 2
    sizes, _ = _turns([_request(5000) for _ in range(3)], 0.0)
    assert sizes == [1, 1, 1]


def test_an_error_ends_no_queue() -> None:
    """Whatever goes wrong in a turn, the next one comes."""
    asked: list[int] = []

    def answer(together: Sequence[SmallRequest]) -> int:
        asked.append(len(together))
        raise ValueError

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        queue = SmallRequests(answer, 1000)
        queue.put(_request())
        queue.put(_request())
        while len(queue):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert sum(asked) == 2


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer(load_bundle(write_bundle(tmp_path_factory.mktemp("model") / "model")), 100)


def test_together_as_alone(scorer: Scorer) -> None:
    """A batch gives each request the result that it gets alone, whatever it asks for, and an error to those at fault alone."""
    probabilities = json.dumps({"data": [OLD], "method": "predict_proba"}).encode()
    good = [BODY, probabilities, json.dumps({"data": [OLD]}).encode()]
    alone = [scorer.score(body) for body in good]
    together = scorer.score_together(good)
    for one, other in zip(alone, together, strict=True):
        assert isinstance(other, Prediction)
        assert (one.rows, len(one.result)) == (other.rows, len(other.result))
        assert other.result == (one.result if isinstance(one.result[0], str) else [pytest.approx(each) for each in one.result])
    mixed = scorer.score_together([good[0], *BAD, good[2]])
    assert [isinstance(each, RefusedError | InvalidRequestError) for each in mixed] == [False, *[True] * len(BAD), False]
    assert "row 0, column 'age'" in str(mixed[2])


def write_picky_bundle(folder: Path) -> Path:
    """The tests' model, but one that fails where an age is above 100: it looks each up in a table."""
    model = onnx.load(write_bundle(folder) / "model.onnx")
    age = numpy.array([specification().names.index("age")])
    tensors = {"age": age, "table": numpy.zeros(101, numpy.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(content, name) for name, content in tensors.items())
    softmax = model.graph.node.pop()
    softmax.input[0] = "checked"
    model.graph.node.extend([
        helper.make_node("Gather", ["features", "age"], ["ages"], axis=1),
        helper.make_node("Cast", ["ages"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "whole"], ["found"]),
        helper.make_node("Add", ["scores", "found"], ["checked"]),
        softmax,
    ])  # fmt: skip
    content = model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["sha256"]["model.onnx"] = hashlib.sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.slow
def test_what_nobody_expected(tmp_path: Path) -> None:
    """A request over which the model itself fails is a 500, and those that came with it get what they get alone."""
    failing = json.dumps({"data": [{"age": 101, "job": "student"}]}).encode()
    scorer = Scorer(load_bundle(write_picky_bundle(tmp_path / "model")), 100)
    answers = scorer.score_together([BODY, failing, BODY])
    assert [getattr(answer, "result", None) for answer in answers] == [["no", "yes"], None, ["no", "yes"]]
    write_service(tmp_path)
    with ScoringProcess.serve(tmp_path) as server:
        for _ in range(10):
            assert server.score(BODY).status_code == 200
        bodies = [BODY, BODY, failing, BODY] * 3
        answers_of_all = _sent_at_once(server, bodies)
        statuses = [int(answer.split()[1]) for answer in answers_of_all]
        assert statuses == [200, 200, 500, 200] * 3
        assert server.log.count("Traceback") == 3


def _sent_at_once(server: ScoringProcess, bodies: Sequence[bytes]) -> list[bytes]:
    """What each gets where all are there before the worker looks."""
    (worker,) = psutil.Process(server.process.pid).children()
    connections = [server.connect() for _ in bodies]
    time.sleep(0.3)  # they are accepted
    worker.suspend()
    try:
        for connection, body in zip(connections, bodies, strict=True):
            connection.sendall(request(body, {"Connection": "close", **PLAIN}))
    finally:
        worker.resume()
    return [read_to_end(connection) for connection in connections]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringProcess]:
    with ScoringProcess.start(tmp_path_factory.mktemp("server"), limits={"request_seconds": 1.0}) as server:
        yield server
        assert "Traceback" not in server.log


@pytest.mark.slow
def test_each_its_own_answer(server: ScoringProcess) -> None:
    """Good and bad ones that arrive at the same moment get what is theirs, with their own ids."""
    bodies = [BODY, *BAD, BODY] * 5
    connections = [server.connect() for _ in bodies]
    psutil.Process(server.process.pid).suspend()
    workers = psutil.Process(server.process.pid).children()
    for worker in workers:
        worker.suspend()
    try:
        for number, (connection, body) in enumerate(zip(connections, bodies, strict=True)):
            connection.sendall(request(body, {"x-ms-client-request-id": f"id-{number}", "Connection": "close", **PLAIN}))
    finally:
        for process in (*workers, psutil.Process(server.process.pid)):
            process.resume()
    for number, (connection, body) in enumerate(zip(connections, bodies, strict=True)):
        answer = read_to_end(connection)
        head, _, content = answer.partition(b"\r\n\r\n")
        assert f"x-ms-client-request-id: id-{number}\r\n".encode() in head + b"\r\n"
        assert b"connection: close" in head
        assert (int(head.split()[1]), content) == ANSWER if body == BODY else head.startswith(b"HTTP/1.1 400 ")
        connection.close()


@pytest.mark.slow
def test_in_pieces(server: ScoringProcess) -> None:
    """Head and body may come in pieces of any size, and more than one on a connection."""
    content = request(BODY, PLAIN)
    with server.connect() as connection:
        for step in (len(content) - len(BODY), 97, 20):
            for first in range(0, len(content), step):
                connection.sendall(content[first : first + step])
                time.sleep(0.002)
            assert read_answers(connection, 1) == [ANSWER]


@pytest.mark.slow
def test_old_client(server: ScoringProcess) -> None:
    """A client of HTTP/1.0 is answered, and its connection closed."""
    with server.connect() as connection:
        connection.sendall(request(BODY, PLAIN).replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = read_to_end(connection)
    assert answer.endswith(ANSWER[1])
    assert b"connection: close" in answer


@pytest.mark.slow
def test_who_leaves(server: ScoringProcess) -> None:
    """A client that goes away before its small body is whole leaves a line, and one that stops there is cut off."""
    with server.connect() as connection:
        connection.sendall(request(BODY)[:-5])
        time.sleep(0.05)
    deadline = time.monotonic() + 10
    while "POST /score 499" not in server.log:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with server.connect() as connection:
        connection.sendall(request(BODY)[:-5])
        assert b" 408 " in read_to_end(connection).partition(b"\r\n")[0]


@pytest.mark.slow
def test_who_would_wait_too_long(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where one that is ahead takes longer than anyone is to wait, who finds nobody there is served, and no one else."""
    with ScoringProcess.start(tmp_path_factory.mktemp("hasty"), limits={"waiting_seconds": 1e-9}) as server:
        assert server.score(BODY).status_code == 200
        (worker,) = psutil.Process(server.process.pid).children()
        connections = [server.connect() for _ in range(10)]
        time.sleep(0.3)  # they are accepted
        worker.suspend()
        try:
            for connection in connections:
                connection.sendall(request(BODY, {"Connection": "close"}))
            time.sleep(0.05)
        finally:
            worker.resume()
        answers = [read_to_end(connection) for connection in connections]
        statuses = [int(answer.split()[1]) for answer in answers]
        assert statuses.count(200) >= 1
        assert statuses.count(503) >= 1
        assert all(b"retry-after: 1" in answer for answer in answers if b" 503 " in answer[:15])
        assert 'bankmlops_rejections_total{reason="overloaded"}' in server.get("/metrics").text
