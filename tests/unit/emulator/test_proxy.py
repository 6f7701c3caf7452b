"""The proxy: Azure's names reach the emulator over TLS, all others go where they went before."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bankmlops.emulator.server import _bind
from bankmlops.emulator.web import proxy as proxy_module
from bankmlops.emulator.web.certificates import prepare_certificates
from bankmlops.emulator.web.proxy import Proxy
from bankmlops.emulator.web.proxy_settings import bypasses
from bankmlops.emulator.web.upstream import Upstream, find_upstream

HOSTS = {"management.azure.com", "mine.blob.core.windows.net"}


@asynccontextmanager
async def _echo(context: ssl.SSLContext | None = None, greeting: bytes = b"") -> AsyncIterator[int]:
    """A server that sends back what it gets, after its greeting; answers its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _proxy(https_port: int = 1, upstream: Upstream | None = None) -> AsyncIterator[int]:
    proxy = Proxy(https_port, lambda host: host in HOSTS, upstream or Upstream())
    listener = socket.create_server(("127.0.0.1", 0))
    async with await proxy.serve(listener):
        yield listener.getsockname()[1]


async def _ask(port: int, head: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30), reader, writer


def _connect(host: str, port: int) -> str:
    return f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"


async def _round(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: bytes) -> bytes:
    writer.write(content)
    writer.write_eof()
    got = await asyncio.wait_for(reader.read(-1), 30)
    writer.close()
    return got


def _run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_azures_names_reach_the_emulator(tmp_path: Path, host: str) -> None:
    """Through the tunnel a client that trusts the bundle alone speaks TLS with the emulator under Azure's name."""
    files = prepare_certificates(tmp_path, {})
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.server, files.server_key)
    trusting = ssl.create_default_context(cafile=str(files.bundle))

    async def test() -> None:
        async with _echo(context) as https_port, _proxy(https_port) as port:
            head, reader, writer = await _ask(port, _connect(host.upper(), 443))
            assert head.startswith(b"HTTP/1.1 200")
            await writer.start_tls(trusting, server_hostname=host)
            writer.write(b"over TLS")
            await writer.drain()
            assert await asyncio.wait_for(reader.readexactly(8), 30) == b"over TLS"
            writer.close()

    _run(test)


def test_all_else_goes_on(tmp_path: Path) -> None:
    """Another host is connected to as before, and every byte passes, both ways, to the end."""
    content = bytes(range(256)) * 8000

    async def test() -> None:
        async with _echo() as other, _proxy() as port:
            _, reader, writer = await _ask(port, _connect("localhost", other))
            assert await _round(reader, writer, content) == content

    _run(test)


def test_azures_name_on_another_port_is_not_ours(tmp_path: Path) -> None:
    """The emulator stands for port 443 alone; what else such a host may serve it does not take."""

    async def test() -> None:
        upstream = Upstream("http://127.0.0.1:9")
        async with _proxy(upstream=upstream) as port:
            head, _, _ = await _ask(port, _connect("management.azure.com", 8443))
            assert head.startswith(b"HTTP/1.1 502")

    _run(test)


def test_through_the_users_own_proxy() -> None:
    """With a proxy of the user's, other hosts are asked for there, with its credentials, except those that NO_PROXY names."""
    heads: list[str] = []

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nfrom beyond")
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(upstream, "127.0.0.1", 0) as server, _echo() as direct:
            address = f"http://me:p%40ss@127.0.0.1:{server.sockets[0].getsockname()[1]}"
            environ = {"HTTPS_PROXY": address, "NO_PROXY": "localhost"}
            async with _proxy(upstream=find_upstream(environ)) as port:
                _, reader, writer = await _ask(port, _connect("far.example", 443))
                assert await asyncio.wait_for(reader.read(-1), 30) == b"from beyond"
                writer.close()
                _, reader, writer = await _ask(port, _connect("localhost", direct))
                assert await _round(reader, writer, b"near") == b"near"

    _run(test)
    assert len(heads) == 1
    assert heads[0].startswith("CONNECT far.example:443 HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:p@ss').decode()}" in heads[0]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"", b"x" * 20_000])
