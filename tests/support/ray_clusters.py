"""A Ray cluster of two machines on this one: each has a loopback address and one processor of its own."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy
import psutil
import pytest

from bankmlops.automl import ray_executor
from bankmlops.automl.algorithms import algorithm_named
from bankmlops.automl.executor import Executor
from bankmlops.automl.tasks import ALL_ROWS, FitResult, FitTask
from support.waiting import wait_until

FIRST, SECOND, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"  # Ray takes 127.0.0.1 for the machine's address on the network
_PORTS = "metrics_agent_port", "metrics_export_port", "runtime_env_agent_port", "dashboard_agent_listen_port"
_STORE_BYTES = 100 << 20
ROWS = 300


@contextmanager
def two_machines() -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster`, which ends with the block; its files lie in a folder of their own with a short name."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets lie in it, and their paths must not be long
    (folder / "ray").mkdir()
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_metrics_collection": "0", "RAY_AUTH_MODE": "disabled"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**quiet, "RAY_TMPDIR": str(folder), "HOME": str(folder)}.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        from ray.cluster_utils import Cluster

        client = {"ray_client_server_port": _free_port(FIRST)} if find_spec("grpc") else {}  # it can't start without
        cluster = Cluster(initialize_head=True, head_node_args={**_machine(FIRST), **client})
        try:
            cluster.add_node(**_machine(SECOND))
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def client_address(cluster: Any) -> str:
    """Where a machine that is none of the cluster's connects to it, once it can; there is one only where grpcio is installed."""
    port = cluster.head_node._ray_params.ray_client_server_port
    wait_until(lambda: _listens(FIRST, port), 60)
    return f"ray://{FIRST}:{port}"


def add_machine(cluster: Any) -> Any:
    """One more, which `cluster.remove_node` ends."""
    return cluster.add_node(**_machine(THIRD))


def trial_processes() -> list[psutil.Process]:
    """The processes of the cluster that are at work on a trial, which Ray names by what they do."""
    return [process for process in _descendants() if _title(process).startswith("ray::_perform")]


def executor_on(address: str, folder: Path) -> Any:
    """Ray's tasks on a small table of two classes."""
    generator = numpy.random.default_rng(0)
    matrix = generator.normal(size=(ROWS, 4)).astype(numpy.float32)
    labels = (matrix[:, 0] + 0.5 * generator.normal(size=ROWS) > 0).astype(numpy.int64)
    return ray_executor.ray_tasks(address, folder, (matrix, labels, (numpy.arange(ROWS) % 3).astype(numpy.int8)))


def fit_task(name: str, fold: int = ALL_ROWS) -> FitTask:
    """A fit that takes no time."""
    learner = algorithm_named("LogisticRegression")
    return FitTask(name, learner.name, learner.settle(learner.starts[0]), fold, seed=1, seconds=20.0)


def endless_task(name: str) -> FitTask:
    """Boosting that learns for as long as it may."""
    parameters = {"n_estimators": 10**6, "learning_rate": 1e-7, "num_leaves": 31}
    return replace(fit_task(name), algorithm="LightGBM", parameters=parameters, seconds=600.0)


def next_ended(executor: Executor) -> tuple[FitTask, FitResult]:
    """The task that ended next, and its result."""
    ended = executor.next_ended(180.0)
    assert ended is not None
    return ended


def _machine(address: str) -> dict[str, Any]:
    """With its ports chosen, a machine need not wait for its helpers to find some; there is no dashboard."""
    ports = {name: _free_port(address) for name in _PORTS}
    return {
        "node_ip_address": address,
        "num_cpus": 1,
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
        **ports,
    }


def _free_port(address: str) -> int:
    with socket.socket() as listening:
        listening.bind((address, 0))
        return int(listening.getsockname()[1])


def _listens(address: str, port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex((address, port)) == 0


def _descendants() -> list[psutil.Process]:
    return psutil.Process(os.getpid()).children(recursive=True)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
