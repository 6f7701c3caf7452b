"""Follow an AutoML run by its id alone, to its end."""

# ruff: noqa: T201

import sys

from azureml.core import Experiment, Workspace
from azureml.train.automl.run import AutoMLRun

run = AutoMLRun(Experiment(Workspace.from_config(), "resumed"), sys.argv[1])
run.wait_for_completion(show_output=False)
best_run, model = run.get_output()
print("ended", run.get_status(), best_run.id, best_run.properties["run_algorithm"], *(name for name, _ in model.steps))
