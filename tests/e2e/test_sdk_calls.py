"""Every SDK call that is said to work, made by the genuine SDK over real HTTP: one process a script, one test a check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import sdk_coverage
from support.command_line import CommandLine
from support.emulated_azure import emulator_of

pytest.importorskip("azureml.core", reason="the SDK is not installed")
pytestmark = pytest.mark.slow

SECONDS = 540
SCALE = "0.01"  # of the quarter of an hour that AutoML is asked to take
TRAINING = ("automl", "schedules")  # these train models, and take minutes
CHECKS = {(check.script, check.name): check for check in sdk_coverage.find_checks()}
COVERAGE = Path(__file__).parents[2] / "docs" / "sdk-coverage.md"


@dataclass
class Scripts:
    """The scripts of a group run beside each other, as most of their time is the SDK's sleep between two questions."""

    command: CommandLine
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def outcome(self, script: str, name: str) -> str:
        """What became of a check: "" where all was well."""
        for each in {key[0] for key in CHECKS if (key[0] in TRAINING) == (script in TRAINING)} - self.processes.keys():
            self._start(each)
        said, errors = self.processes[script].communicate(timeout=SECONDS)
        outcomes = json.loads((self._folder(script) / "outcomes.json").read_text() or "{}")
        return str(outcomes.get(name, f"the script ended before it: {said[-2000:]}\n{errors[-4000:]}"))

    def _start(self, script: str) -> None:
        folder = self._folder(script)
        (folder / "home").mkdir(parents=True)
        (folder / "outcomes.json").touch()
        names = {"subscription_id": "a-subscription", "resource_group": "a-group", "workspace_name": script}
        (folder / "config.json").write_text(json.dumps(names))
        environment = {**os.environ, **self.command.environment, "HOME": str(folder / "home")}
        path = sdk_coverage.SCRIPTS / f"{script}.py"
        words = [sys.executable, "-W", "ignore", str(path), "outcomes.json"]
        pipe = subprocess.PIPE
        self.processes[script] = subprocess.Popen(words, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)

    def _folder(self, script: str) -> Path:
        return self.command.folder / script


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    command = CommandLine(tmp_path_factory.mktemp("calls"))
    running = Scripts(command)
    table = command.folder / "public" / "samples" / "data" / "bank.csv"
    table.parent.mkdir(parents=True)
    table.write_text("age,y\n20,no\n30,yes\n")
    with emulator_of(command, "any", SCALE, "--public-blobs", command.folder / "public"):
        try:
            yield running
        finally:
            for process in running.processes.values():
                process.kill()
                process.communicate()


def _marked(script: str, name: str) -> object:
    marks = [pytest.mark.system] if script in TRAINING else []
    return pytest.param(script, name, marks=marks, id=f"{script}-{name}")


@pytest.mark.parametrize(("script", "name"), [_marked(*key) for key in CHECKS])
def test_call(scripts: Scripts, script: str, name: str) -> None:
    """The check holds, and the emulator was asked for nothing that it does not know."""
    outcome = scripts.outcome(script, name)
    assert not outcome, f"{', '.join(CHECKS[script, name].calls)}:\n{outcome}"


def test_checks_name_calls_that_the_sdk_has() -> None:
    """A check can't say that it proves a call that does not exist."""
    assert sdk_coverage.unknown_calls() == []


def test_the_table_is_up_to_date() -> None:
    """docs/sdk-coverage.md is what the checks make of it."""
    text = COVERAGE.read_text("utf-8")
    assert sdk_coverage.write(text) == text, "run: PYTHONPATH=tests python -m support.sdk_coverage docs/sdk-coverage.md"
