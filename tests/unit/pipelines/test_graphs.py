"""Graphs of steps: what fits together, what does not and where, in which order they may run, and what parameters may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankmlops.errors import InvalidRequestError
from bankmlops.pipelines import (
    Parameter,
    ParameterType,
    Pipeline,
    PipelineBuilder,
    Retries,
    Step,
    check_pipeline,
    dataset_trained_on,
    from_config,
)
from bankmlops.pipelines.kinds import KINDS
from bankmlops.pipelines.parameters import assign
from bankmlops.pipelines.progress import ready_steps, stopped_by_gate, why_stopped
from bankmlops.pipelines.references import OutputReference, ParameterReference, read_reference, resolved
from bankmlops.pipelines.validation import InvalidPipelineError, after, in_order
from bankmlops.types import AutoMLConfig, Dataset, Device, Engine, Featurization, FeaturizationMode, PipelineConfig

TRAIN = Step("train", "automl", {"dataset": "bank"})
GATE = Step("gate", "evaluate", {"automl_run_id": "${{ steps.train.outputs.automl_run_id }}", "minimum": 0.9})
REGISTER = Step("register", "register", {"automl_run_id": "${{ steps.gate.outputs.automl_run_id }}", "model_name": "bank"})
PIPELINE = Pipeline("bank", (REGISTER, GATE, TRAIN))
CALL = Step("call", "function", function="steps:add", source="steps.py", outputs=("total",))


def test_a_graph_that_fits() -> None:
    """Steps may stand in any order; each follows those that it waits for."""
    check_pipeline(PIPELINE)
    assert [step.name for step in in_order(PIPELINE)] == ["train", "gate", "register"]
    assert after(PIPELINE, ["train"]) == {"gate", "register"}
    assert GATE.depends_on == ("train",)


@pytest.mark.parametrize(
    ("steps", "message", "path"),
    [
        ((TRAIN, replace(TRAIN, inputs={"dataset": "b"})), "2 steps named 'train'", ("steps",)),
        ((replace(TRAIN, kind="autml"),), "did you mean 'automl'", ("steps", "train")),
        ((replace(TRAIN, name="a b"),), "step name 'a b' can't serve", ("steps", "a b")),
        ((replace(TRAIN, inputs={}),), "input 'dataset' is missing", ("steps", "train", "inputs")),
        ((replace(TRAIN, inputs={"dataset": 7}),), "7 is no dataset", ("steps", "train", "inputs", "dataset")),
        (
            (replace(TRAIN, inputs={"dataset": "b", "iterations": 1.5}),),
            "1.5 is no integer",
            ("steps", "train", "inputs", "iterations"),
        ),
        (
            (replace(TRAIN, inputs={"dataset": "b", "metric": "x"}),),
            "no input 'metric'; did you mean",
            ("steps", "train", "inputs", "metric"),
        ),
        ((replace(TRAIN, inputs={"dataset": "${{ steps.x }}"}),), "is no reference", ("steps", "train", "inputs", "dataset")),
        (
            (replace(TRAIN, inputs={"dataset": "a ${{ parameters.x }}"}),),
            "is no reference",
            ("steps", "train", "inputs", "dataset"),
        ),
        (
            (replace(TRAIN, inputs={"dataset": "${{ parameters.x }}"}),),
            "no parameter 'x'",
            ("steps", "train", "inputs", "dataset"),
        ),
        ((GATE,), "no step 'train'", ("steps", "gate", "inputs", "automl_run_id")),
        (
            (TRAIN, replace(GATE, inputs={"automl_run_id": "${{ steps.train.outputs.model }}"})),
            "no output 'model'",
            ("steps", "gate", "inputs", "automl_run_id"),
        ),
        ((TRAIN, replace(GATE, inputs={**GATE.inputs, "champion": "bank"})), "'dataset' is missing", ("steps", "gate", "inputs")),
        ((replace(TRAIN, after=("nobody",)),), "no step 'nobody'", ("steps", "train", "after")),
        ((replace(TRAIN, after=("train",)),), "wait for each other: train, train", ("steps",)),
        ((replace(TRAIN, after=("register",)), GATE, REGISTER), "wait for each other", ("steps",)),
        ((replace(TRAIN, retries=Retries(1000)),), "retries 1000", ("steps", "train")),
        ((replace(TRAIN, timeout_minutes=0.0),), "timeout_minutes", ("steps", "train")),
        ((replace(TRAIN, source="x.py"),), "no function, source or outputs", ("steps", "train")),
        ((replace(CALL, function="add"),), "module:function", ("steps", "call")),
        ((replace(CALL, source=""),), "source is missing", ("steps", "call")),
        ((replace(CALL, inputs={"a b": 1}),), "can't be a function's argument", ("steps", "call", "inputs", "a b")),
        ((), "has no steps", ("steps",)),
    ],
)
def test_what_does_not_fit(steps: tuple[Step, ...], message: str, path: tuple[str, ...]) -> None:
    """What is wrong is one line, with the keys of the place."""
    with pytest.raises(InvalidPipelineError, match=message) as refusal:
        check_pipeline(Pipeline("bank", steps))
    assert refusal.value.path == path
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["", " bank", "a/b", "a\nb", "x" * 256])
def test_names(name: str) -> None:
    """A pipeline's name is a line, and no path."""
    with pytest.raises(InvalidRequestError, match="name"):
        check_pipeline(replace(PIPELINE, name=name))


