"""The Ray cluster that a run asks for: what its address may be, and a connection to it that ends with the run.

Ray is an extra, and slow to import: only a run on a cluster does.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from bankmlops.automl.executor import ONE_THREAD
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, ConflictError, InvalidRequestError

_LOG = logging.getLogger(__name__)
AUTO = "auto"
ADDRESS_VARIABLE = "RAY_ADDRESS"
JOIN_SECONDS = 120.0  # the client of a machine outside starts two processes on the cluster: half a minute on a busy one
_REACH_SECONDS = 3.0
_ATTEMPTS, _PAUSE_SECONDS = 3, 2.0
_ADDRESS = re.compile(r"(?P<client>ray://)?(?P<host>[\w.-]{1,253}|\[[0-9a-fA-F:.]+\]):(?P<port>[1-9]\d{0,4})", re.ASCII)
_SERVES = f"HOST:PORT, ray://HOST:PORT or {AUTO} would serve"


def resolve_address(address: str) -> str:
    """The address, or where it is empty that of the environment's RAY_ADDRESS.

    Raises `InvalidRequestError` for one that can't serve, or where what it needs is not installed.
    """
    found = address or os.environ.get(ADDRESS_VARIABLE, "")
    if not found:
        raise InvalidRequestError(f"engine ray needs a cluster's address (or {ADDRESS_VARIABLE}): {_SERVES}")
    matched = _ADDRESS.fullmatch(found)
    if found != AUTO and (matched is None or int(matched["port"]) >= 1 << 16):
        raise InvalidRequestError(f"the Ray address {found[:100]!r} can't serve; {_SERVES}")
    _check_installed("ray")
    if matched and matched["client"]:
        _check_installed("grpc")
    return found


def _check_installed(package: str) -> None:
    if find_spec(package) is None:
        raise InvalidRequestError(f"engine ray needs {_INSTALLED_BY[package]}, which is not installed here")


_INSTALLED_BY = {"ray": "Ray (bankmlops[ray])", "grpc": "grpcio for an address with ray:// (ray[client])"}


def check_reachable(address: str) -> None:
    """Raise `BackendUnavailableError` where nothing listens at a resolved address; which server it is shows when joining."""
    matched = _ADDRESS.fullmatch(address)
    if matched is None:  # auto: Ray looks for a cluster of this machine
        return
    try:
        socket.create_connection((matched["host"].strip("[]"), int(matched["port"])), _REACH_SECONDS).close()
    except (OSError, UnicodeError) as error:  # the second of a name that no machine can have
        reason = getattr(error, "strerror", "no such name") or "no answer"
        raise BackendUnavailableError(f"no Ray cluster at {address}: {reason}; is it started, and the address right?") from None


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """The module `ray`, connected to the cluster at a resolved address; whatever happens, the connection ends with the block.

    Raises `BackendUnavailableError` where there is none within `JOIN_SECONDS`, `InvalidRequestError` where its versions are
    others, `ConflictError` where this process is connected to one.
    """
    check_reachable(address)
    ray = _import_ray()
    if ray.is_initialized():
        raise ConflictError("this process is connected to a Ray cluster already; ray.shutdown() ends that")
    try:
        _join(ray, address)
        yield ray
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    """Ray, which is to be quiet and to report nothing to its makers."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # or a call after the connection is lost starts or joins another cluster
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of a change to come
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


def _join(ray: Any, address: str) -> None:
    """Connect in a thread of its own: that bounds the time, and `ray.init` leaves the SIGTERM of this process alone."""
    joining = _Joining(ray, address)
    joining.start()
    joining.join(JOIN_SECONDS)
    if joining.is_alive():
        joining.abandoned.set()
        raise BackendUnavailableError(
            f"no Ray cluster could be joined at {address} in {JOIN_SECONDS:.0f} s; where this machine is none of its own, "
            "ray://HOST:10001 would serve"
        )
    if joining.error is not None:
        raise _translated(joining.error, address) from joining.error


class _Joining(threading.Thread):
    def __init__(self, ray: Any, address: str) -> None:
        super().__init__(name="join-ray", daemon=True)
        self.abandoned = threading.Event()
        self.error: Exception | None = None
        self._ray = ray
        self._address = address

    def run(self) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt and self.abandoned.wait(_PAUSE_SECONDS):
                break
            self.error = self._attempt()
            if not isinstance(self.error, ConnectionAbortedError):
                break
            _LOG.warning("Ray aborted the start of a client, attempt %d of %d: %s", attempt + 1, _ATTEMPTS, one_line(self.error))
        if self.abandoned.is_set():
            self._ray.shutdown()

    def _attempt(self) -> Exception | None:
        """One that Ray aborts may be tried again: its proxy can fail over the process that it starts for a client."""
        try:
            self._ray.init(
                self._address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": dict(ONE_THREAD)},
            )
        except Exception as error:  # of whatever kind: Ray names none, and the caller has to hear of it
            return error
        return None


def _translated(error: Exception, address: str) -> BankMLOpsError:
    reason = one_line(error)
    if "version mismatch" in reason.lower():
        return InvalidRequestError(f"the Ray cluster at {address} needs the same Python and Ray as this machine: {reason}")
    return BackendUnavailableError(f"no Ray cluster could be joined at {address}: {reason}")


def one_line(error: Exception) -> str:
    """What a foreign error says, on one line of bounded length."""
    return " ".join(str(error).split())[:300] or type(error).__name__
