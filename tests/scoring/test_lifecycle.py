"""How the scoring process starts, refuses to start, reads its file anew, and ends, while others ask it for predictions."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from bankmlops.insights.traces import read_traces
from bankmlops.scoring.refusal import RefusedError
from bankmlops.scoring.service import ServiceFile, read_service
from support.bundles import OLD, PRIMARY, SECONDARY, YOUNG, write_bundle, write_service
from support.scoring_server import ScoringProcess, launch, read_answers, read_to_end, request

pytestmark = pytest.mark.slow
BODY = json.dumps({"data": [YOUNG, OLD]}).encode()
LARGE = b'{"data":[' + b",".join([json.dumps(YOUNG).encode()] * 20_000) + b"]}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScoringProcess]:
    with ScoringProcess.start(tmp_path) as server:
        yield server


@contextmanager
def _load(ask: Callable[[], object], threads: int) -> Iterator[Counter[object]]:
    """Ask again and again from several threads while the block runs; counts the outcomes."""
    outcomes: Counter[object] = Counter()
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            outcomes[ask()] += 1

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield outcomes
    finally:
        over.set()
        for worker in workers:
            worker.join(60)


def _ask(port: int, body: bytes, key: str = PRIMARY) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request(body, key=key))
        return read_answers(connection, 1)[0][0]


def test_ready_file(server: ScoringProcess) -> None:
    """ready.json names the process and its port, is the owner's alone, and goes when the service goes."""
    path = server.folder / "ready.json"
    document = json.loads(path.read_text())
    assert document["pid"] == server.process.pid
    assert abs(document["started"] - time.time()) < 60
    assert path.stat().st_mode & 0o777 == 0o600
    server.process.terminate()
    assert server.process.wait(30) == 0
    assert not path.exists()


def test_orderly_end(server: ScoringProcess) -> None:
    """After SIGTERM it is not ready at once, finishes what it was asked, closes each connection, and exits with 0."""
    idle, busy = server.connect(), server.connect()
    idle.sendall(request(BODY))
    read_answers(idle, 1)
    busy.sendall(request(LARGE))
    time.sleep(0.05)
    server.process.terminate()
    _wait(lambda: server.get("/health/ready").status_code == 503)
    late = server.score(BODY)
    assert (late.status_code, late.headers["connection"]) == (200, "close")
    assert server.get("/").text == "Healthy"
    assert read_answers(busy, 1)[0][0] == 200
    assert read_to_end(idle) == b""
    assert server.process.wait(30) == 0
    assert server.log.splitlines()[-1].endswith("INFO stopped")


def test_end_under_load(tmp_path: Path) -> None:
    """No request fails of those that come before the service was seen not to be ready, large ones included."""
    with ScoringProcess.start(tmp_path, limits={"linger_seconds": 1.5}) as server:
        port = server.port
        with _load(lambda: _ask(port, BODY), 3) as small, _load(lambda: _ask(port, LARGE), 1) as large:
            time.sleep(0.5)
            server.process.terminate()
            _wait(lambda: server.get("/health/ready").status_code == 503)
        assert server.process.wait(30) == 0
    assert (set(small), set(large)) == ({200}, {200})
    assert small[200] > 20


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_second_signal(tmp_path: Path, end: signal.Signals) -> None:
    """Whoever is in a hurry sends the signal twice."""
    with ScoringProcess.start(tmp_path, limits={"linger_seconds": 60}) as server:
        server.process.send_signal(end)
        _wait(lambda: server.get("/health/ready").status_code == 503)
        server.process.send_signal(end)
        assert server.process.wait(10) == 0


def test_killed(server: ScoringProcess) -> None:
    """A process that is killed leaves a service folder that the next one starts from."""
    server.process.kill()
    server.process.wait(10)
    again = launch(server.folder)
    try:
        _wait(lambda: json.loads((server.folder / "ready.json").read_text())["pid"] == again.pid)
        assert server.score(BODY).status_code == 200
    finally:
        again.kill()
        again.wait(10)


