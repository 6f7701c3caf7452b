"""The README's commands do what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import CommandLine

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _block(marker: str, language: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```{language}\n(.*?)```", README, re.DOTALL)
    assert found, f"README has no block marked {marker}"
    return found[1]


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    scripts = tmp_path / "bin"
    scripts.mkdir()
    command = shutil.which("bankmlops", path=str(Path(sys.executable).parent))
    assert command, "the project is not installed"
    (scripts / "bankmlops").symlink_to(command)
    path = f"{scripts}:/usr/local/bin:/usr/bin:/bin"
    command_line = CommandLine(tmp_path, {"PATH": path})
    yield command_line
    command_line.end_processes()


@pytest.mark.slow
@pytest.mark.long
def test_the_how_to_runs(command_line: CommandLine) -> None:
    """Every command of the how-to runs, in order, then the Python of it."""
    command_line.run_guide(_block("runs", "sh"))
    assert command_line.processes() == []
    done = subprocess.run(
        [sys.executable, "-c", _block("runs python", "python")],
        cwd=command_line.folder,
        env=command_line.environment_of_commands(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split()[-1]) > 0.7


def test_links_lead_somewhere() -> None:
    """Every relative link of the README and the guides names a file that is there."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "data" / "README.md"]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
