"""Where trials run, on a cluster: each is a Ray task on whichever machine has a free processor. No disk is shared.

The table goes into Ray's object store once, and from there to each machine that needs it once. What a task leaves comes back as
an object, and is written into the run's folder here, as if a process of this machine had left it there.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy

from bankmlops.automl.algorithms import NETWORK
from bankmlops.automl.network.library import preload_network
from bankmlops.automl.nursery import import_learners
from bankmlops.automl.ray_cluster import joined, one_line, resolve_address
from bankmlops.automl.tasks import FitResult, FitTask, estimator_path, graph_path, perform, read_result, write_result
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, InvalidRequestError, RunFailedError

Array = numpy.ndarray[Any, Any]

GREETING_SECONDS = 60.0  # for a machine to start a process and say what is installed there
_STRAGGLER_SECONDS = 5.0  # for the others after it; or as long again as it took
FETCH_SECONDS = 60.0  # for what a task left to come here
# What writes and reads the same files on every machine.
LEARNERS = ("bankmlops", "lightgbm", "numpy", "scikit-learn", "xgboost-cpu")
_LOG = logging.getLogger(__name__)
_DIED = "its process died (killed, out of memory, or its machine is gone)"


@contextmanager
def ray_tasks(
    address: str, folder: Path, table: tuple[Array, Array, Array], packages: Sequence[str] = LEARNERS
) -> Iterator[RayExecutor]:
    """An executor over the cluster at `address`; its tasks and the connection end with the block.

    `folder` takes what tasks leave; `table` is matrix, labels and folds; `packages` are to be the same on every machine. Raises
    `InvalidRequestError` for an address that can't serve or a cluster with other versions, `BackendUnavailableError` where none
    answers in a bounded time, `RunFailedError` where the cluster has no room for the table.
    """
    with joined(resolve_address(address)) as ray:
        with _connection_errors(ray):
            machines = _greeted(ray, _machines(ray), packages)
        executor = RayExecutor(ray, folder, machines, table)
        try:
            yield executor
        finally:
            executor.end()


@dataclass(frozen=True, slots=True)
class Machine:
    """One of the cluster's: its node's id, its address, and how many processors it offers."""

    id: str
    host: str
    processors: int


@dataclass(frozen=True, slots=True)
class Leavings:
    """What a task leaves: its result, and of a fit on all rows the estimator's file and its graph's."""

    result: FitResult
    estimator: bytes
    graph: bytes


class RayExecutor:
    """An `Executor` over the `machines` of the cluster that `ray` is connected to; `table` is matrix, labels and folds."""

    def __init__(self, ray: Any, folder: Path, machines: Sequence[Machine], table: tuple[Array, Array, Array]) -> None:
        self._ray = ray
        self._folder = folder
        self._perform = ray.remote(_perform)
        self._table = _stored(ray, table)
        self._slots = sum(machine.processors for machine in machines)
        self._running: dict[str, _Running] = {}

    @property
    def slots(self) -> int:
        """How many tasks run at once: one a processor of the cluster, as it was when the run began."""
        return self._slots

    @property
    def running(self) -> int:
        """How many tasks have begun and not ended."""
        return len(self._running)

    def submit(self, task: FitTask) -> None:
        """Begin the task, with one thread: of several processors of one machine others may leave none free for hours."""
        fitting = replace(task, threads=1)
        with _connection_errors(self._ray):
            promise = self._perform.options(num_cpus=1, max_retries=0).remote(fitting, self._table)
        self._running[task.name] = _Running(task, promise, time.perf_counter())

    def kill(self, task: FitTask) -> None:
        """End its process at once; it is not heard of again."""
        running = self._running.pop(task.name, None)
        if running is not None:
            with _connection_errors(self._ray):
                self._ray.cancel(running.promise, force=True)

    def next_ended(self, timeout_seconds: float) -> tuple[FitTask, FitResult] | None:
        """A task that ended, with what it left; one whose process or machine died has the error that says so.

        Raises `OSError` where the disk here refuses what it left, `RunFailedError` where the cluster is lost.
        """
        if not self._running:
            return None
        with _connection_errors(self._ray):
            ended, _ = self._ray.wait([each.promise for each in self._running.values()], timeout=timeout_seconds)
            if not ended:
                return None
            running = next(each for each in self._running.values() if each.promise == ended[0])
            del self._running[running.task.name]
            left = self._fetch(running)
        if isinstance(left, FitResult):
            return running.task, left
        _write(self._folder, running.task, left)
        own = left.result.probabilities.copy()  # as it came, it lies in the object store, which goes with the connection
        return running.task, replace(left.result, probabilities=own)

    def end(self) -> None:
        """Kill what still runs. A cluster that is gone has nothing to kill."""
        try:
            for running in list(self._running.values()):
                self.kill(running.task)
        except RunFailedError:
            self._running.clear()

    def _fetch(self, running: _Running) -> Leavings | FitResult:
        try:
            return self._ray.get(running.promise, timeout=FETCH_SECONDS)  # type: ignore[no-any-return]
        except self._ray.exceptions.RayTaskError as error:
            reason = one_line(error.cause if isinstance(error.cause, Exception) else error)
        except self._ray.exceptions.RayError:
            reason = _DIED
        seconds = time.perf_counter() - running.began
        return FitResult(seconds, cpu_seconds=seconds, error=reason)


@dataclass(frozen=True, slots=True)
class _Running:
    task: FitTask
    promise: Any
    began: float


@contextmanager
def _connection_errors(ray: Any) -> Iterator[None]:
    try:
        yield
    except BankMLOpsError:
        raise
    except Exception as error:  # a client that was cut off raises nothing more special
        if ray.is_initialized() and not isinstance(error, ConnectionError | ray.exceptions.RayError):
            raise
        raise RunFailedError(f"the connection to the Ray cluster was lost: {one_line(error)}") from None


def _stored(ray: Any, table: tuple[Array, Array, Array]) -> Any:
    with _connection_errors(ray):
        try:
            return ray.put(table)
        except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError):
            size = sum(array.nbytes for array in table) / 1e6
            raise RunFailedError(
                f"the table ({size:.0f} MB) does not fit the cluster's object store; sample it or give Ray more "
                "--object-store-memory"
            ) from None


def _write(folder: Path, task: FitTask, left: Leavings) -> None:
    """The result last: whoever finds it finds all."""
    for path, content in ((estimator_path(folder, task), left.estimator), (graph_path(folder, task), left.graph)):
        if content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    write_result(folder, task, left.result)


def _perform(task: FitTask, table: tuple[Array, Array, Array]) -> Leavings:
    """Do the task in a process of whichever machine this is. Its folder is made at the end of the fit, and gone after it."""
    os.umask(0o077)
    import_learners()
    if task.algorithm == NETWORK.name:
        preload_network()
    folder = Path(tempfile.gettempdir(), f"bankmlops-{uuid4().hex}")
    try:
        perform(folder, task, *table)
        result = read_result(folder, task)
        if result is None:
            raise RuntimeError(f"{task.name} left no result")
        return Leavings(result, _content(estimator_path(folder, task)), _content(graph_path(folder, task)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _machines(ray: Any) -> Sequence[Machine]:
    nodes = [node for node in ray.nodes() if node["Alive"]]
    machines = [Machine(node["NodeID"], node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0))) for node in nodes]
    if working := [machine for machine in machines if machine.processors]:
        return working
    raise InvalidRequestError("the Ray cluster offers no processor; start a node with --num-cpus 1 or more")


def _greeted(ray: Any, machines: Sequence[Machine], packages: Sequence[str]) -> Sequence[Machine]:
    """Those machines that answer what is installed there; one with other packages would only draw trials to fail them.

    It is the run's time that they take to answer, so that after the first one the others have little.
    Raises `InvalidRequestError` where there is such a one, `BackendUnavailableError` where none answers.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(_installed)
    asked = {}
    for machine in machines:
        there = NodeAffinitySchedulingStrategy(machine.id, soft=False)
        asked[ask.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(packages)] = machine
    greeted = _answering(ray, asked, packages)
    if not greeted:
        raise BackendUnavailableError(f"no machine of the Ray cluster started a process within {GREETING_SECONDS:.0f} s")
    for machine in asked.values():
        if machine not in greeted:
            _LOG.warning("machine %s of the Ray cluster did not answer in time; its processors don't count", machine.host)
    return greeted


