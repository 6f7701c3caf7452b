"""One genuine client of Microsoft's SDK: a workspace, an experiment, a run with metrics and a file. It knows of no emulator.

It says `ready` once it has imported the SDK, and begins when a line comes on stdin, so that many of them begin at once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from azureml.core import Experiment, Workspace


def main() -> None:
    """Arguments: the run's number, how many metrics it logs. Prints its seconds and what the run's end looks like."""
    number, metrics = int(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    workspace = Workspace.get(
        os.environ["AZUREML_ARM_WORKSPACE_NAME"],
        subscription_id=os.environ["AZUREML_ARM_SUBSCRIPTION"],
        resource_group=os.environ["AZUREML_ARM_RESOURCEGROUP"],
    )
    run = Experiment(workspace, "benchmark").start_logging(snapshot_directory=None)
    for step in range(metrics):
        run.log("accuracy", step / metrics)
    file = Path(f"client-{number}.txt")
    file.write_text("x" * 10_000)
    run.upload_file("outputs/file.txt", str(file))
    run.complete()
    seconds = time.perf_counter() - started
    logged = run.get_metrics()["accuracy"]
    values = logged if isinstance(logged, list) else [logged]
    print(json.dumps({"seconds": seconds, "status": run.get_status(), "metrics": len(values), "files": run.get_file_names()}))


if __name__ == "__main__":
    main()
