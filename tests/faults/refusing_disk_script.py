"""What `test_refusing_disk` runs in a mount namespace of its own: `python refusing_disk_script.py FAULT FOLDER DISK`.

DISK is a small disk. FAULT is `full`, which fills it while a run is about to train, or `read-only`, which takes writing away from
MLflow's artifacts. Prints what it saw as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bankmlops.errors import BankMLOpsError
from bankmlops.types import PublishedPipeline
from support.breakable_pipelines import BreakablePipelines, breakable_pipelines
from support.breakpoints import AFTER
from support.small_disk import fill

FAULT, FOLDER, DISK = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
HELD_SECONDS = 8.0


@contextmanager
def full(_world: BreakablePipelines) -> Iterator[None]:
    """Not a byte is left."""
    filler = DISK / "filler"
    fill(filler)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(world: BreakablePipelines) -> Iterator[None]:
    """The folder of MLflow's artifacts takes no writes; root would write through mode bits."""
    artifacts = world.workspace.mlflow_artifacts
    artifacts.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", artifacts, artifacts], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", artifacts], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", artifacts], check=True)


def _look_while_it_is_full(world: BreakablePipelines, published: PublishedPipeline) -> str:
    """What a trigger is told after a while."""
    time.sleep(HELD_SECONDS)
    try:
        return f"accepted as {world.trigger(published)}"
    except BankMLOpsError as error:
        return str(error)


def main() -> None:
    """Trigger, break the disk while the run is about to train, look, mend it, see the run end, and trigger again."""
    with breakable_pipelines(FOLDER, DISK / "workspace") as world:
        published = world.publish()
        world.breakpoints.set("submit_automl", AFTER)
        world.pipelines.up()
        run_id = world.trigger(published)
        world.await_breakpoint()
        with {"full": full, "read-only": read_only}[FAULT](world):
            world.breakpoints.clear()
            refusal = _look_while_it_is_full(world, published) if FAULT == "full" else ""
            first = world.await_end(run_id) if FAULT == "read-only" else None
        first = first or world.await_end(run_id)
        second = world.await_end(world.trigger(published))
        told = {
            "refusal": refusal,
            "first": [first.status, first.error],
            "second": [second.status, second.error],
            "registered": len(world.registered()),
            "running": world.mlflow_runs_left_running(),
            "processes": world.await_no_processes(),
        }
    sys.stdout.write(json.dumps(told))


main()
