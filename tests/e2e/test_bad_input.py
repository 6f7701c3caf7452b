"""Bad input on the real command: one line that says what is wrong, where, and what would serve; nothing is left of it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import COMMAND, CommandLine

pytestmark = pytest.mark.slow

USAGE, NOT_FOUND, CONFLICT, UNAVAILABLE = 2, 3, 4, 7
TABLE = "age,job,y\n" + "".join(
    f"{age},{'student' if age % 2 else 'retired'},{'yes' if age % 3 else 'no'}\n" for age in range(90)
)


@pytest.fixture(scope="module")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path_factory.mktemp("bad-input"))
    yield command_line
    command_line.end_processes()


def _refused(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """The command ended with `code`, and its one line on stderr holds all of `said`."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    for words in said:
        assert words in line


def _rows(count: int, label: str = "{index}") -> str:
    return "age,y\n" + "".join(f"{index},{label.format(index=index % 101)}\n" for index in range(count))


TABLES = {
    "missing label": (TABLE.replace("y\n", "deposit\n", 1), ("'y'", "deposit")),
    "a single class": (TABLE.replace(",yes", ",no"), ("'y'", "a single class", "at least two")),
    "an empty file": ("", ("empty", "header")),
    "a header alone": ("age,job,y\n", ("no rows", "50")),
    "duplicate columns": (TABLE.replace("age,job", "age,age", 1), ("line 1", "'age'", "columns 1, 2")),
    "a blank column": (TABLE.replace("age,job", "age,", 1), ("line 1", "column 2", "blank")),
    "ragged rows": (TABLE + "91,student,yes,more\n", ("line 92", "4 fields", "3")),
    "an unclosed quotation mark": (TABLE + '91,"student,yes\n', ("after line 91", "quotation mark")),
    "broken encoding": (TABLE.encode() + "92,süß,yes\n".encode() + b"93,s\xfc\xdf,yes\n", ("line 93", "0xFC", "UTF-8")),
    "not a text at all": (b"\x00\x01\x02\xff" * 200, ("line 1", "byte 0")),
    "more than 100 classes": (_rows(1010), ("'y'", "101 classes", "100")),
    "fewer than 50 rows": (_rows(49, "yes"), ("49 rows", "50")),
    "rows without a label": (TABLE + "91,student,\n", ("'y'", "1 rows have no label", "data row 91")),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(command_line: CommandLine, case: str) -> None:
    """A table that can't serve is refused by file and place, and nothing of it is registered."""
    content, said = TABLES[case]
    file = command_line.folder / "bad table.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    _refused(command_line("data", "register", file, "--name", "bad", "--label", "y"), USAGE, "bad table.csv", *said)
    assert not list((command_line.workspace / "datasets").glob("*"))
    assert command_line.processes() == []


@pytest.mark.parametrize("name", ["nothing.csv", "."])
def test_no_such_table(command_line: CommandLine, name: str) -> None:
    """A file that is not there, and a folder, are refused by name."""
    _refused(command_line("data", "register", command_line.folder / name, "--label", "y"), USAGE, str(command_line.folder / name))


def test_the_whole_flow_on_a_bad_table(command_line: CommandLine) -> None:
    """The flow stops at the step that fails, says so in its evidence, and leaves nothing."""
    file = command_line.folder / "single.csv"
    file.write_text(TABLE.replace(",yes", ",no"))
    done = command_line("e2e", "--data", file, "--label", "y", "--evidence", "build/bad.json", "--json")
    assert done.returncode == USAGE
    assert done.stderr.splitlines()[-1].startswith("error: single.csv, label 'y': a single class")
    evidence = json.loads((command_line.folder / "build" / "bad.json").read_text())
    assert json.loads(done.stdout) == evidence
    assert evidence["ok"] is False
    assert "single class" in evidence["error"]
    assert [(step["name"], step["ok"]) for step in evidence["steps"]] == [("authenticate", True), ("register dataset", False)]
    assert command_line.json("data", "list") == []
    assert command_line.processes() == []


@pytest.mark.parametrize("words", [("--minutes", "0"), ("--pipeline-minutes", "0"), ("--requests", "0")])
def test_the_whole_flow_without_a_budget(command_line: CommandLine, words: tuple[str, str]) -> None:
    """A budget of zero is refused before the flow begins."""
    _refused(command_line("e2e", "--evidence", "none.json", *words), USAGE, words[0])
    assert not (command_line.folder / "none.json").exists()


# What follows stands on a registered table and a trained model.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A workspace with the dataset `bank`, and the model `bank` of its quickest search."""
    command_line = CommandLine(tmp_path_factory.mktemp("trained"))
    file = command_line.folder / "bank.csv"
    assert command_line("data", "synthesize", "--rows", "500", "--seed", "2", file).returncode == 0
    command_line.json("data", "register", file, "--name", "bank", "--label", "y")
    quickly = ("--minutes", "0.5", "--allowed-models", "LogisticRegression", "--no-voting-ensemble", "--cv", "2")
    run = command_line.json("automl", "run", "--dataset", "bank", *quickly)
    command_line.json("models", "register", run["id"], "--name", "bank")
    yield command_line
    command_line.end_processes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--minutes", "0"), ("--minutes", "more than 0")),
        (("--metric", "acuracy"), ("primary_metric 'acuracy'", "'accuracy'")),
        (("--metric", "beauty"), ("primary_metric 'beauty'", "AUC_weighted")),
        (("--allowed-models", "Oracle"), ("allowed_models 'Oracle'", "LightGBM")),
        (("--cv", "1"), ("n_cross_validations 1",)),
    ],
)
def test_searches(trained: CommandLine, words: tuple[str, str], said: tuple[str, ...]) -> None:
    """A search that can't serve is refused by its option with what would, and no run is made."""
    runs = set((trained.workspace / "automl").iterdir())
    _refused(trained("automl", "run", "--dataset", "bank", *words), USAGE, *said)
    assert set((trained.workspace / "automl").iterdir()) == runs
    assert trained.processes() == []


