"""The `bankmlops` command: words to calls, calls to words; no logic."""

from bankmlops.cli.application import main

__all__ = ["main"]
