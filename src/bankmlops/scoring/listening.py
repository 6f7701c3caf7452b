"""The socket that the workers share: bound at the start, so that a busy port is told of; listening once workers can answer."""

from __future__ import annotations

import socket

from bankmlops.errors import ConflictError

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A socket with its address. Raises `ConflictError` where that can't be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        raise _refused(host, port, error) from error
    return listener


def listen(listener: socket.socket) -> None:
    """From now on connections come in. Raises `ConflictError` where somebody else was faster."""
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        host, port = listener.getsockname()[:2]
        raise _refused(host, port, error) from error


def port_of(listener: socket.socket) -> int:
    """The port that the socket is bound to."""
    return int(listener.getsockname()[1])


def _refused(host: str, port: int, error: OSError | OverflowError) -> ConflictError:
    reason = getattr(error, "strerror", None) or str(error)
    return ConflictError(f"port {port} of {host} can't be listened on: {reason}; another port, or 0, would serve")