def test_rotation_under_load(server: ScoringProcess) -> None:
    """While keys are rotated under load no valid request is refused, and the old key opens nothing once the new one is there."""
    keys = [PRIMARY]

    port = server.port
    with _load(lambda: _ask(port, BODY, SECONDARY), 2) as outcomes:
        for number in range(30):
            fresh = f"rotated-primary-key-{number:04d}"
            write_service(server.folder, primary_key=fresh)
            assert server.score(BODY, fresh).status_code == 200
            assert server.score(BODY, keys[-1]).status_code == 403
            keys.append(fresh)
    assert set(outcomes) == {200}


def test_a_key_of_this_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However lately the file was looked at, a key that is in it opens, and one that never was there does not."""
    monkeypatch.setattr("bankmlops.scoring.service._LOOK_SECONDS", 60.0)
    write_service(tmp_path)
    service_file = ServiceFile(tmp_path / "service.json")
    assert service_file.authenticate(f"Bearer {PRIMARY}".encode()) == "Primary"
    write_service(tmp_path, primary_key="another-primary-key-of-now")
    assert service_file.authenticate(b"Bearer another-primary-key-of-now") == "Primary"
    for key in (PRIMARY, "no-key-of-this-endpoint"):
        with pytest.raises(RefusedError, match="not one of this endpoint's keys"):
            service_file.authenticate(f"Bearer {key}".encode())


def test_broken_replacement(server: ScoringProcess) -> None:
    """A broken service.json is told of once and changes nothing; the next good one counts."""
    broken = server.folder / "broken.json"
    broken.write_text("{")
    broken.replace(server.folder / "service.json")
    for _ in range(3):
        assert server.score(BODY).status_code == 200
    (server.folder / "service.json").unlink()
    assert server.score(BODY).status_code == 200
    assert server.log.count("the settings stay as they were") == 2
    write_service(server.folder, auth_enabled=False, name="renamed")
    assert server.score(BODY, None).status_code == 200
    assert server.get("/swagger.json").json()["info"]["title"] == "renamed"


def test_keys_are_compared_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever key is given, or none of them, its digest is compared with both, by what takes as long wherever they differ."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    write_service(tmp_path)
    service = read_service(tmp_path / "service.json")
    monkeypatch.setattr("hmac.compare_digest", compare)
    for key, name in ((PRIMARY, "Primary"), (SECONDARY, "Secondary"), ("no-key-of-this-endpoint", None)):
        if name:
            assert service.authenticate(f"Bearer {key}".encode()) == name
        else:
            with pytest.raises(RefusedError):
                service.authenticate(f"Bearer {key}".encode())
        assert compared == [(bytes.fromhex(_sha256(key)), bytes.fromhex(_sha256(each))) for each in (PRIMARY, SECONDARY)]
        compared.clear()


def test_times_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own messages bear the time in UTC as requests do, wherever it runs, so who reads them may be elsewhere."""
    monkeypatch.setenv("TZ", "AWAY-9")
    with ScoringProcess.start(tmp_path) as server:
        assert server.score(BODY).status_code == 200
        _wait(lambda: "POST /score 200" in server.log)
        monkeypatch.delenv("TZ")
        traces = read_traces(server.log.splitlines())
    now = datetime.now(UTC).replace(tzinfo=None)
    assert {" serves model " in trace.message for trace in traces} == {True, False}
    assert all(trace.timestamp and abs(now - trace.timestamp) < timedelta(minutes=5) for trace in traces), server.log


