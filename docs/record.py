"""Records the walk through the flow anew: runs each scene's command in a terminal of its own and draws what it printed.

    make recording

Writes docs/walkthrough/*.svg and docs/walkthrough.md. Everything runs in a temporary folder on the built-in synthetic table, so
that the recording can be made anywhere, and again.
"""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
COLUMNS, LINES = 110, 40
LIMIT_SECONDS = 600.0


@dataclass(frozen=True)
class Scene:
    """A command, and what a reader should see in its output."""

    name: str
    title: str
    command: str
    description: str
    in_the_middle: str = ""  # what a second picture, of the live display, is called; none where it is empty


SCENES = (
    Scene(
        "data",
        "A table becomes a dataset",
        "bankmlops data synthesize --rows 8000 --seed 1 bank.csv && bankmlops data register bank.csv --name bank --label y",
        "The built-in generator writes a stand-in for the Bank Marketing table; registering it makes an immutable version, "
        "named by its content. The last lines count the label's classes and name the command that comes next.",
    ),
    Scene(
        "automl",
        "AutoML searches",
        "bankmlops automl run --dataset bank --minutes 1",
        "While it runs, a bar tells how far the search is, which trial it is at, the best score and the time left. When it has "
        "ended, the bar makes room for the winner, with its metrics under Azure's names; below stand what the guardrails found, "
        "where the report is, and what comes next.",
        in_the_middle="AutoML while it searches",
    ),
    Scene(
        "leaderboard",
        "The leaderboard",
        "bankmlops automl children latest",
        "Every trial and the ensemble, best first, with its out-of-fold metrics.",
    ),
    Scene(
        "deploy",
        "The best model becomes an endpoint",
        "bankmlops models register latest --name bank && bankmlops endpoints deploy bank-endpoint --model bank",
        "The model becomes a version with the alias champion, then a scoring service in a process of its own.",
    ),
    Scene(
        "score",
        "The endpoint answers",
        "head -3 bank.csv | bankmlops score bank-endpoint -",
        "Two rows go in as CSV and two labels come out.",
    ),
    Scene(
        "benchmark",
        "A load test",
        "bankmlops benchmark bank-endpoint --requests 2000",
        "What ApacheBench prints: requests a second, the mean and the percentiles, and how many failed.",
    ),
    Scene(
        "logs",
        "What the endpoint logged",
        "bankmlops endpoints logs bank-endpoint | tail -5",
        "One line a request; no key is among them.",
    ),
    Scene(
        "pipeline",
        "A pipeline behind a REST endpoint",
        "bankmlops up && bankmlops pipelines publish bank-training --dataset bank --minutes 0.1 --version 1 "
        "&& bankmlops pipelines trigger bank-training",
        "The control server starts; the pipeline is published with a version, triggered by a POST with a bearer token, and "
        "watched step by step to its end.",
    ),
    Scene(
        "down",
        "Taken down",
        "bankmlops endpoints delete bank-endpoint && bankmlops down && bankmlops status",
        "Nothing is left running; the datasets, runs and models stay.",
    ),
)


def main() -> None:
    folder = DOCS / "walkthrough"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        for scene in SCENES:
            print(f"recording {scene.name}: {scene.command}")
            shown = play(scene.command, Path(work))
            (folder / f"{scene.name}.svg").write_text(draw(scene, settle(shown)), encoding="utf-8")
            if scene.in_the_middle:
                (folder / f"{scene.name}-running.svg").write_text(draw(scene, live(shown)), encoding="utf-8")
    (DOCS / "walkthrough.md").write_text(page(), encoding="utf-8")


def play(command: str, work: Path) -> str:
    """What a terminal shows when the command has ended. Raises `SystemExit` where it fails or takes too long."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": str(COLUMNS),
        "LINES": str(LINES),
        "TERM": "xterm-256color",
        "BANKMLOPS_WORKSPACE": "workspace",
    }
    control, terminal = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=work, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True
    )
    os.close(terminal)
    shown = _read(control, process, time.monotonic() + LIMIT_SECONDS)
    if process.wait() != 0:
        sys.exit(f"{command} failed:\n{shown}")
    return shown.replace(str(work.resolve()), "~")


def _read(control: int, process: subprocess.Popen[bytes], deadline: float) -> str:
    chunks = []
    while time.monotonic() < deadline:
        ready, _, _ = select.select([control], [], [], 0.2)
        try:
            chunk = os.read(control, 65536) if ready else b""
        except OSError:  # the last one to hold the terminal has closed it
            break
        chunks.append(chunk)
        if not chunk and not ready and process.poll() is not None:
            break
    else:
        process.kill()
    return b"".join(chunks).decode(errors="replace")


def settle(shown: str) -> str:
    """The text as it stands in the end: a live display is what it was when it last was drawn."""
    screen: list[str] = [""]
    row = 0
    for part in re.split(r"(\r\n|\n|\r|\x1b\[\d*A|\x1b\[2K|\x1b\[\?25[lh])", shown):
        if part in ("\r\n", "\n"):
            row += 1
            screen.extend([""] * (row + 1 - len(screen)))
        elif part.startswith("\x1b[") and part.endswith("A"):
            row = max(row - int(part[2:-1] or 1), 0)
        elif part in ("\x1b[2K", "\r"):
            screen[row] = "" if part == "\x1b[2K" else screen[row]
        elif not part.startswith("\x1b[?"):
            screen[row] = part if part else screen[row]
    return "\n".join(screen).rstrip()


def live(shown: str) -> str:
    """The live display as it was last drawn with a time left, and with a best score where one came in time."""
    drawn = [part for part in re.split(r"\r\x1b\[2K", shown) if " left" in part]
    if not drawn:
        raise SystemExit("the command showed no time left: is its output no terminal?")
    return ([part for part in drawn if "best" in part] or drawn)[-1].rstrip()


def draw(scene: Scene, screen: str) -> str:
    """A picture of the command and of what stands below it. It asks for no font from afar."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {scene.command}", style="bold green"))
    console.print(Text.from_ansi(screen))
    picture = console.export_svg(title=scene.title, unique_id=scene.name)
    return re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)


def page() -> str:
    lines = [
        "# A walk through the flow",
        "",
        "Recorded from real runs by `make recording` on the synthetic stand-in. Each picture is a terminal as it stood when the",
        "command had ended, if nothing else is said.",
        "",
    ]
    for number, scene in enumerate(SCENES, 1):
        lines += [
            f"## {number}. {scene.title}",
            "",
            f"```sh\n{scene.command}\n```",
            "",
            scene.description,
            "",
        ]
        if scene.in_the_middle:
            lines += [f"![{scene.in_the_middle}](walkthrough/{scene.name}-running.svg)", ""]
        lines += [f"![{scene.title}](walkthrough/{scene.name}.svg)", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
