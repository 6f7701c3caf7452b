"""LitServe's workers want its API in a module that they can import: see `serving_peer.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import litserve
import plain_app


class Scorer(litserve.LitAPI):  # type: ignore[misc]
    """Decode, predict and encode, as it asks for them."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Open the model, in the worker."""
        self.label = plain_app.labeller(Path(os.environ["BENCHMARK_MODEL"]))

    def decode_request(self, request) -> Any:  # a type would make it a parameter of the query
        """The rows."""
        return request["data"]

    def predict(self, x: Any) -> Any:
        """Their labels."""
        return self.label(x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The answer."""
        return {"result": output}