def test_things_that_are_not_there(trained: CommandLine) -> None:
    """What is not there is named, with code 3."""
    for words in (
        ("data", "show", "nobody"),
        ("automl", "run", "--dataset", "nobody"),
        ("models", "register", "nobody", "--name", "bank"),
        ("endpoints", "deploy", "bank-endpoint", "--model", "nobody"),
        ("endpoints", "logs", "nobody"),
        ("score", "nobody", "bank.csv"),
        ("pipelines", "trigger", "nobody"),
    ):
        _refused(trained(*words), NOT_FOUND, "nobody")


def test_endpoint_names(trained: CommandLine) -> None:
    """A name that no endpoint can have is refused with what would serve."""
    _refused(trained("endpoints", "deploy", "Not A Name", "--model", "bank"), USAGE, "Not A Name", "lower-case")
    assert trained.json("endpoints", "list") == []


def test_a_busy_port(trained: CommandLine) -> None:
    """A port that another process has is a conflict that names the port, and no endpoint is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        _refused(
            trained("endpoints", "deploy", "bank-endpoint", "--model", "bank", "--port", port), CONFLICT, port, "0 for a free one"
        )
    assert trained.json("endpoints", "list") == []
    assert trained.processes() == []


def test_a_taken_name(trained: CommandLine) -> None:
    """An endpoint's name that is taken is a conflict; the endpoint that has it goes on, and refuses rows that can't be scored."""
    endpoint = trained.json("endpoints", "deploy", "bank-endpoint", "--model", "bank")
    try:
        _refused(trained("endpoints", "deploy", "bank-endpoint", "--model", "bank"), CONFLICT, "'bank-endpoint'", "delete")
        assert trained.json("endpoints", "show", "bank-endpoint")["scoring_uri"] == endpoint["scoring_uri"]
        _refused(trained("score", "bank-endpoint", "-", stdin=""), USAGE, "standard input", "no row")
        _refused(trained("score", "bank-endpoint", "-", stdin="age\nold\n"), USAGE, "'age'", "'old'")
        _refused(trained("score", "bank-endpoint", "-", stdin="age\n20\n"), USAGE, "missing")
        _refused(trained("score", "bank-endpoint", "nothing.csv"), USAGE, "nothing.csv")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            _refused(trained("endpoints", "docs", "bank-endpoint", "--port", port), CONFLICT, port, "--port")
    finally:
        assert trained("endpoints", "delete", "bank-endpoint").returncode == 0
    assert trained.processes() == []


# Disks


@pytest.mark.parametrize(("place", "said"), [("/proc/bankmlops", "/proc/bankmlops"), ("a file/workspace", "a file")])
def test_a_workspace_that_can_not_be_made(command_line: CommandLine, place: str, said: str) -> None:
    """A workspace where the disk refuses one is one line that names the place and the option."""
    (command_line.folder / "a file").write_text("")
    _refused(command_line("--workspace", place, "data", "list"), UNAVAILABLE, said, "--workspace")


def test_evidence_that_can_not_be_written(command_line: CommandLine) -> None:
    """Evidence that will not find its place is refused before the flow begins."""
    _refused(
        command_line("e2e", "--offline", "--evidence", "/proc/bankmlops/e2e.json"),
        UNAVAILABLE,
        "--evidence /proc/bankmlops/e2e.json",
    )
    assert not (command_line.folder / "data").exists()


def _on_a_small_disk(folder: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace in which `folder` is a disk of 512 KiB; skips where that is not allowed."""
    mount = f"mount -t tmpfs -o size=512k tmpfs '{folder}'"
    allowed = subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False)
    if allowed.returncode != 0:
        pytest.skip("mounting a small disk needs root and a kernel that lets it")
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount} && cd '{folder}' && {script}"],
        env={**os.environ, "COMMAND": " ".join(COMMAND), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_full_disk(tmp_path: Path) -> None:
    """On a full disk a table is not registered, not even half: one line, and the disk is as full as before."""
    table = tmp_path / "bank.csv"
    rows = (f"{hashlib.sha256(str(index).encode()).hexdigest()},{'yes' if index % 3 else 'no'}\n" for index in range(20_000))
    table.write_text("token,y\n" + "".join(rows))
    disk = tmp_path / "disk"
    disk.mkdir()
    done = _on_a_small_disk(
        disk,
        'mkdir w && $COMMAND --workspace w data register "$TABLE" --name big --label y; echo "code $?"; ls w/datasets',
        TABLE=str(table),
    )
    assert done.stdout.splitlines() == [f"code {UNAVAILABLE}"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "No space left" in line
    assert "free" in line


def test_a_read_only_disk(tmp_path: Path) -> None:
    """On a read-only disk nothing can be written, and the line names the option that chooses another place."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = _on_a_small_disk(disk, f"mount -o remount,ro '{disk}' && $COMMAND --workspace w data list; echo \"code $?\"")
    assert done.stdout.splitlines() == [f"code {UNAVAILABLE}"]
    (line,) = done.stderr.splitlines()
    assert "Read-only file system" in line
    assert "--workspace" in line


def test_a_file_that_may_not_grow(command_line: CommandLine) -> None:
    """Where files may not grow any more the table that is being written is not there, not even a part."""
    out = command_line.folder / "large.csv"
    words = " ".join([sys.executable, "-m", "bankmlops", "data", "synthesize", "--rows", "200000", str(out)])
    done = subprocess.run(["sh", "-c", f"ulimit -f 64; exec {words}"], capture_output=True, text=True, check=False, timeout=120)
    _refused(done, UNAVAILABLE, "large.csv")
    assert not out.exists()
    assert not list(command_line.folder.glob(".*.part"))


def test_ctrl_c_leaves_no_file(command_line: CommandLine) -> None:
    """Ctrl-C while a table is being written ends with 130 and one line, and the file is not there, not even a part."""
    process = command_line.start("data", "synthesize", "--rows", "50000000", "huge.csv")
    deadline = time.monotonic() + 60
    while not list(command_line.folder.glob(".*.part")):
        assert time.monotonic() < deadline, "the file was not begun"
        time.sleep(0.05)
    process.send_signal(2)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, len(err.splitlines())) == (130, "", 1), err
    assert not (command_line.folder / "huge.csv").exists()
    assert not list(command_line.folder.glob(".*.part"))
