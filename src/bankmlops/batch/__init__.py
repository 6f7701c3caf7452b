"""Scores whole files with a registered model: streaming, on every core, and going on where an earlier attempt was ended."""

from bankmlops.batch.model import fetch_bundle
from bankmlops.batch.run import BatchResult, score_files

__all__ = ["BatchResult", "fetch_bundle", "score_files"]
