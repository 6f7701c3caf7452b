"""A PostgreSQL cluster of the tests' own, from Debian's package: on a free port, with a password, ended by its process id."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from support.waiting import wait_until

USER = "postgres"
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "max_connections=60",
    "log_min_messages=fatal",
)


class Cluster:
    """A server on a port of its own, which it keeps when it is stopped and started again."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None
        self.password = f"p@ss:/{secrets.token_hex(8)}"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, the password quoted in it."""
        return f"postgresql://{USER}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make a database, and answer its URL."""
        name = f"bank_{secrets.token_hex(4)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def make(self) -> None:
        """Make the cluster, and start it."""
        secret = self._folder / "password"
        secret.write_text(self.password)
        if os.geteuid() == 0:
            shutil.chown(self._folder, USER, USER)
            shutil.chown(secret, USER, USER)
        words = ("initdb", "--pgdata", "data", "--username", USER, "--auth", "scram-sha-256", "--pwfile", "password", "--no-sync")
        subprocess.run(self._as_nobody_special(*words), cwd=self._folder, check=True, capture_output=True, timeout=120)
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        words = self._as_nobody_special("postgres", "-D", "data", "-p", str(self.port), *settings)
        self._process = subprocess.Popen(words, cwd=self._folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, 60)

    def stop(self) -> None:
        """End it and every connection (idempotent)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _as_nobody_special(self, program: str, *words: str) -> Sequence[str]:
        """PostgreSQL refuses to run as root. It ends with the tests, however they end."""
        user = ["--reuid", USER, "--regid", USER, "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *user, "--pdeathsig", "INT", str(self._programs / program), *words]


@contextmanager
def postgres() -> Iterator[Cluster]:
    """A cluster that runs; a test is skipped where PostgreSQL is not installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not programs:
        pytest.skip("PostgreSQL is not installed: tests/install-system-packages")
    folder = Path(tempfile.mkdtemp(prefix="bankmlops-postgres-"))
    cluster = Cluster(folder, programs[-1])
    try:
        cluster.make()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
