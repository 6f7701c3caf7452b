"""The emulator: how soon it serves, its own time a request, and eight genuine SDK clients at once: `make bench-emulator`.

Start-up is measured with a new state each time. A request's time is a raw client's on a kept-alive connection, over the calls of
small SDK sessions; the same client on a bare socket server says how much of that is the client and the loopback. Nothing else
should run on the machine meanwhile.

    python benchmarks/emulator.py --sessions 200 --clients 8 --out build/bench/emulator.json --write docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import bare_server
import figures
import sdk_calls
from raw_client import Connection, percentile, request

from bankmlops.emulator import launch
from bankmlops.emulator.home import Home, Running
from bankmlops.emulator.scripts.run_command import own_home
from bankmlops.emulator.surroundings import complete_environment

PACKAGES = ("bankmlops", "uvicorn", "starlette", "azureml-core")
WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/bench"
SDK_CLIENT = Path(__file__).with_name("sdk_client.py")
WARM_UP_SESSIONS = 3
METRICS = 20
CLIENT_SECONDS = 300
Figures = dict[str, Any]


def main() -> None:
    """Measure, and print the tables."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="bankmlops-bench-") as folder:
        document = {
            **figures.facts(PACKAGES),
            "starts": options.starts,
            "start": _starts(Path(folder), options.starts),
            **_served(Path(folder), options.sessions, options.clients),
        }
    figures.write_json(options.out, document)
    markdown = _markdown(document)
    print(markdown)
    if options.write:
        figures.write_block(options.write, "emulator", markdown)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=figures.whole_number(1, 20), default=5)
    parser.add_argument("--sessions", type=figures.whole_number(1, 5000), default=200, help="of the calls that are timed")
    parser.add_argument("--clients", type=figures.whole_number(1, 32), default=8, help="SDK clients at once")
    parser.add_argument("--out", type=Path, default=Path("build/bench/emulator.json"))
    parser.add_argument("--write", type=Path, help="put the tables into this page's block as well")
    return parser.parse_args()


def _starts(folder: Path, count: int) -> dict[str, list[float]]:
    """Seconds until it serves, each time in a new home: the call that starts it, and the whole command."""
    return {
        "launch.start": [_start(Home(folder / f"call-{number}"), _by_call) for number in range(count)],
        "bankmlops emulator start": [_start(Home(folder / f"command-{number}"), _by_command) for number in range(count)],
    }


def _start(home: Home, way: Any) -> float:
    started = time.perf_counter()
    try:
        way(home)
        seconds = time.perf_counter() - started
        _check_answers(home)
    finally:
        launch.stop(home)
    return seconds


def _by_call(home: Home) -> None:
    launch.start(home, launch.Options())


def _by_command(home: Home) -> None:
    words = [sys.executable, "-m", "bankmlops", "emulator", "start", "--state", str(home.folder)]
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True, timeout=120)


def _check_answers(home: Home) -> None:
    """Who says that it serves has to."""
    running = home.find()
    if running is None:
        raise SystemExit(f"no emulator runs in {home.folder}")
    with Connection(running.addresses.http_port) as connection:
        status = connection.exchange(request("GET", "/discovery", {})).status
    if status != 200:
        raise SystemExit(f"the emulator answers {status} right after its start")


def _served(folder: Path, sessions: int, clients: int) -> Figures:
    home = Home(folder / "served")
    with launch.own(home, launch.TIME_SCALE) as running:
        times = _request_times(running, sessions)
        with _bare_server() as port:
            bare = _bare_times(port, sum(map(len, times.values())))
        return {
            "sessions": sessions,
            "requests": _request_figures(times, bare),
            "clients": _clients(folder, home, running, clients),
        }


def _request_times(running: Running, sessions: int) -> dict[str, list[float]]:
    """Seconds of each call, by its kind."""
    times: dict[str, list[float]] = {}
    port = running.addresses.http_port
    with Connection(port) as connection:
        workspace = _workspace(running, connection)
        for number in range(-WARM_UP_SESSIONS, sessions):
            for call in sdk_calls.session(workspace, number):
                answer = connection.exchange(call.content)
                if answer.status >= 400:
                    raise SystemExit(f"{call.name}: {answer.status} {answer.body[:200]!r}")
                if number >= 0:
                    times.setdefault(call.name, []).append(answer.seconds)
    return times


def _workspace(running: Running, connection: Connection) -> sdk_calls.Workspace:
    """Tokens as the SDK gets them, the workspace's id, and the account of its default datastore."""
    identity = json.loads((running.state / "secrets.json").read_text(encoding="utf-8"))["msi"]
    token, storage_token = (_token(connection, identity, host) for host in ("management.azure.com", "storage.azure.com"))
    headers = {"Authorization": f"Bearer {token}"}
    found = json.loads(connection.exchange(request("GET", WORKSPACE, headers)).body)
    store = json.loads(connection.exchange(request("GET", f"/datastore/v1.0{WORKSPACE}/default", headers)).body)
    account = store["azureStorageSection"]["accountName"]
    return sdk_calls.Workspace(WORKSPACE, found["properties"]["workspaceId"], account, token, storage_token, identity)


