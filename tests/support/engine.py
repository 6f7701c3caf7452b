"""A container engine for the tests that need one, driven by its own command."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Engine:
    """A container engine that answers; `start` is what started it, with its state in `folder`."""

    environment: dict[str, str]
    folder: Path
    start: Path

    @property
    def is_ours(self) -> bool:
        """Whether it was started for these tests."""
        return self._pid_file.exists()

    def restart(self) -> None:
        """End it in order, and start it again."""
        self.end()
        self.script(self.start, self.folder)

    def end(self) -> None:
        """End it, where it was started for these tests."""
        if self.is_ours:
            os.kill(int(self._pid_file.read_text()), signal.SIGTERM)
            wait_until(lambda: not self.is_ours)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "dockerd.pid"

    def __call__(self, *words: str) -> str:
        return self.script("docker", *words)

    def log(self, name: str) -> str:
        """Both outputs of a container."""
        return self.script("sh", "-c", f"docker logs {name} 2>&1")

    def script(self, *words: object) -> str:
        """What a command prints that finds this engine and this Python; it must succeed."""
        done = subprocess.run(
            [str(word) for word in words], env=self.environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def wait_until_healthy(self, name: str) -> None:
        """Wait until the engine's own check of a container succeeds."""
        wait_until(lambda: self("inspect", "--format={{.State.Health.Status}}", name) == "healthy")


def wait_until(look: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until `look` answers something true; fail where it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
