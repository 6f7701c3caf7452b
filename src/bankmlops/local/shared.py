"""What changes where several machines share a workspace's folder: `BANKMLOPS_SHARED_WORKSPACE=1` on each of them says so.

A process id then means nothing without its machine, and SQLite's write-ahead log, which is memory that processes of one machine
share, gives way to a rollback journal, which needs no more than locks that work. `BANKMLOPS_MLFLOW_URI` names an MLflow server in
the place of the workspace's own store.
"""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from bankmlops.errors import InvalidRequestError

SHARED_VARIABLE, MLFLOW_VARIABLE = "BANKMLOPS_SHARED_WORKSPACE", "BANKMLOPS_MLFLOW_URI"


def is_shared() -> bool:
    """Whether other machines use the folder too."""
    return os.environ.get(SHARED_VARIABLE) == "1"


def own_host() -> str:
    """This machine's name; empty where there is but one."""
    return socket.gethostname() if is_shared() else ""


def is_foreign(host: str) -> bool:
    """Whether it is the name of another machine, of whose processes nothing can be told from here."""
    return is_shared() and host not in ("", own_host())


def mlflow_server() -> str:
    """The URL of the MLflow server; empty where the workspace has its own store.

    Raises `InvalidRequestError` for one that can't serve. A password in it would be in logs and tags: MLflow reads
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """
    url = os.environ.get(MLFLOW_VARIABLE, "")
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None):
        raise InvalidRequestError(
            f"{MLFLOW_VARIABLE} can't serve; give the server's address without a password: http://HOST:PORT"
        )
    return url