def test_digests_instead_of_keys(tmp_path: Path) -> None:
    """The file may give the keys' SHA-256 digests, so that the process never has the keys."""
    digests = {
        "primary_key_sha256": "ec8f2cfe58be1d2a8b1bd2a0e4e4ab6f7f4e2eb8ab7d8f8f4a4f8d6a6d2f1a11",
        "secondary_key_sha256": _sha256(SECONDARY),
    }
    with ScoringProcess.start(tmp_path, primary_key=None, secondary_key=None, **digests) as server:
        assert server.score(BODY, SECONDARY).status_code == 200
        assert server.score(BODY, PRIMARY).status_code == 403


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model" / "model.onnx").write_bytes(b"x"), "sha256 differs"),
        (lambda folder: (folder / "model" / "model.json").unlink(), "model.json can't be read"),
        (lambda folder: (folder / "service.json").write_text("[]"), "not a JSON object"),
        (lambda folder: write_service(folder, primary_key="short"), "primary_key must be a text of at least 16"),
        (lambda folder: write_service(folder, limits={"rows": 0}), "rows must be a positive whole number"),
    ],
)
def test_refuses_to_start(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    """What can't be served is an exit code of 1 and one line that says why; nothing listens and no key is in the line."""
    write_bundle(tmp_path / "model")
    write_service(tmp_path)
    spoil(tmp_path)
    process = launch(tmp_path)
    assert process.wait(60) == 1
    log = (tmp_path / "log").read_text()
    assert message in log
    assert len(log.splitlines()) == 1
    assert PRIMARY not in log
    assert "short" not in log
    assert not (tmp_path / "ready.json").exists()


def test_busy_port(server: ScoringProcess, tmp_path: Path) -> None:
    """A port that is taken is one line that names it."""
    other = tmp_path / "other"
    write_bundle(other / "model")
    write_service(other)
    process = launch(other, "--port", str(server.port))
    assert process.wait(60) == 1
    (line,) = (other / "log").read_text().splitlines()
    assert f"port {server.port} of 127.0.0.1 can't be listened on" in line


def test_unwritable_folder(tmp_path: Path) -> None:
    """Where nothing can be written beside the model, as in a read-only container, it serves all the same."""
    write_bundle(tmp_path / "model")
    write_service(tmp_path, app_insights=True)
    (tmp_path / "ready.partial").mkdir()  # stands in the way of ready.json, whoever one is
    (tmp_path / "telemetry.jsonl").mkdir()
    process = launch(tmp_path)
    try:
        _wait(lambda: "on port " in (tmp_path / "log").read_text())
        assert "ready.json can't be written" in (tmp_path / "log").read_text()
        port = int((tmp_path / "log").read_text().split("on port ")[1].split()[0])
        answer = httpx.post(f"http://127.0.0.1:{port}/score", content=BODY, headers={"Authorization": f"Bearer {PRIMARY}"})
        assert answer.status_code == 200
        _wait(lambda: "telemetry.jsonl can't be written" in (tmp_path / "log").read_text())
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()


def test_no_pickle(tmp_path: Path) -> None:
    """Once the service's command has begun, the interpreter refuses to load a pickle that names anything."""
    program = (
        "import pickle, sys; from bankmlops.scoring.__main__ import main\n"
        "assert main() == 1\n"
        "try:\n    pickle.loads(sys.stdin.buffer.read())\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    arguments = [sys.executable, "-c", program, "--service-dir", str(tmp_path)]
    done = subprocess.run(arguments, input=pickle.dumps(os.path.join), capture_output=True, check=True)
    assert b"posixpath.join was refused" in done.stdout


def test_nothing_leaves_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service, and the runtime in it, write nothing to the home folder and connect to nobody."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with ScoringProcess.start(tmp_path / "service") as server:
        assert server.score(BODY).status_code == 200
        time.sleep(0.5)
        assert server.score(LARGE).status_code == 200
        assert server.post("/explain", BODY).status_code == 200
        supervisor = psutil.Process(server.process.pid)
        family = [supervisor, *supervisor.children(recursive=True)]
        assert len(family) == 6, "a worker, and what reads large requests and explains beside it"
        connections = [connection for process in family for connection in process.net_connections()]
        assert {connection.laddr.ip for connection in connections} == {"127.0.0.1"}
        assert {connection.laddr.port for connection in connections} == {server.port}, "nobody is called by it"
    assert not list(home.rglob("*"))


def test_service_hides_its_keys(tmp_path: Path) -> None:
    """Of the keys the service holds digests, which its repr does not show."""
    write_service(tmp_path)
    service = read_service(tmp_path / "service.json")
    assert service.primary == bytes.fromhex(_sha256(PRIMARY))
    assert "primary" not in repr(service)


def _sha256(text: str) -> str:
    done = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True)
    return done.stdout.split()[0].decode()


def _wait(look: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if look():
                return
        except (OSError, ValueError):
            pass
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
