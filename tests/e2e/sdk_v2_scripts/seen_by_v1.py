"""SDK v1 finds the job that SDK v2 has submitted: a run of AutoML, whose model it loads and registers.

Arguments: the job, a file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from azureml.core import Workspace
from azureml.train.automl.run import AutoMLRun


def main() -> None:
    workspace = Workspace.from_config()
    run = AutoMLRun(workspace.experiments["bank-marketing"], sys.argv[1])
    best, model = run.get_output()
    learnt = {
        "status": run.get_status(),
        "best": best.id,
        "metrics": sorted(best.get_metrics()),
        "predicts": hasattr(model, "predict"),
        "registered": run.register_model("campaign").version,
    }
    Path(sys.argv[2]).write_text(json.dumps(learnt))


if __name__ == "__main__":
    main()
