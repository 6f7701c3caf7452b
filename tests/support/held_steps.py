"""Functions of a pipeline that say when they begin, and go on when they may: `hold-NAME` in their folder keeps them."""

from __future__ import annotations

import time
from pathlib import Path


def work(folder: str, name: str, before: str = "") -> dict[str, str]:
    """Answer what came before, and this name."""
    with (Path(folder) / "begun").open("a") as begun:
        begun.write(f"{name}\n")
    while (Path(folder) / f"hold-{name}").exists():
        time.sleep(0.02)
    return {"done": f"{before}{name}"}
