"""Which executor a run's trials have, going by the engine that its configuration names."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from bankmlops.automl.algorithms import NETWORK
from bankmlops.automl.executor import Executor, processes
from bankmlops.automl.network.library import PACKAGES
from bankmlops.automl.ray_cluster import check_reachable, resolve_address
from bankmlops.automl.table import Table
from bankmlops.automl.validation import allowed_algorithms
from bankmlops.types import AutoMLConfig, Engine


def executor_of(config: AutoMLConfig, folder: Path, table: Table) -> AbstractContextManager[Executor]:
    """An executor over the table, which ends with the block; `folder` takes what tasks leave. Raises as its engine does."""
    network = NETWORK.name in allowed_algorithms(config)
    if config.engine is Engine.RAY:
        from bankmlops.automl.ray_executor import LEARNERS, ray_tasks

        packages = (*LEARNERS, *PACKAGES) if network else LEARNERS
        return ray_tasks(config.address, folder, (table.matrix, table.labels, table.folds), packages)
    return processes(folder, table.matrix, table.labels, table.folds, network=network)


def reachable_address(config: AutoMLConfig) -> str:
    """The address of the cluster that the configuration asks for, where something answers; empty where it asks for none.

    Raises `InvalidRequestError` for one that can't serve, `BackendUnavailableError` where nothing answers.
    """
    if config.engine is not Engine.RAY:
        return ""
    address = resolve_address(config.address)
    check_reachable(address)
    return address