def test_what_may_start() -> None:
    """A step may start when all that it waits for is done, once, and never behind a gate that let nothing through."""
    assert [step.name for step in ready_steps(PIPELINE, {}, ())] == ["train"]
    assert [step.name for step in ready_steps(PIPELINE, {}, ("train",))] == []
    done: dict[str, Mapping[str, str]] = {"train": {}}
    assert [step.name for step in ready_steps(PIPELINE, done, ())] == ["gate"]
    assert [step.name for step in ready_steps(PIPELINE, {**done, "gate": {"passed": "true"}}, ())] == ["register"]
    stopped = {**done, "gate": {"passed": "false"}}
    assert why_stopped(PIPELINE, stopped)["register"] == "gate let nothing through: it did not pass"
    assert ready_steps(PIPELINE, stopped, ()) == []
    assert stopped_by_gate(PIPELINE, stopped) == {"register"}


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=10))
def test_any_graph_without_a_circle_runs_to_its_end(waits: list[list[int]]) -> None:
    """Whatever waits for whatever came before it, each step starts once, after all that it waits for."""
    steps = tuple(
        replace(CALL, name=f"s{number}", after=tuple(f"s{each}" for each in dict.fromkeys(before) if each < number))
        for number, before in enumerate(waits)
    )
    pipeline = Pipeline("any", steps[::-1])
    check_pipeline(pipeline)
    done: dict[str, Mapping[str, str]] = {}
    while ready := ready_steps(pipeline, done, ()):
        assert all(set(step.depends_on) <= set(done) for step in ready)
        done |= {step.name: {} for step in ready}
    assert len(done) == len(steps)


def test_parameters_are_typed() -> None:
    """Values come as text or as themselves, in the parameter's type, and defaults stand for the rest."""
    parameters = (
        Parameter("text", ParameterType.STRING, "a"),
        Parameter("count", ParameterType.INTEGER, 1),
        Parameter("share", ParameterType.NUMBER, 0.5),
        Parameter("on", ParameterType.BOOLEAN, False),
    )
    pipeline = replace(PIPELINE, parameters=parameters)
    assert assign(pipeline, {}) == {"text": "a", "count": 1, "share": 0.5, "on": False}
    given_values = {"text": "b", "count": "7", "share": 1, "on": "true"}
    assert assign(pipeline, given_values) == {"text": "b", "count": 7, "share": 1.0, "on": True}
    assert isinstance(assign(pipeline, given_values)["share"], float)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Parameter("p", ParameterType.INTEGER), "1.5"),
        (Parameter("p", ParameterType.INTEGER), True),
        (Parameter("p", ParameterType.INTEGER), 1.5),
        (Parameter("p", ParameterType.NUMBER), "nan"),
        (Parameter("p", ParameterType.NUMBER), "many"),
        (Parameter("p", ParameterType.BOOLEAN), "perhaps"),
        (Parameter("p"), "x" * 1001),
        (Parameter("p"), "a\nb"),
        (Parameter("p"), "${{ parameters.q }}"),
        (Parameter("p"), "file:pipeline-runs/other/step/outputs/secret.txt#" + "0" * 64),
        (Parameter("p", choices=("a", "b")), "c"),
    ],
)
def test_a_value_that_a_parameter_can_not_have(parameter: Parameter, value: Any) -> None:
    """A value of another type or outside the choices names the parameter; without a default it has to be given."""
    pipeline = replace(PIPELINE, parameters=(parameter,))
    with pytest.raises(InvalidRequestError, match="parameter 'p'"):
        assign(pipeline, {"p": value})
    with pytest.raises(InvalidRequestError, match="was not given"):
        assign(pipeline, {})
    with pytest.raises(InvalidRequestError, match="no parameter 'q'; p would serve"):
        assign(pipeline, {"p": "1", "q": 1})


