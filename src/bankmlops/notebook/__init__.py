"""What a person in a notebook uses besides a `Backend`: the backend that the commands use too, and a live view of a run."""

from bankmlops.notebook.details import RunDetails, default_backend

__all__ = ["RunDetails", "default_backend"]
