"""The `bankmlops` command as a person runs it: a process of its own, in a folder and with a workspace of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

COMMAND = [sys.executable, "-m", "bankmlops"]


@dataclass
class CommandLine:
    """Runs commands in `folder` on `folder`/workspace."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def __call__(self, *words: object, stdin: str = "", timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, words)],
            cwd=self.folder,
            env=self.environment_of_commands(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *words: object, **options: Any) -> Any:
        """What the command prints with `--json`; the command must succeed."""
        done = self(*words, "--json", **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run_guide(self, commands: str) -> str:
        """What a block of shell commands prints; each must succeed."""
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self.environment_of_commands(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def start(self, *words: object) -> subprocess.Popen[str]:
        """The command, started; it is the leader of a process group and hears Ctrl-C."""
        return subprocess.Popen(
            [*COMMAND, *map(str, words)],
            cwd=self.folder,
            env=self.environment_of_commands(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[psutil.Process]:
        """Every process that has this folder in its arguments or its working folder, whoever started it."""
        return [process for process in psutil.process_iter() if process.pid != os.getpid() and self._names(process)]

    def end_processes(self) -> None:
        for process in self.processes():
            try:
                process.send_signal(signal.SIGKILL)
                process.wait(30)
            except psutil.NoSuchProcess:
                continue

    def _names(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return str(self.folder) in " ".join(process.cmdline()) or process.cwd().startswith(str(self.folder))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def environment_of_commands(self) -> dict[str, str]:
        return {**os.environ, "BANKMLOPS_WORKSPACE": str(self.workspace), "COLUMNS": "160", **self.environment}