def test_a_proxy_that_refuses(answer: bytes) -> None:
    """Where the user's proxy refuses, hangs up or talks nonsense, the client gets a 502 with the reason, and no secret."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(upstream, "127.0.0.1", 0) as server:
            address = f"http://me:hidden@127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with _proxy(upstream=Upstream(address)) as port:
                head, reader, _ = await _ask(port, _connect("far.example", 443))
                body = await asyncio.wait_for(reader.read(-1), 30)
                assert head.startswith(b"HTTP/1.1 502")
                assert b"far.example:443 can't be reached" in body
                assert b"hidden" not in head + body

    _run(test)


def test_a_host_that_is_not_there() -> None:
    """A refused connection and an unknown kind of proxy are a 502 that says so."""

    async def test() -> None:
        async with _proxy() as port:
            assert (await _ask(port, _connect("127.0.0.1", 1)))[0].startswith(b"HTTP/1.1 502")
        async with _proxy(upstream=Upstream("socks5://127.0.0.1:1")) as port:
            head, reader, _ = await _ask(port, _connect("far.example", 443))
            assert b"socks5" in await reader.read(-1)
            assert head.startswith(b"HTTP/1.1 502")

    _run(test)


@pytest.mark.parametrize(
    "host",
    [
        "dc.services.visualstudio.com",
        "westeurope-5.in.applicationinsights.azure.com",
        "eu-mobile.events.data.microsoft.com",
        "rt.services.visualstudio.com",
    ],
)
def test_telemetry_is_refused_at_once(host: str) -> None:
    """A telemetry host is a 403 without a look at the network, so that nothing waits for it."""

    async def test() -> None:
        async with _proxy(upstream=Upstream("http://127.0.0.1:9")) as port:
            assert (await _ask(port, _connect(host, 443)))[0].startswith(b"HTTP/1.1 403")

    _run(test)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET http://example.com/ HTTP/1.1\r\n\r\n", 405),
        ("CONNECT example.com HTTP/1.1\r\n\r\n", 405),
        ("CONNECT example.com:0 HTTP/1.1\r\n\r\n", 405),
        ("CONNECT example.com:99999 HTTP/1.1\r\n\r\n", 405),
        ("CONNECT a b:443 HTTP/1.1\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 405),
        ("CONNECT example.com:443 HTTP/1.1\r\nX: " + "y" * 40_000, 400),
    ],
)
def test_what_is_no_tunnel(head: str, status: int) -> None:
    """Plain requests, bad addresses, nonsense and endless headers get one answer and the connection's end."""

    async def test() -> None:
        async with _proxy() as port:
            answer, reader, _ = await _ask(port, head)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
            await asyncio.wait_for(reader.read(-1), 30)

    _run(test)


def test_a_client_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent away after a while, so that it holds nothing for ever."""
    monkeypatch.setattr(proxy_module, "HEAD_SECONDS", 0.05)

    async def test() -> None:
        async with _proxy() as port:
            assert (await _ask(port, "CONN"))[0].startswith(b"HTTP/1.1 408")

    _run(test)


def test_too_many_tunnels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a client is told to come back, and when a tunnel has ended there is room again."""
    monkeypatch.setattr(proxy_module, "MAX_TUNNELS", 1)

    async def test() -> None:
        async with _echo() as other, _proxy() as port:
            _, reader, writer = await _ask(port, _connect("localhost", other))
            assert (await _ask(port, _connect("localhost", other)))[0].startswith(b"HTTP/1.1 503")
            assert await _round(reader, writer, b"x") == b"x"
            for _ in range(200):
                head, _, _ = await _ask(port, _connect("localhost", other))
                if head.startswith(b"HTTP/1.1 200"):
                    return
                await asyncio.sleep(0.02)
            pytest.fail("there is no room again")

    _run(test)


def test_an_emulator_is_not_its_own_upstream() -> None:
    """In a shell that an emulator's variables were set in, the proxy that was there before counts, and not the emulator's."""
    ours = "http://127.0.0.1:4711"
    set_before = {
        "HTTPS_PROXY": ours,
        "https_proxy": ours,
        "BANKMLOPS_EMULATOR_UPSTREAM": "",
        "BANKMLOPS_EMULATOR_NO_PROXY": "a,b",
    }
    assert find_upstream(set_before) == Upstream("", ("a", "b"))
    assert find_upstream({"https_proxy": "http://p", "HTTPS_PROXY": "http://q"}).proxy == "http://p"
    assert find_upstream({"ALL_PROXY": "http://all"}).proxy == "http://all"
    assert "secret" not in repr(Upstream("http://me:secret@p"))


@pytest.mark.parametrize(
    ("entry", "host", "covered"),
    [
        ("*", "anything.example", True),
        ("example.com", "example.com", True),
        ("example.com", "www.example.com", True),
        (".example.com", "www.example.com", True),
        ("*.example.com", "www.example.com", True),
        ("example.com", "notexample.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("::1", "[::1]", True),
    ],
)
def test_no_proxy(entry: str, host: str, covered: bool) -> None:
    """NO_PROXY's entries are read as other programs read them."""
    assert bypasses(host, (entry,)) is covered


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """The listening sockets have TCP_NODELAY, which connections inherit: an answer's head and body would lie 40 ms apart."""
    (listener,) = _bind([0])
    with listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