def _token(connection: Connection, identity: str, host: str) -> str:
    path = f"/msi/{identity}/token?resource=https://{host}/"
    return str(json.loads(connection.exchange(request("GET", path, {})).body)["access_token"])


@contextmanager
def _bare_server() -> Iterator[int]:
    with subprocess.Popen([sys.executable, bare_server.__file__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _bare_times(port: int, count: int) -> list[float]:
    content = request("GET", WORKSPACE, {"Authorization": "Bearer " + "x" * 600})
    with Connection(port) as connection:
        return [connection.exchange(content).seconds for _ in range(count)]


def _request_figures(times: Mapping[str, Sequence[float]], bare: Sequence[float]) -> Figures:
    """Milliseconds; `own` is what is left of `whole` without the client's and the loopback's usual share."""
    every = [seconds for values in times.values() for seconds in values]
    share = statistics.median(bare)
    return {
        "count": len(every),
        "whole": _percentiles(every),
        "client": _percentiles(bare),
        "own": _percentiles([max(0.0, seconds - share) for seconds in every]),
        "by_call": {name: _percentiles(values) for name, values in times.items()},
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    rising = sorted(seconds)
    return {"p50_ms": percentile(rising, 50) * 1e3, "p99_ms": percentile(rising, 99) * 1e3}


def _clients(folder: Path, home: Home, running: Running, count: int) -> Figures:
    """SDK clients that begin at once, each a process of its own: the wall time until the last ended, and who failed."""
    environment = own_home(complete_environment(home, running, os.environ), str(folder / "user"))
    with ExitStack() as stack:
        clients = [_client(stack, number, environment, folder) for number in range(count)]
        for client in clients:
            assert client.stdout is not None  # noqa: S101
            client.stdout.readline()
        started = time.perf_counter()
        for client in clients:
            assert client.stdin is not None  # noqa: S101
            client.stdin.write("\n")
            client.stdin.flush()
        outputs = [client.communicate(timeout=CLIENT_SECONDS) for client in clients]
        wall = time.perf_counter() - started
    for client, (_, errors) in zip(clients, outputs, strict=True):
        if client.returncode != 0:
            print(errors.strip()[-2000:], file=sys.stderr)
    done = [_outcome(output) for client, (output, _) in zip(clients, outputs, strict=True) if client.returncode == 0]
    whole = [each for each in done if (each["status"], each["metrics"], len(each["files"])) == ("Completed", METRICS, 1)]
    seconds = [each["seconds"] for each in whole]
    return {"count": count, "failed": count - len(whole), "wall_s": wall, "median_s": statistics.median(seconds or [wall])}


def _client(stack: ExitStack, number: int, environment: Mapping[str, str], folder: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    words = [sys.executable, "-W", "ignore", str(SDK_CLIENT), str(number), str(METRICS)]
    client = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=dict(environment), cwd=folder)
    stack.enter_context(client)
    stack.callback(client.kill)
    return client


def _outcome(output: str) -> Figures:
    found: Figures = json.loads(output.splitlines()[-1])
    return found


def _markdown(document: Figures) -> str:
    found, clients = document["requests"], document["clients"]
    number = figures.number
    rows = [
        *([f"ready after `{name}`, new state", *_start_cells(values)] for name, values in document["start"].items()),
        ["its own time a request, p50", f"{number(found['own']['p50_ms'])} ms", f"{found['count']:,} requests, one at a time"],
        ["its own time a request, p99", f"{number(found['own']['p99_ms'])} ms", "the client's usual share taken off"],
        ["client and loopback, p50", f"{number(found['client']['p50_ms'])} ms", "a bare socket server, the same client"],
        [f"{clients['count']} SDK clients at once", f"{number(clients['wall_s'])} s", f"{clients['failed']} failed"],
    ]
    calls = [[name, *map(number, each.values())] for name, each in found["by_call"].items()]
    more = f"medians of {document['starts']} starts, {document['sessions']} sessions of calls over plain HTTP"
    tables = (figures.table(["what", "figure", "remark"], rows), figures.table(["call", "p50 ms", "p99 ms"], calls))
    return "\n\n".join([figures.caption(document, more), *tables])


def _start_cells(values: Sequence[float]) -> list[str]:
    return [f"{figures.number(statistics.median(values))} s", f"longest {figures.number(max(values))} s"]


if __name__ == "__main__":
    main()
