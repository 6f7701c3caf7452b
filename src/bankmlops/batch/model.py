"""A registered model's bundle, from whichever backend holds it: what an endpoint serves is what scores the files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bankmlops.backend import Backend
from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.bundle import Bundle, load_bundle
from bankmlops.types import Model

BUNDLE = "outputs/bundle/"
MANIFEST = BUNDLE + "model.json"
MAXIMUM_FILES = 20


def fetch_bundle(backend: Backend, model: Model) -> Bundle:
    """The bundle of the run that the model comes from. Raises `InvalidRequestError` where that run exported none."""
    named = f"version {model.version} of model {model.name!r}"
    if not model.run_id:
        raise InvalidRequestError(f"{named} comes from no AutoML run, so it has no exported bundle; register a run's best model")
    files = [path for path in backend.list_artifacts(model.run_id) if path.startswith(BUNDLE)]
    if MANIFEST not in files:
        raise InvalidRequestError(
            f"{named} has no exported bundle (its run has no {MANIFEST}), as models that Azure trained have none; "
            "train it with the local backend, or send the rows to an endpoint of it"
        )
    with tempfile.TemporaryDirectory(prefix="bankmlops-bundle-") as folder:
        for path in files[:MAXIMUM_FILES]:
            backend.download_artifact(model.run_id, path, Path(folder))
        return load_bundle(Path(folder))
