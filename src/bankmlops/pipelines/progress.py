"""Which steps of a graph may start, by what is done. The same answer to the same question, always: a crashed run is replayed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bankmlops.pipelines.definition import Pipeline, Step
from bankmlops.pipelines.validation import after, in_order

PASSED, REFUSAL = "passed", "refusal"
_NO = "false"


def ready_steps(pipeline: Pipeline, done: Mapping[str, Mapping[str, str]], running: Collection[str]) -> Sequence[Step]:
    """The steps that wait for nothing any more, in the pipeline's order; `done` are the outputs of the finished ones."""
    stopped = stopped_by_gate(pipeline, done)
    return [
        step
        for step in in_order(pipeline)
        if step.name not in done and step.name not in running and step.name not in stopped and set(step.depends_on) <= set(done)
    ]


def stopped_by_gate(pipeline: Pipeline, done: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    """The steps that will not run, since a gate before them let nothing through."""
    return after(pipeline, [name for name, outputs in done.items() if outputs.get(PASSED) == _NO and name in _gates(pipeline)])


def why_stopped(pipeline: Pipeline, done: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """The same steps, each with the gate before it and what that said."""
    said = {gate: f"{gate} let nothing through: {outputs.get(REFUSAL, 'it did not pass')}" for gate, outputs in done.items()}
    return {step: said[gate] for gate, outputs in done.items() for step in stopped_by_gate(pipeline, {gate: outputs})}


def _gates(pipeline: Pipeline) -> frozenset[str]:
    return frozenset(step.name for step in pipeline.steps if step.kind == "evaluate")
