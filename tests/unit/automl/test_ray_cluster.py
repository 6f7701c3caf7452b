"""What a Ray cluster's address may be, and the one line for each thing that can be wrong with it."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from bankmlops.automl import ray_cluster, validate_config
from bankmlops.automl.engines import reachable_address
from bankmlops.automl.ray_cluster import check_reachable, resolve_address
from bankmlops.errors import BackendUnavailableError, InvalidRequestError
from bankmlops.types import Device, Engine
from unit.automl.tables import columns, config

TABLE = columns(20, 2)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether Ray is installed or not: nothing here imports it."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for package in ("ray", "grpc"):
        monkeypatch.setitem(sys.modules, package, sys)


@pytest.mark.parametrize("address", ["10.0.0.1:6379", "head.bank.example:6379", "[fd00::2]:6379", "ray://head:10001", "auto"])
def test_addresses(address: str) -> None:
    """A host and a port, a Ray client's address, or the word for this machine's cluster."""
    assert resolve_address(address) == address


@pytest.mark.parametrize(
    "address", ["head", "head:", "head:0", "head:65536", "http://head:8265", "ray://head", "local", "a b:1", "head:6379\n"]
)
def test_what_is_no_address(address: str) -> None:
    """Anything else is refused, and told what would serve."""
    with pytest.raises(InvalidRequestError, match=r"can't serve; HOST:PORT, ray://HOST:PORT or auto would serve"):
        resolve_address(address)


def test_the_environments_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own variable serves where no address is given; with neither there is a line that names both."""
    with pytest.raises(InvalidRequestError, match=r"needs a cluster's address \(or RAY_ADDRESS\)"):
        resolve_address("")
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert resolve_address("") == "ray://head:10001"
    assert resolve_address("auto") == "auto"


@pytest.mark.parametrize(
    ("package", "address", "missing"),
    [("ray", "head:6379", r"Ray \(bankmlops\[ray\]\)"), ("grpc", "ray://head:10001", r"grpcio for an address with ray://")],
)
def test_what_is_not_installed(package: str, address: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, or without what an address with ray:// takes, the line says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidRequestError, match=f"engine ray needs {missing}.*not installed"):
        resolve_address(address)


def test_nothing_listens() -> None:
    """Where nothing listens, that is known at once."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(BackendUnavailableError, match=f"no Ray cluster at {address}: Connection refused"):
            check_reachable(address)
    assert time.monotonic() - began < 10


def test_a_name_that_no_machine_can_have() -> None:
    """A host whose name can't be looked up is one line, too."""
    with pytest.raises(BackendUnavailableError, match=r"no Ray cluster at a{64}\.example:6379: no such name"):
        check_reachable("a" * 64 + ".example:6379")


def test_an_address_that_a_run_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is given the address that the environment had when it was asked for; a run here has none."""
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert reachable_address(config(TABLE, engine=Engine.RAY)) == "auto"
    assert reachable_address(config(TABLE)) == ""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"address": "head:6379"}, "address is a Ray cluster's, and the engine is local; set engine ray too"),
        ({"engine": Engine.RAY}, "engine ray needs a cluster's address"),
        ({"engine": Engine.RAY, "address": "head"}, "the Ray address 'head' can't serve"),
        ({"engine": Engine.RAY, "address": "auto", "device": Device.CUDA}, "device cuda: engine ray fits on processors alone"),
    ],
)
def test_configurations(fields: dict[str, object], message: str) -> None:
    """What can't serve is refused before anything starts."""
    with pytest.raises(InvalidRequestError, match=message):
        validate_config(config(TABLE, **fields))


class FakeRay:
    """Ray at our border: `init` raises these errors, one a call, and then connects."""

    def __init__(self, *errors: Exception) -> None:
        self.calls = 0
        self._errors = list(errors)

    def init(self, *_: object, **__: object) -> None:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)


@pytest.mark.parametrize(
    ("errors", "calls", "message"),
    [
        ([ConnectionAbortedError("gone")] * 2, 3, ""),
        ([ConnectionAbortedError("gone")] * 9, 3, "could be joined at ray://h:1: gone"),
        ([RuntimeError("refused")], 1, "could be joined at ray://h:1: refused"),
    ],
)
def test_a_start_that_ray_aborts(
    errors: list[Exception],
    calls: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is tried three times, each loss is in the log, the last is told; no other error is tried again."""
    monkeypatch.setattr(ray_cluster, "_PAUSE_SECONDS", 0.0)
    ray = FakeRay(*errors)
    if message:
        with pytest.raises(BackendUnavailableError, match=message):
            ray_cluster._join(ray, "ray://h:1")
    else:
        ray_cluster._join(ray, "ray://h:1")
    assert ray.calls == calls
    assert caplog.text.count("Ray aborted the start of a client") == sum(
        isinstance(e, ConnectionAbortedError) for e in errors[:3]
    )
