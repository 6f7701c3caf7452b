"""A log of results, a line of JSON each as soon as it is there, so that a benchmark that was ended goes on after the last one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def append(log: Path, line: Mapping[str, Any]) -> None:
    """On a line of its own, also after one that was cut off."""
    log.parent.mkdir(parents=True, exist_ok=True)
    cut_off = log.exists() and log.read_bytes()[-1:] not in (b"", b"\n")
    with log.open("a", encoding="utf-8") as file:
        file.write(("\n" if cut_off else "") + json.dumps(line) + "\n")


def read(log: Path) -> Iterator[dict[str, Any]]:
    """Whole lines: the last one may have been cut off by a kill."""
    for text in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        try:
            yield json.loads(text)
        except ValueError:
            continue
