"""What a step may use, and which parts each kind of step is made of.

A part is a durable unit of work. It may run again after a crash, so it finds what an earlier attempt did before it does it. It
answers what it adds to the step's outputs, all text; the parts after it, later steps and the run's readers see them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bankmlops.backend import Backend
from bankmlops.errors import RunFailedError
from bankmlops.local.pipelines.files import StepFolder
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Step

Outputs = Mapping[str, str]


class StepCanceledError(RunFailedError):
    """Somebody ended the run while the step was at work."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What attempt `attempt` at a step of the run `run_id` may use; `deadline` is in seconds since the epoch."""

    run_id: str
    step: Step
    inputs: Mapping[str, Any]
    attempt: int
    experiment_name: str
    tags: Mapping[str, str]
    backend: Backend
    workspace: LocalWorkspace
    folder: StepFolder
    is_canceled: Callable[[], bool]
    deadline: float = field(default=math.inf)

    def log(self, line: str) -> None:
        """Say it in the step's log."""
        self.folder.say(line)

    def check(self) -> None:
        """Raise where the run was canceled, or where the step's time is up: called between the parts of long work."""
        if self.is_canceled():
            raise StepCanceledError("the run was canceled")
        if time.time() > self.deadline:
            raise RunFailedError(f"the step overran its timeout of {self.step.timeout_minutes:g} minutes and was ended")


@dataclass(frozen=True, slots=True)
class Part:
    """A durable unit of work of a step."""

    name: str
    run: Callable[[StepContext, Outputs], Outputs]


def parts_of(kind: str) -> Sequence[Part]:
    """The parts of a kind of step, in order."""
    from bankmlops.local.pipelines.data import examine_table, prepare
    from bankmlops.local.pipelines.evaluation import evaluate
    from bankmlops.local.pipelines.function import call_function
    from bankmlops.local.pipelines.serving import batch_score, deploy, look_at_endpoint
    from bankmlops.local.pipelines.training import register, submit_automl, wait_for_automl

    kinds: Mapping[str, Sequence[Part]] = {
        "prepare": (Part("prepare", prepare),),
        "guardrails": (Part("examine", examine_table),),
        "automl": (Part("submit", submit_automl), Part("wait", wait_for_automl)),
        "evaluate": (Part("evaluate", evaluate),),
        "register": (Part("register", register),),
        "deploy": (Part("look", look_at_endpoint), Part("deploy", deploy)),
        "batch_score": (Part("score", batch_score),),
        "function": (Part("call", call_function),),
    }
    return kinds[kind]
