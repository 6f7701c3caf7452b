"""What a scoring process says of itself in `ready.json`: who it is, where it listens, what it serves, and what it refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ready:
    """The document; `refused_folder` is empty where no model was refused since the last one was served."""

    pid: int
    port: int
    model_name: str = ""
    model_version: str = ""
    model_folder: str = ""
    refused_folder: str = ""
    refused_reason: str = ""


def read_ready(path: Path) -> Ready | None:
    """None while nobody is ready."""
    try:
        document = json.loads(path.read_text())
        refused = document.get("refused") or {}
        return Ready(
            pid=int(document["pid"]),
            port=int(document["port"]),
            model_name=str(document.get("model_name", "")),
            model_version=str(document.get("model_version", "")),
            model_folder=str(document.get("model_folder", "")),
            refused_folder=str(refused.get("model_folder", "")),
            refused_reason=str(refused.get("reason", "")),
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return None
