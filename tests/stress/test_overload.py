"""Ten times what the service can carry, whether or not it answers: it serves what it can, refuses the rest, and recovers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import time
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy
import onnx
import psutil
import pytest
from onnx import helper, numpy_helper

from support.bundles import PRIMARY, YOUNG, write_bundle, write_service
from support.scoring_server import ScoringProcess

pytestmark = [pytest.mark.slow, pytest.mark.system]  # it wants the machine to itself, which the other tests don't leave it
WAITING = 8
LAYERS, WIDTH = 60, 1024
FACTOR = 10
NORMAL_SECONDS, WARM_UP_SECONDS, OVERLOAD_SECONDS = 1.5, 0.3, 2.0
BODY = json.dumps({"data": [YOUNG]}).encode()
REQUEST = (
    f"POST /score HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {PRIMARY}\r\nConnection: close\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY
# Without a bound on who waits, the p99 is 60 times the normal one and more.
TOLERANCE = 2.0
SLACK_SECONDS = 0.1
SHARE_ACCEPTED = 0.25  # of what it carries otherwise: to refuse takes time too, and so does whoever asks
MEMORY_BYTES = 128 * 2**20


def _write_slow_bundle(folder: Path) -> None:
    """The tests' model with a long chain of products in it, so that a few requests a second are all that it can carry."""
    model = onnx.load(write_bundle(folder) / "model.onnx")
    graph, width = model.graph, model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    for name, rows in (("first", width), ("next", WIDTH)):
        graph.initializer.append(numpy_helper.from_array(numpy.zeros((rows, WIDTH), numpy.float32), name))
    graph.initializer.append(numpy_helper.from_array(numpy.zeros((WIDTH, 2), numpy.float32), "last"))
    chain = [helper.make_node("MatMul", ["features", "first"], ["layer0"])]
    chain += [helper.make_node("MatMul", [f"layer{number}", "next"], [f"layer{number + 1}"]) for number in range(LAYERS)]
    chain += [
        helper.make_node("MatMul", [f"layer{LAYERS}", "last"], ["nothing"]),
        helper.make_node("Add", ["scores", "nothing"], ["slow"]),
    ]
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    softmax.input[0] = "slow"
    nodes = [*chain[:-1], *[node for node in graph.node if node is not softmax], chain[-1], softmax]
    del graph.node[:]
    graph.node.extend(nodes)
    content = model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["sha256"]["model.onnx"] = hashlib.sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(manifest))


class Outcome(NamedTuple):
    """One request: its status (0 where there was no answer), whether it says when to come again, and how long it took."""

    status: int
    has_retry_after: bool
    seconds: float


async def _ask(port: int) -> Outcome:
    began = time.perf_counter()
    head = b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        writer.close()
    except (OSError, asyncio.IncompleteReadError):
        pass
    status = int(head.split()[1]) if head else 0
    return Outcome(status, b"\nretry-after:" in head, time.perf_counter() - began)


async def _closed_loop(port: int, connections: int, seconds: float) -> list[Outcome]:
    """Each connection asks again when it was answered."""
    until = time.perf_counter() + seconds
    outcomes: list[Outcome] = []

    async def go_on() -> None:
        while time.perf_counter() < until:
            outcomes.append(await _ask(port))

    await asyncio.gather(*(go_on() for _ in range(connections)))
    return outcomes


async def _open_loop(port: int, rate: float, seconds: float) -> list[Outcome]:
    """Requests at a rate, however long the answers take."""
    began = time.perf_counter()
    asked: list[Awaitable[Outcome]] = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(began + number / rate - time.perf_counter())
        asked.append(asyncio.create_task(_ask(port)))
    return list(await asyncio.wait_for(asyncio.gather(*asked), 60))


def _p99(outcomes: Iterable[Outcome]) -> float:
    times = sorted(outcome.seconds for outcome in outcomes if outcome.status == 200)
    return times[int(0.99 * (len(times) - 1))]


async def _peak(process: psutil.Process, over: asyncio.Event) -> int:
    peak = 0
    while not over.is_set():
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.05)
    return peak


async def _with_peak(process: psutil.Process, load: Awaitable[list[Outcome]]) -> tuple[list[Outcome], int]:
    over = asyncio.Event()
    peak = asyncio.create_task(_peak(process, over))
    outcomes = await load
    over.set()
    return outcomes, await peak


def test_ten_times_what_it_can_carry(tmp_path: Path) -> None:
    """The rest is a 503 that says when to come again, what is accepted does not wait long, memory stays, and it ends at once.

    Nobody is to wait for longer than answers usually take: so much is found out first, and set as a limit.
    """
    usual_folder, bounded_folder = tmp_path / "usual", tmp_path / "bounded"
    for folder in (usual_folder, bounded_folder):
        _write_slow_bundle(folder / "model")
    write_service(usual_folder)
    with ScoringProcess.serve(usual_folder) as server:
        normal = asyncio.run(_closed_loop(server.port, WAITING, NORMAL_SECONDS))
        assert {outcome.status for outcome in normal} == {200}
    usual = statistics.median(outcome.seconds for outcome in normal)
    write_service(bounded_folder, limits={"waiting_requests": WAITING, "waiting_seconds": usual})
    with ScoringProcess.serve(bounded_folder) as server:
        port = server.port
        (worker,) = psutil.Process(server.process.pid).children()
        asyncio.run(_closed_loop(port, 1, WARM_UP_SECONDS))
        before, rate = worker.memory_info().rss, len(normal) / NORMAL_SECONDS
        outcomes, peak = asyncio.run(_with_peak(worker, _open_loop(port, FACTOR * rate, OVERLOAD_SECONDS)))
        over = time.perf_counter()
        recovered = asyncio.run(_ask(port))
        took = time.perf_counter() - over
    accepted = [outcome for outcome in outcomes if outcome.status == 200]
    refused = [outcome for outcome in outcomes if outcome.status != 200]
    figures = (
        f"{rate:.0f}/s normal, {len(accepted)} of {len(outcomes)} accepted, p99 {_p99(normal):.3f} s normal, "
        f"{_p99(accepted):.3f} s in overload, memory {before / 2**20:.0f} MiB before, {peak / 2**20:.0f} MiB at most, "
        f"recovered in {took:.3f} s"
    )
    assert {(outcome.status, outcome.has_retry_after) for outcome in refused} == {(503, True)}, figures
    assert len(refused) > len(outcomes) / 2, figures
    assert len(accepted) > rate * OVERLOAD_SECONDS * SHARE_ACCEPTED, figures
    assert _p99(accepted) < TOLERANCE * _p99(normal) + SLACK_SECONDS, figures
    print(figures)  # noqa: T201  # they go into the docs
    assert peak - before < MEMORY_BYTES, figures
    assert recovered.status == 200
    assert took < 1.0, figures
