"""A container engine on this machine, asked through its own command: Docker, or Podman, which takes the same words.

Every question is bounded in time, and a command that does not come back is ended with all that it started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from bankmlops.errors import BackendUnavailableError

SETTING = "BANKMLOPS_CONTAINER_ENGINE"
NONE = "none"
KNOWN = ("docker", "podman")
PROBE_SECONDS = 5.0
ANSWER_SECONDS = 30.0
_HINTS = ("See 'docker", "Run 'docker")
_VERSIONS = {"docker": "{{.Server.Version}}", "podman": "{{.Client.Version}}"}


class Output(NamedTuple):
    """A command's exit code, and what it wrote to standard output and to standard error."""

    code: int
    printed: str
    complained: str


@dataclass(frozen=True, slots=True)
class ContainerEngine:
    """An engine that answered. `command` is what it is asked with, `version` what it said of itself."""

    command: str
    version: str = ""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.command} {self.version}".strip()

    def __call__(self, *words: str, seconds: float = ANSWER_SECONDS) -> str:
        """What the engine answers. Raises `BackendUnavailableError` with the last line that it complained of."""
        return self._asked(words, seconds).printed.strip()

    def log(self, container: str, lines: int) -> list[str]:
        """The newest lines that a container wrote: to standard output, and after those to standard error."""
        output = self._asked(("logs", "--tail", str(lines), container), ANSWER_SECONDS)
        return [*output.printed.splitlines(), *output.complained.splitlines()][-lines:]

    def has_image(self, image: str) -> bool:
        """Whether the image is on this machine."""
        return bool(self("images", "--quiet", image))

    def has_container(self, name: str) -> bool:
        """Whether there is a container of exactly this name, running or not."""
        return bool(self("ps", "--all", "--quiet", "--filter", f"name=^{name}$"))

    def _asked(self, words: Sequence[str], seconds: float) -> Output:
        try:
            output = run_bounded([self.command, *words], seconds, self.environment)
        except TimeoutError:
            raise BackendUnavailableError(f"{self.command} {words[0]} did not end within {seconds:g} s; try again") from None
        except OSError as error:
            raise BackendUnavailableError(f"{self.command} can't be run: {error.strerror}") from None
        if output.code != 0:
            complaint = last_line(output.complained) or f"exit code {output.code}"
            raise BackendUnavailableError(f"{self.command} {words[0]}: {complaint}")
        return output


def find_engine(environ: Mapping[str, str] = os.environ) -> ContainerEngine | None:
    """The first engine that answers within `PROBE_SECONDS`; None where none does.

    `BANKMLOPS_CONTAINER_ENGINE` names the one to ask (docker or podman), or forbids to look (none).
    """
    named = environ.get(SETTING, "")
    for command in KNOWN if not named else [named] if named in KNOWN else []:
        if shutil.which(command, path=environ.get("PATH")):
            with suppress(BackendUnavailableError):
                engine = ContainerEngine(command, environment=dict(environ))
                version = engine("version", "--format", _VERSIONS[command], seconds=PROBE_SECONDS)
                return ContainerEngine(command, version, engine.environment)
    return None


def run_bounded(command: Sequence[str], seconds: float, environ: Mapping[str, str] | None = None) -> Output:
    """Run a command to its end. Raises `TimeoutError`, and `OSError` where it can't be started.

    Whatever ends the wait ends the command and all that it started: none of them hears the terminal's Ctrl-C.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        printed, complained = process.communicate(timeout=seconds)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimeoutError from None
        raise
    return Output(process.returncode, printed, complained)


def last_line(text: str) -> str:
    """The last line that says something: the hint where help can be had does not."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_HINTS)]
    return lines[-1] if lines else ""