def _answering(ray: Any, asked: Mapping[Any, Machine], packages: Sequence[str]) -> Sequence[Machine]:
    """Those of the machines, by the promise of their answer, that serve, until it is time to begin without the others."""
    began = time.monotonic()
    until = began + GREETING_SECONDS
    waiting, greeted = list(asked), []
    while waiting:
        answered, waiting = ray.wait(waiting, timeout=max(until - time.monotonic(), 0.0))
        if not answered:
            break
        for machine in [asked[promise] for promise in answered if _serves(ray, promise, asked[promise], packages)]:
            greeted.append(machine)
            if len(greeted) == 1:
                now = time.monotonic()
                until = min(until, now + max(_STRAGGLER_SECONDS, now - began))
    return greeted


def _serves(ray: Any, promise: Any, machine: Machine, packages: Sequence[str]) -> bool:
    """Whether the machine lives; raises `InvalidRequestError` where it can't do what this one can."""
    try:
        there = ray.get(promise)
    except ray.exceptions.RayTaskError as error:
        reason = " ".join(str(error).strip().rpartition("\n")[2].split())[:300]
        raise InvalidRequestError(
            f"machine {machine.host} of the Ray cluster can't fit: {reason}; install bankmlops[local] there"
        ) from None
    except ray.exceptions.RayError:
        return False
    here = _installed(packages)
    for package in packages:
        if there[package] != here[package]:
            raise InvalidRequestError(
                f"machine {machine.host} of the Ray cluster has {package} {there[package] or 'not at all'}, and this one "
                f"{here[package] or 'not at all'}; install the same on both"
            )
    return True


def _installed(packages: Sequence[str]) -> Mapping[str, str]:
    """The version of each package, empty where it is missing."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]  # what follows says which devices a build is for
    except PackageNotFoundError:
        return ""
