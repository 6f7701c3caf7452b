"""How each operation goes to the cloud: quiet on stdout, its errors in our words, and tried again where it only reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from bankmlops.azure.errors import translated
from bankmlops.azure.quiet import quiet
from bankmlops.azure.retries import retried

P = ParamSpec("P")
T = TypeVar("T")


def writing(operation: Callable[P, T]) -> Callable[P, T]:
    """An operation that changes something, and so is asked for once: the SDK's own retries are all that it gets."""

    @wraps(operation)
    def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        with quiet(), translated():
            return operation(*args, **kwargs)

    return ask


def reading(operation: Callable[P, T]) -> Callable[P, T]:
    """An operation that changes nothing, and so is tried again when the cloud did not answer."""
    ask = writing(operation)

    @wraps(operation)
    def ask_again(*args: P.args, **kwargs: P.kwargs) -> T:
        return retried(lambda: ask(*args, **kwargs))

    return ask_again