def test_references() -> None:
    """What a reference says is read back, and stands for a value of any type, however deep it lies."""
    for reference in (ParameterReference("x"), OutputReference("train", "automl_run_id")):
        assert read_reference(str(reference)) == reference
    assert read_reference("text") is None
    value = {"a": ["${{parameters.x}}", 1], "b": "c"}
    assert resolved(value, lambda _: 7) == {"a": [7, 1], "b": "c"}
    deep: Any = "x"
    for _ in range(20):
        deep = [deep]
    with pytest.raises(InvalidRequestError, match="nested"):
        resolved(deep, lambda _: 0)


def test_the_simple_form() -> None:
    """The four-step pipeline is a graph that fits, and says no more than what differs from the defaults."""
    dataset = Dataset("bank", "abc", 100, ("age", "y"), "y", "0" * 64)
    featurization = Featurization(FeaturizationMode.AUTO, ("duration",))
    automl = AutoMLConfig(dataset=dataset, experiment_name="nightly", allowed_models=("LightGBM",), featurization=featurization)
    graph = from_config(PipelineConfig("bank", automl, "model", 0.9))
    check_pipeline(graph)
    assert [(step.name, step.depends_on) for step in graph.steps] == [
        ("prepare", ()),
        ("automl", ("prepare",)),
        ("evaluate", ("automl",)),
        ("register", ("evaluate",)),
    ]
    assert graph.experiment_name == "nightly"
    assert graph.step("automl").inputs == {
        "dataset": "${{ steps.prepare.outputs.dataset }}",
        "allowed_models": ["LightGBM"],
        "featurization": {"mode": "auto", "drop_columns": ["duration"], "column_purposes": {}},
    }
    elsewhere = replace(automl, device=Device.CPU, engine=Engine.RAY, address="10.0.0.1:6379")
    asked = {"device": "cpu", "engine": "ray", "address": "10.0.0.1:6379"}
    assert asked.items() <= from_config(PipelineConfig("bank", elsewhere, "model")).step("automl").inputs.items()
    for config in (PipelineConfig("", automl, "m"), PipelineConfig("a", automl, "/"), PipelineConfig("a", automl, "m", -1.0)):
        with pytest.raises(InvalidRequestError):
            from_config(config)


def test_every_setting_of_a_search_reaches_a_pipeline() -> None:
    """What `AutoMLConfig` can be asked for an automl step can be asked for too; the experiment is the pipeline's own."""
    assert {each.name for each in fields(AutoMLConfig)} - {"experiment_name"} == set(KINDS["automl"].inputs)


def test_what_a_pipeline_trains_on() -> None:
    """The dataset is found behind steps that hand it on and parameters' defaults; nothing is said where a step makes it."""
    dataset = Dataset("bank", "abc", 100, ("age", "y"), "y", "0" * 64)
    assert dataset_trained_on(from_config(PipelineConfig("bank", AutoMLConfig(dataset), "model"))) == "bank:abc"
    flow = PipelineBuilder("bank")
    examined = flow.guardrails(flow.prepare(flow.parameter("data", "bank"), test_share=0.2)["dataset"])
    flow.automl(examined["dataset"])
    assert dataset_trained_on(flow.build()) == "bank"
    made = Step("make", "function", outputs=("table",), function="m:make", source="m.py")
    for value in ("${{ steps.make.outputs.table }}", "${{ parameters.data }}"):
        steps = (made, Step("train", "automl", {"dataset": value}))
        assert dataset_trained_on(Pipeline("bank", steps, (Parameter("data"),))) == ""
    assert dataset_trained_on(Pipeline("bank", (made,))) == ""


def test_the_waits_between_attempts() -> None:
    """Each wait is the one before times the backoff, up to the most."""
    retries = Retries(5, wait_seconds=1.0, backoff=3.0, maximum_wait_seconds=20.0)
    assert [retries.wait_before(attempt) for attempt in (1, 2, 3, 4, 5)] == [0.0, 1.0, 3.0, 9.0, 20.0]
