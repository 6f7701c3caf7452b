"""What `test_full_disk` runs on a small disk of its own: `python full_disk_script.py DISK` prints what it saw as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil

from bankmlops.connect import connect
from bankmlops.datasets import synthesize
from bankmlops.errors import BankMLOpsError
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, DataSource
from support.small_disk import fill

DISK = Path(sys.argv[1])
SECONDS = 120.0


def family() -> list[str]:
    """The command line of each process that works in the workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("BANKMLOPS_PROCESS_FOLDER", "").startswith(str(DISK)) and process.pid != os.getpid():
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def main() -> None:
    """Register, train, fill the disk, look, free it, resume, register."""
    table = DISK / "bank.csv"
    synthesize(table, 2_000, 7)
    backend = connect("local", DISK / "workspace")
    dataset = backend.register_dataset("bank", DataSource(table, synthetic=True), "y")
    asked = AutoMLConfig(
        dataset=dataset,
        experiment_timeout_minutes=10,
        iterations=10,
        n_cross_validations=3,
        allowed_models=("LogisticRegression", "LightGBM"),
    )
    run_id = backend.submit_automl(asked).id
    deadline = time.monotonic() + SECONDS
    while not backend.list_children(run_id) and time.monotonic() < deadline:
        time.sleep(0.1)
    filler = DISK / "filler"
    fill(filler)
    error = ""
    while not error and time.monotonic() < deadline + SECONDS:
        time.sleep(0.2)
        try:
            error = backend.get_run(run_id).error
        except BankMLOpsError as refusal:
            error = str(refusal)
    while family() and time.monotonic() < deadline + SECONDS:
        time.sleep(0.2)
    processes, models = family(), len(backend.list_models())
    filler.unlink()
    failed = backend.get_run(run_id).status
    kept = {child.id: child.score for child in backend.list_children(run_id)}
    resumed = wait(backend.get_run, backend.resume_run(run_id).id, timeout_seconds=SECONDS)
    after = {child.id: child.score for child in backend.list_children(run_id)}
    model = backend.register_model(run_id, "bank-model").version
    told = {
        "error": error,
        "failed": failed,
        "processes": processes,
        "models_meanwhile": models,
        "resumed": resumed.status,
        "kept": kept.items() <= after.items(),
        "model": model,
    }
    sys.stdout.write(json.dumps(told))


main()
