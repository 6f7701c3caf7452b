"""What a machine outside of a Ray cluster does with it, through Ray's client: `python ray_client_script.py FOLDER`.

A process of its own, with a cluster of its own: Ray's client keeps threads and connections for as long as its process lives.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from bankmlops.automl.tasks import estimator_path
from support.ray_clusters import (
    ROWS,
    client_address,
    endless_task,
    executor_on,
    fit_task,
    next_ended,
    trial_processes,
    two_machines,
)
from support.waiting import wait_until

LOG_BYTES = 3_000


def main(folder: Path) -> None:
    """Fit, kill, and leave; where that fails, tell what the processes that Ray started for the client had to say."""
    with two_machines() as cluster:
        try:
            _use(cluster, folder)
        except BaseException:
            for log in sorted(Path(tempfile.gettempdir()).glob("ray-*/ray/session_*/logs/ray_client_server*")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-LOG_BYTES:]}")  # noqa: T201
            raise


def _use(cluster: Any, folder: Path) -> None:
    with executor_on(client_address(cluster), folder) as executor:
        executor.submit(fit_task("all"))
        task, result = next_ended(executor)
        assert (result.error, result.probabilities.shape) == ("", (ROWS, 2))
        assert estimator_path(folder, task).stat().st_size > 100
        executor.submit(endless_task("killed"))
        wait_until(trial_processes, 120)
        executor.kill(endless_task("killed"))
        wait_until(lambda: not trial_processes())
    import ray  # it is imported by now

    assert not ray.is_initialized()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
