"""The servers that `scoring.py` compares, each a process of its own on loopback, with the same model."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import load
import plain_app
import psutil
import raw_client

OURS = "bankmlops"
TWO_WORKERS = "bankmlops, two workers"
PLAIN = "the same work in a plain ASGI app"
FIXED = "the limit: uvicorn, a fixed answer"
AZURE = "azureml-inference-server-http, model.pkl"
AZURE_ONNX = "azureml-inference-server-http, the ONNX model"
SERVICE = ("-m", "bankmlops.scoring")
UNLOGGED = (str(Path(__file__).with_name("unlogged_service.py")),)
START_SECONDS = 120.0
_POLL_SECONDS = 0.005
_PICKLE_SCRIPT = """
import json, os, pickle
import pandas
def init():
    global model
    with open(os.environ["BENCHMARK_MODEL"], "rb") as file:
        model = pickle.load(file)
def run(data):
    return json.dumps({"result": model.predict(pandas.DataFrame(json.loads(data)["data"])).tolist()})
"""
_ONNX_SCRIPT = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, os.environ["BENCHMARK_CODE"])
from plain_app import scored
def init():
    global score
    score = scored(Path(os.environ["BENCHMARK_MODEL"]))
def run(data):
    return json.loads(score(data.encode()))
"""
Launch = Callable[[socket.socket], "subprocess.Popen[bytes]"]


@dataclass(frozen=True, slots=True)
class Peer:
    """How a server is started on a bound socket, and what a request to it has in its head."""

    name: str
    launch: Launch
    headers: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs: what to ask, the seconds from its start to its first right answer, and that answer."""

    peer: Peer
    target: load.Target
    process: subprocess.Popen[bytes]
    cold_start_s: float
    answer: object

    def rss_mb(self) -> float:
        """Resident memory of the process and its children, in 10^6 bytes; what they share counts once."""
        return sum(each.memory_full_info().pss for each in self._family()) / 1e6

    def cpu_seconds(self) -> float:
        """Processor time, user and system, of the process and its children since they began."""
        return sum(spent.user + spent.system for spent in (each.cpu_times() for each in self._family()))

    def _family(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]


def peers(bundle: Path, pickle: Path | None, folder: Path) -> list[Peer]:
    """Ours, the yardsticks, and what else is installed; `folder` takes their files."""
    found = [
        ours(OURS, bundle, folder / "ours"),
        ours(TWO_WORKERS, bundle, folder / "ours-twice", settings={"workers": 2}),
        _yardstick(PLAIN, "scored", bundle),
        _yardstick(FIXED, "fixed", bundle),
    ]
    if importlib.util.find_spec("azureml_inference_server_http"):
        found += [_azure(AZURE, _PICKLE_SCRIPT, pickle, folder / "azure")] if pickle else []
        found.append(_azure(AZURE_ONNX, _ONNX_SCRIPT, bundle, folder / "azure-onnx"))
    return found


def ours(
    name: str, bundle: Path, folder: Path, *, settings: Mapping[str, object] | None = None, program: Sequence[str] = SERVICE
) -> Peer:
    """The service as it is deployed: keys, limits, request log and metrics on; its log goes to a file of its folder."""
    folder.mkdir(mode=0o700)
    (folder / "model").symlink_to(bundle.absolute())
    keys = {key: secrets.token_urlsafe(32) for key in ("primary_key", "secondary_key")}
    document = {"name": "benchmark", "model_name": "benchmark", "model_version": "1", **keys, **(settings or {})}
    service = folder / "service.json"
    service.touch(mode=0o600)
    service.write_text(json.dumps(document), encoding="utf-8")

    def launch(listener: socket.socket) -> subprocess.Popen[bytes]:
        port = listener.getsockname()[1]
        listener.close()
        with (folder / "log").open("ab") as log:
            return _popen([sys.executable, *program, "--service-dir", str(folder), "--port", str(port)], {}, log=log)

    return Peer(name, launch, {"Authorization": f"Bearer {keys['primary_key']}"})


def _yardstick(name: str, kind: str, bundle: Path) -> Peer:
    def launch(listener: socket.socket) -> subprocess.Popen[bytes]:
        words = [sys.executable, plain_app.__file__, kind, str(bundle), str(listener.fileno())]
        return _popen(words, {}, [listener.fileno()])

    return Peer(name, launch, {})


def _azure(name: str, script: str, model: Path, folder: Path) -> Peer:
    """Microsoft's server as the emulator runs it: gunicorn with one worker, on loopback."""
    folder.mkdir()
    (folder / "score.py").write_text(script, encoding="utf-8")
    environment = {
        "AML_APP_ROOT": str(folder),
        "AZUREML_ENTRY_SCRIPT": "score.py",
        "AZUREML_MODEL_DIR": str(folder),
        "BENCHMARK_MODEL": str(model.absolute()),
        "BENCHMARK_CODE": str(Path(__file__).parent),
    }

    def launch(listener: socket.socket) -> subprocess.Popen[bytes]:
        words = [
            sys.executable,
            "-P",
            "-m",
            "bankmlops.emulator.services.inference_server",
            str(listener.fileno()),
            str(os.getpid()),
        ]
        return _popen(words, environment, [listener.fileno()])

    return Peer(name, launch, {})


def _popen(
    words: Sequence[str], environment: dict[str, str], descriptors: Sequence[int] = (), log: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log or subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        pass_fds=descriptors,
    )


@contextmanager
def serving(peer: Peer, body: bytes) -> Iterator[Serving]:
    """The server from its start to its end; it has given a right answer to `body` when the block begins."""
    with socket.socket() as listener:
        listener.bind((raw_client.HOST, 0))
        target = load.Target(listener.getsockname()[1], "/score", body, {"Content-Type": "application/json", **peer.headers})
        started = time.perf_counter()
        process = peer.launch(listener)
    try:
        answer = _first_answer(peer, target, process, started + START_SECONDS)
        yield Serving(peer, target, process, time.perf_counter() - started, json.loads(json.loads(answer))["result"])
    finally:
        _end(process)


def loaded(server: Serving, connections: int, seconds: int) -> dict[str, Any]:
    """The load's figures, with `cpu_s`: the server's processor seconds for 10,000 requests."""
    before = server.cpu_seconds()
    found = load.put_load(server.target, connections, seconds)
    return {**found, "cpu_s": (server.cpu_seconds() - before) / found["requests"] * 10_000}


def _first_answer(peer: Peer, target: load.Target, process: subprocess.Popen[bytes], deadline: float) -> bytes:
    while time.perf_counter() < deadline and process.poll() is None:
        with suppress(OSError), raw_client.Connection(target.port) as connection:
            answer = connection.exchange(target.content())
            if answer.status == 200:
                return answer.body
        time.sleep(_POLL_SECONDS)
    raise SystemExit(f"{peer.name} did not answer within {START_SECONDS:.0f} s (exit code {process.poll()})")


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.terminate()
        _, alive = psutil.wait_procs(family, timeout=10)
        for survivor in alive:
            with suppress(psutil.NoSuchProcess):
                survivor.kill()
    process.wait(30)
