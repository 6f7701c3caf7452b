"""The servers that `scoring.py` compares, each a process of its own on loopback, with the same model."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import load
import plain_app
import psutil
import raw_client

import bankmlops

OURS = "bankmlops"
TWO_WORKERS = "bankmlops, two workers"
PLAIN = "the same work in a plain ASGI app"
FIXED = "the limit: uvicorn, a fixed answer"
AZURE = "azureml-inference-server-http, model.pkl"
AZURE_ONNX = "azureml-inference-server-http, the ONNX model"
OTHERS = {
    "bentoml": "BentoML, the ONNX model",
    "litserve": "LitServe, the ONNX model",
    "mlserver": "MLServer, the ONNX model",
    "ray": "Ray Serve, the ONNX model",
    "mlflow": "mlflow models serve, model.pkl",
}
OTHERS_PYTHON = Path(__file__).parent.parent / ".venv-scoring-peers" / "bin" / "python"
SERVICE = ("-m", "bankmlops.scoring")
UNLOGGED = (str(Path(__file__).with_name("unlogged_service.py")),)
START_SECONDS = 120.0
_LONGEST_SECONDS = 10  # of load, after which nothing is expected
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
    """How a server is started on a bound socket, what a request to it has in its head, and its path and the name of its rows."""

    name: str
    launch: Launch
    headers: dict[str, str] = field(repr=False)
    path: str = "/score"
    rows: str = "data"


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


def others(bundle: Path, pickle: Path | None, folder: Path) -> list[Peer]:
    """The servers of `make bench-peers`, where it was called."""
    models = {name: pickle if name == "mlflow" else bundle for name in OTHERS if OTHERS_PYTHON.exists()}
    return [other(name, model, folder) for name, model in models.items() if model]


def other(name: str, model: Path, folder: Path) -> Peer:
    """One of `OTHERS`, in their own environment."""
    program = Path(__file__).with_name("serving_peer.py")
    environment = {"PYTHONPATH": str(Path(bankmlops.__file__).parent.parent)}

    def launch(listener: socket.socket) -> subprocess.Popen[bytes]:
        port = str(listener.getsockname()[1])
        listener.close()
        words = [str(OTHERS_PYTHON), str(program), name, str(model.absolute()), port, str(folder / name)]
        return _popen(words, environment)

    rows = {"path": "/invocations", "rows": "dataframe_records"} if name == "mlflow" else {}
    return Peer(OTHERS[name], launch, {}, **rows)


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
        headers = {"Content-Type": "application/json", **peer.headers}
        asked = json.dumps({peer.rows: json.loads(body)["data"]}).encode()
        target = load.Target(listener.getsockname()[1], peer.path, asked, headers)
        started = time.perf_counter()
        process = peer.launch(listener)
    try:
        answer = _first_answer(peer, target, process, started + START_SECONDS)
        yield Serving(peer, target, process, time.perf_counter() - started, _labels(answer))
    finally:
        _end(process)


def ask(target: load.Target) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body. Raises `OSError` or `HTTPException`."""
    with closing(http.client.HTTPConnection(raw_client.HOST, target.port, timeout=START_SECONDS)) as connection:
        connection.request("POST", target.path, target.body, dict(target.headers))
        answer = connection.getresponse()
        return answer.status, answer.read()


def _labels(answer: bytes) -> object:
    """What a server says of the rows; Azure's wire has a JSON string that holds JSON."""
    found = json.loads(answer)
    found = json.loads(found) if isinstance(found, str) else found
    return found["predictions" if "predictions" in found else "result"]


def loaded(server: Serving, connections: int, seconds: int) -> dict[str, Any]:
    """The load's figures, with `cpu_s`: the server's processor seconds for 10,000 requests.

    A server that answers nothing in that time has it twice as long, and so on. Raises `SystemExit` where `_LONGEST_SECONDS` are
    not enough.
    """
    before = server.cpu_seconds()
    found = load.put_load(server.target, connections, seconds)
    if found["requests"]:
        return {**found, "cpu_s": (server.cpu_seconds() - before) / found["requests"] * 10_000}
    if seconds > _LONGEST_SECONDS:
        raise SystemExit(f"{server.peer.name} answered nothing in {seconds} s")
    return loaded(server, connections, 2 * seconds)


def _first_answer(peer: Peer, target: load.Target, process: subprocess.Popen[bytes], deadline: float) -> bytes:
    while time.perf_counter() < deadline and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            status, content = ask(target)
            if status == 200:
                return content
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
