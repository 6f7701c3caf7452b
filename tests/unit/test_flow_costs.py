"""What a flow that ends early leaves behind, as far as it costs money."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bankmlops.errors import BackendUnavailableError, BankMLOpsError, InvalidRequestError
from bankmlops.evidence import Evidence, Step
from bankmlops.flow import FlowConfig, run_flow
from bankmlops.types import CostlyResource, Dataset, DataSource, PipelineRun, Run, Workspace
from support.memory_backend import MemoryBackend

THEIRS = CostlyResource("ACI", "risk-production")
OURS = CostlyResource("AmlCompute", "automl-cluster")


class Renting(MemoryBackend):
    """A cloud in which somebody's endpoint runs; the flow rents a cluster, and then fails."""

    def __init__(self) -> None:
        super().__init__()
        self.rented = [THEIRS]

    def register_dataset(self, name: str, source: DataSource, label_column: str) -> Dataset:
        self.rented.append(OURS)
        raise InvalidRequestError("the label is not there")

    def costly_resources(self) -> Sequence[CostlyResource]:
        return tuple(self.rented)

    def release(self, resource: CostlyResource) -> None:
        self.rented.remove(resource)


class Unreachable(Renting):
    """A cloud that lets nobody in."""

    def authenticate(self) -> Workspace:
        raise BackendUnavailableError("nobody answers")


class Silent:
    """Watches a flow without a word."""

    def step_started(self, name: str) -> None:
        """Nothing is shown."""

    def step_finished(self, step: Step, detail: str) -> None:
        """Nothing is shown."""

    def run_changed(self, run: Run | PipelineRun) -> None:
        """Nothing is shown."""


def _flow(backend: Renting, *, keep: bool = False) -> Evidence:
    evidence = Evidence()
    with pytest.raises(BankMLOpsError):
        run_flow(backend, FlowConfig(DataSource(Path("bank.csv")), "y", [], keep=keep), Silent(), evidence)
    return evidence


def test_what_others_pay_for_stays() -> None:
    """A flow removes what began to cost since it began, and lists what is left; an endpoint that was there goes on."""
    backend = Renting()
    evidence = _flow(backend)
    assert (evidence.released, evidence.left) == ([OURS], [THEIRS])
    assert backend.rented == [THEIRS]


def test_what_is_kept_is_listed() -> None:
    """With `keep` nothing is removed, and all of it is listed."""
    evidence = _flow(Renting(), keep=True)
    assert (evidence.released, evidence.left) == ([], [THEIRS, OURS])


def test_nothing_is_removed_unseen() -> None:
    """A flow that could not even look what was there removes nothing."""
    backend = Unreachable()
    assert _flow(backend).released == []
    assert backend.rented == [THEIRS]
