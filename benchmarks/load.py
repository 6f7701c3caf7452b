"""Load on a port of this machine: by wrk where it is installed, else by `raw_client.py`; in a process of its own either way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import raw_client

_MARK = "FIGURES "
_GRACE_SECONDS = 60
_DONE = f"""
done = function(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  io.write(string.format("{_MARK}%d %d %d %d %d\\n",
    summary.requests, broken, summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked: a POST of `body` to a port of this machine. A key is among the headers, so they are in no repr."""

    port: int
    path: str
    body: bytes
    headers: Mapping[str, str] = field(repr=False)

    def content(self) -> bytes:
        """The request's bytes."""
        return raw_client.request("POST", self.path, self.headers, self.body)


def tool() -> str:
    """What puts the load."""
    return "wrk" if shutil.which("wrk") else "raw_client.py"


def put_load(target: Target, connections: int, seconds: int) -> dict[str, Any]:
    """Load for some seconds: requests, failed, requests_per_second, p50_ms, p99_ms."""
    return _wrk(target, connections, seconds) if tool() == "wrk" else _own(target, connections, seconds)


def _wrk(target: Target, connections: int, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bankmlops-wrk-") as folder:  # mode 0700: the script holds the key
        script = Path(folder) / "post.lua"
        headers = "".join(f"wrk.headers[{_lua(name)}] = {_lua(value)}\n" for name, value in target.headers.items())
        script.write_text(f'wrk.method = "POST"\nwrk.body = {_lua(target.body)}\n{headers}{_DONE}', encoding="ascii")
        options = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "20s", "-s", str(script)]
        output = _run(["wrk", *options, f"http://{raw_client.HOST}:{target.port}{target.path}"], "", seconds)
    line = next(line for line in output.splitlines() if line.startswith(_MARK))
    requests, failed, microseconds, p50, p99 = map(int, line.removeprefix(_MARK).split())
    rate = requests / (microseconds / 1e6)
    return {"requests": requests, "failed": failed, "requests_per_second": rate, "p50_ms": p50 / 1e3, "p99_ms": p99 / 1e3}


def _lua(text: str | bytes) -> str:
    """A Lua string of these bytes, whatever they are."""
    content = text.encode() if isinstance(text, str) else text
    return '"' + "".join(f"\\{byte:03d}" for byte in content) + '"'


def _own(target: Target, connections: int, seconds: int) -> dict[str, Any]:
    order = {"port": target.port, "content": target.content().decode("latin-1"), "connections": connections, "seconds": seconds}
    output = _run([sys.executable, raw_client.__file__], json.dumps(order), seconds)
    found: dict[str, Any] = json.loads(output)
    return found


def _run(command: list[str], stdin: str, seconds: int) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds + _GRACE_SECONDS, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
