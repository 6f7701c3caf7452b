"""A table and a configuration in, a leaderboard and the best model's files out. Knows no backend, no server and no registry.

`run.run_automl` is the whole of it. What is named here is light: who asks for a run, or registers its model, does not import the
learners for it.
"""

from bankmlops.automl.parity import PARITY_LIMIT, check_parity
from bankmlops.automl.results import Listener, Outcome, Trial
from bankmlops.automl.validation import PRIMARY_METRICS, validate_config

__all__ = ["PARITY_LIMIT", "PRIMARY_METRICS", "Listener", "Outcome", "Trial", "check_parity", "validate_config"]
