"""MLServer wants its runtime in a module that it can import: see `serving_peer.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import plain_app
from fastapi import Request
from mlserver import MLModel
from mlserver.handlers import custom_handler


class Scorer(MLModel):  # type: ignore[misc]
    """One handler, which takes the rows and answers with their labels."""

    async def load(self) -> bool:
        """Open the model."""
        self.label = plain_app.labeller(Path(os.environ["BENCHMARK_MODEL"]))
        return True

    @custom_handler(rest_path="/score")
    async def score(self, request: Request) -> dict[str, Any]:
        """Label the rows."""
        return {"result": self.label((await request.json())["data"])}
