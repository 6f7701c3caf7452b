"""Cuts the lock of the extra `emulator` out of requirements/dev.txt, which holds it: `python docker/emulator_lock.py > FILE`.

It reads the installed packages' own requirements, so it runs in the environment that was made of that lock.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).parents[1] / "requirements" / "dev.txt"
ROOT = Requirement("bankmlops[emulator]")
_ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)


def needed() -> set[str]:
    """The canonical names of all that the extra needs, itself left out."""
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(ROOT.name), extra) for extra in ("", *ROOT.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for text in metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    return {name for name, _ in found} - {canonicalize_name(ROOT.name)}


def main() -> None:
    """Print the lock's entries of those packages, with their hashes. Exit code 1 where the lock lacks one."""
    names = needed()
    entries = {
        canonicalize_name(re.split(r"[\s=;\[]", entry)[0]): entry
        for entry in _ENTRY.split(LOCK.read_text("utf-8"))
        if entry.strip()
    }
    lacking = sorted(names - entries.keys())
    if lacking:
        sys.exit(f"requirements/dev.txt lacks {', '.join(lacking)}: make the locks anew")
    sys.stdout.write("".join(entries[name] for name in sorted(names)))


if __name__ == "__main__":
    main()
