"""The commands of the control server's guide do what it says."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import CommandLine

GUIDE = (Path(__file__).parents[2] / "docs" / "control-server.md").read_text(encoding="utf-8")
pytestmark = [pytest.mark.system, pytest.mark.skipif(shutil.which("curl") is None, reason="the guide calls curl")]


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    scripts = tmp_path / "bin"
    scripts.mkdir()
    for name in ("bankmlops", "python"):
        (scripts / name).symlink_to(Path(sys.executable).parent / name)
    command_line = CommandLine(tmp_path, {"PATH": f"{scripts}:/usr/local/bin:/usr/bin:/bin"})
    yield command_line
    command_line.end_processes()


def test_the_guide_runs(command_line: CommandLine) -> None:
    """Every command of the guide runs, in order; the trigger answers a run, and the audit log tells all of it."""
    block = re.search(r"<!-- runs -->\n```sh\n(.*?)```", GUIDE, re.DOTALL)
    assert block
    told = command_line.run_guide(block[1])
    run_id = json.loads(re.search(r'\{"Id".*?\}', told)[0])["Id"]  # type: ignore[index]
    entries = command_line.json("audit")
    actions = [entry["action"] for entry in entries]
    assert [action for action in actions if action != "publish"] == [
        "create token",
        "trigger",
        "schedule",
        "schedule",
        "pause",
        "revoke token",
        "cancel",
    ]
    trigger = entries[actions.index("trigger")]
    assert (trigger["actor"], trigger["detail"]) == ("token ci", f"run {run_id}")
    secret = json.loads((command_line.folder / "ci.json").read_text())["secret"]
    assert secret not in json.dumps(entries)
