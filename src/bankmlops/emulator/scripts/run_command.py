"""Runs one command against an emulator: its environment, a HOME of its own, signals passed on, its exit code handed back."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from bankmlops.errors import InvalidRequestError, NotFoundError

_FORWARDED = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_WAIT_SECONDS = 0.2
_SI_KERNEL = 0x80  # a terminal's Ctrl-C, which the kernel has sent to the command as well


def run_to_end(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run it with this process's input and outputs, and answer its exit code; 128 + N where signal N ended it.

    Raises `NotFoundError` where there is no such command, `InvalidRequestError` where it can't be run.
    """
    early: list[int] = []
    # A handler, unlike SIG_IGN, is not inherited by the command.
    handlers = {number: signal.signal(number, lambda number, _: early.append(number)) for number in _FORWARDED}
    try:
        with _start(command, environment) as process:
            code = _wait(process, early)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(list(command), env=dict(environment))
    except FileNotFoundError as error:
        raise NotFoundError(f"{command[0]}: there is no such command") from error
    except OSError as error:
        raise InvalidRequestError(f"{command[0]} can't be run: {error.strerror or error}") from error


def _wait(process: subprocess.Popen[bytes], early: Sequence[int]) -> int:
    """Pass on the signals that arrive, and those that came `early`, before this began."""
    watched = _FORWARDED | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        for number in early:
            process.send_signal(number)
        while process.poll() is None:
            arrived = signal.sigtimedwait(watched, _WAIT_SECONDS)
            if arrived is not None and arrived.si_signo in _FORWARDED and arrived.si_code != _SI_KERNEL:
                process.send_signal(arrived.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process.returncode


def own_home(environment: Mapping[str, str], folder: str) -> dict[str, str]:
    """The environment with another HOME, so that the SDK's caches and the user's never meet."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return {**environment, "HOME": folder}
