"""What the benchmarks of the servers leave behind: facts about the machine, a JSON file, and a marked block of a page."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def facts(packages: Sequence[str]) -> dict[str, Any]:
    """When and on what it was measured, and with which versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: found for name in packages if (found := _version(name))},
    }


def _version(package: str) -> str:
    """Empty where it is not installed: a peer need not be."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def caption(document: Mapping[str, Any], more: str) -> str:
    """The line above a table: figures without their day and machine mean nothing."""
    return f"Measured on {document['date']}, {document['cores']} cores, Python {document['python']}; {more}."


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def number(value: float | None) -> str:
    """Three significant digits, thousands apart; a dash for what was not measured."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """The figures for machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def write_block(page: Path, name: str, markdown: str) -> None:
    """Replace what stands between `<!-- figures: NAME -->` and `<!-- /figures: NAME -->`; a page without them is refused."""
    text = page.read_text(encoding="utf-8")
    first, last = f"<!-- figures: {name} -->\n", f"<!-- /figures: {name} -->"
    before, opening, rest = text.partition(first)
    _, closing, after = rest.partition(last)
    if not (opening and closing):
        raise SystemExit(f"{page} has no block between {first.strip()} and {last}")
    page.write_text(f"{before}{first}\n{markdown.strip()}\n\n{last}{after}", encoding="utf-8")


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """An argument's type: a benchmark is bounded in count and time."""

    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} can't serve; give a whole number from {least} to {most}")
        return value

    parse.__name__ = "number"
    return parse
