"""BentoML wants its service in a module that it can import: see `serving_peer.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml
import plain_app


@bentoml.service(workers=1)
class Scorer:
    """One API, which takes the rows and answers with their labels."""

    def __init__(self) -> None:
        self.label = plain_app.labeller(Path(os.environ["BENCHMARK_MODEL"]))

    @bentoml.api(route="/score")
    def score(self, data: list[dict[str, Any]]) -> dict[str, Any]:
        """Label the rows."""
        return {"result": self.label(data)}
