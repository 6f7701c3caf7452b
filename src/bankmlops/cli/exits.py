"""How a command ends: the exit code of each error, and its one line. README's table is this one."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from bankmlops.cli.interrupts import InterruptedBySignal
from bankmlops.cli.text import one_line
from bankmlops.errors import (
    AuthenticationError,
    BackendUnavailableError,
    BankMLOpsError,
    ConflictError,
    DeploymentFailedError,
    InvalidRequestError,
    NotFoundError,
    RunFailedError,
)

# Typer has no public name for the base of what is wrong with the words themselves.
usage_error: type[Exception] = typer.BadParameter.__mro__[1]

INTERNAL = 1
USAGE = 2
DRIFTED = 8  # `bankmlops monitor`: a finding, and no error
INTERRUPTED = 130
EXIT_CODES: dict[type[BankMLOpsError], int] = {
    InvalidRequestError: USAGE,
    NotFoundError: 3,
    ConflictError: 4,
    AuthenticationError: 5,
    RunFailedError: 6,
    DeploymentFailedError: 6,
    BackendUnavailableError: 7,
}


def exit_code(error: BankMLOpsError) -> int:
    """The code that a command ends with for this error."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), INTERNAL)


@contextmanager
def reported(*, debug: bool) -> Iterator[None]:
    """Say in one line on stderr what went wrong inside, and end with the code for it; with `debug` the traceback comes first."""
    try:
        yield
    except (typer.Exit, typer.Abort, usage_error):  # Typer's own ways of ending
        raise
    except BankMLOpsError as error:
        raise _failed(one_line(str(error)), exit_code(error), debug=debug) from error
    except KeyboardInterrupt as interrupt:
        code = interrupt.exit_code if isinstance(interrupt, InterruptedBySignal) else INTERRUPTED
        raise _failed("interrupted; what this command had started is taken down", code, debug=debug) from interrupt
    except Exception as error:
        missing = _missing_package(error)
        if missing:
            line = f"this needs the package {missing}, which is not installed: pip install 'bankmlops[local]'"
            raise _failed(line, USAGE, debug=debug) from error
        raise _internal(error, debug=debug) from error


def _missing_package(error: Exception) -> str:
    """The package that is not installed, where that is what went wrong; a module of our own is no such package."""
    name = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    return "" if name.partition(".")[0] == "bankmlops" else name


def report_usage(error: Exception) -> int:
    """The line for words that no command understands."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "bankmlops"
    message = one_line(str(error.format_message())).rstrip(".")  # type: ignore[attr-defined]
    sys.stderr.write(f"error: {message}; see {path} --help\n")
    return USAGE


def _internal(error: Exception, *, debug: bool) -> typer.Exit:
    line = f"internal error: {type(error).__name__}: {one_line(str(error))}"
    return _failed(line if debug else f"{line}; --debug shows where", INTERNAL, debug=debug)


def _failed(line: str, code: int, *, debug: bool) -> typer.Exit:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {line}\n")
    sys.stderr.flush()
    return typer.Exit(code)
