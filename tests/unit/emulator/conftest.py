"""A real emulator behind a real HTTP server on a free port, in this process, without background work."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from bankmlops.emulator.app import create_app
from bankmlops.emulator.instance import Addresses, Emulator
from support.served_emulator import Served

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # plain HTTP: to read the authorities anew for each test would cost 50 ms


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, str]]:
    emulator = Emulator(tmp_path_factory.mktemp("emulator") / "state")
    config = uvicorn.Config(create_app(emulator), host="127.0.0.1", port=0, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    emulator.addresses = Addresses(port, 0, 0)
    yield emulator, emulator.base_url
    server.should_exit = True
    thread.join(10)
    emulator.close()


@pytest.fixture
def served(serving: tuple[Emulator, str]) -> Iterator[Served]:
    emulator, url = serving
    with httpx.Client(base_url=url, trust_env=False, timeout=30, verify=NO_TLS) as client:
        yield Served(emulator, client)
