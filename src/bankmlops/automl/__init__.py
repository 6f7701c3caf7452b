"""A table and a configuration in, a leaderboard and the best model's files out. Knows no backend, no server and no registry."""

from bankmlops.automl.parity import PARITY_LIMIT, check_parity
from bankmlops.automl.results import Listener, Outcome, Trial
from bankmlops.automl.run import run_automl
from bankmlops.automl.validation import PRIMARY_METRICS, validate_config

__all__ = [
    "PARITY_LIMIT",
    "PRIMARY_METRICS",
    "Listener",
    "Outcome",
    "Trial",
    "check_parity",
    "run_automl",
    "validate_config",
]
