"""Fits one trial's model: `python -m bankmlops.emulator.automl.trial_model_fit FOLDER PARENT` makes `model.pkl` of `order.json`.

A process of its own, of the lowest priority: training in the emulator would keep it from answering.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bankmlops.emulator.automl.automl_request import parse_request
from bankmlops.emulator.services.inference_server import end_with_parent
from bankmlops.errors import BankMLOpsError
from bankmlops.types import AutoMLConfig, Dataset

_LOWEST_PRIORITY = 19


def main() -> None:
    """A failure is one line on stderr, the last."""
    end_with_parent(int(sys.argv[2]))
    os.nice(_LOWEST_PRIORITY)
    folder = Path(sys.argv[1])
    try:
        model = _fit(json.loads((folder / "order.json").read_text("utf-8")))
    except BankMLOpsError as error:
        sys.exit(str(error))
    (folder / "model.pkl").write_bytes(pickle.dumps(model, protocol=5))


def _fit(order: Mapping[str, Any]) -> Any:
    """The very table that the run searched on, and a fit on it."""
    from bankmlops.automl.table import prepare
    from bankmlops.automl.trial_model import Configuration, fit_trial
    from bankmlops.datasets import columns_of, read_table

    tables = {name: columns_of(read_table(Path(path))) for name, path in order["tables"].items()}
    config = _config(order)
    table = prepare(tables["training"], config, tables.get("validation"))
    trials = [Configuration(**each) for each in order["trials"]]
    return fit_trial(table, order["iteration"], trials, config.random_seed)


def _config(order: Mapping[str, Any]) -> AutoMLConfig:
    request = parse_request(order["settings"], order["data_prep"])
    dataset = Dataset("training", "1", 0, (), request.label_column, "")
    validation = Dataset("validation", "1", 0, (), request.label_column, "") if "validation" in order["tables"] else None
    return request.config(dataset, "trial-model", order["time_scale"], validation)


if __name__ == "__main__":
    main()
