"""How far a run is, in a line and a fraction. Azure tells neither: both come from its trials and its clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from bankmlops.azure.automl_trials import Trial
from bankmlops.azure.run_records import RunRecord, json_of, text_of
from bankmlops.types import RunStatus

ALMOST = 0.99
SETTINGS = "AMLSettingsJsonString"
TIMEOUT = "experiment_timeout_minutes"


def progress_of(record: RunRecord, trials: Sequence[Trial]) -> str:
    """Such as "trial 7, best accuracy 0.9161"; before the first trial it is Azure's word for the state of affairs."""
    if not trials:
        return text_of(record.tags, "_aml_system_automl_status") or str(record.status)
    best = max((trial.score for trial in trials if not math.isnan(trial.score)), default=math.nan)
    told = "" if math.isnan(best) else f", best {text_of(record.properties, 'primary_metric')} {best:.4f}"
    return f"trial {len(trials)}{told}"


def fraction_of(record: RunRecord) -> float:
    """The share of the budget that has passed, below 1 until the run has completed; 0 until it has begun."""
    if record.status is RunStatus.COMPLETED:
        return 1.0
    budget = json_of(record.properties, SETTINGS).get(TIMEOUT)
    if record.started is None or not isinstance(budget, int | float) or budget <= 0:
        return 0.0
    until = record.ended or datetime.now(UTC)
    return min(max((until - record.started).total_seconds() / (budget * 60), 0.0), ALMOST)
