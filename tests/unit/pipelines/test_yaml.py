"""Pipelines as YAML and as Python: the same values, and errors that name the line."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml

from bankmlops.errors import InvalidRequestError
from bankmlops.pipelines import Parameter, ParameterType, PipelineBuilder, Retries
from bankmlops.pipelines.kinds import KINDS
from bankmlops.pipelines.yaml_file import load_pipeline, pipeline_schema

DOCUMENT = textwrap.dedent(
    """\
    name: bank
    description: trains
    tags: {team: risk}
    parameters:
      minutes: 1.0
      metric: {type: string, default: accuracy, choices: [accuracy, AUC_weighted]}
    steps:
      prepare:
        kind: prepare
        inputs: {dataset: bank, test_share: 0.2}
      train:
        kind: automl
        retries: {count: 2, wait_seconds: 1}
        timeout_minutes: 30
        inputs:
          dataset: ${{ steps.prepare.outputs.dataset }}
          primary_metric: ${{ parameters.metric }}
          experiment_timeout_minutes: ${{ parameters.minutes }}
          positive_label: yes
      report:
        kind: function
        function: steps:add
        source: steps.py
        outputs: [total]
        allow_reuse: false
        after: [train]
        inputs: {left: 1}
    """
)


def add(left: int) -> dict[str, int]:
    """A step."""
    return {"total": left}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pipeline.yaml"


def test_yaml_and_python_say_the_same(file: Path) -> None:
    """The builder and the file make equal pipelines."""
    file.write_text(DOCUMENT)
    flow = PipelineBuilder("bank", "trains", tags={"team": "risk"})
    minutes = flow.parameter("minutes", 1.0)
    metric = flow.parameter("metric", "accuracy", choices=("accuracy", "AUC_weighted"))
    data = flow.prepare("bank", test_share=0.2)
    trained = flow.automl(
        data,
        name="train",
        retries=Retries(2, 1.0),
        timeout_minutes=30.0,
        primary_metric=metric,
        experiment_timeout_minutes=minutes,
        positive_label="yes",
    )
    flow.function(add, ("total",), name="report", after=[trained], allow_reuse=False, left=1)
    built, loaded = flow.build(), load_pipeline(file)
    assert built.steps[:2] == loaded.steps[:2]
    assert (built.parameters, built.tags, built.description) == (loaded.parameters, loaded.tags, loaded.description)
    assert built.parameters[0] == Parameter("minutes", ParameterType.NUMBER, 1.0)
    assert (built.steps[2].function, built.steps[2].source) == ("test_yaml:add", str(Path(__file__).resolve()))
    assert (loaded.steps[2].after, loaded.steps[2].source) == (("train",), str(file.parent / "steps.py"))


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("kind: automl", "kind: autml", "12:5", "there is no kind 'autml'; did you mean 'automl'"),
        ("  train:\n", "  my step:\n", "11:3", "step name 'my step' can't serve"),
        (
            "  prepare:\n    kind: prepare\n",
            "  prepare:\n  - kind: prepare\n",
            "8:3",
            "steps.prepare: a list can't serve; NAME: VALUE",
        ),
        ("    kind: prepare\n    inputs: {dataset: bank, test_share: 0.2}\n", "", "8:3", "steps.prepare: nothing can't serve"),
        ("    kind: prepare", "\tkind: prepare", "9:1", "a tab; spaces would serve"),
        ("kind: prepare", "kid: prepare", "9:5", "did you mean 'kind'"),
        ("test_share: 0.2", "test_share: much", "10:29", "'much' is no number"),
        ("steps.prepare", "steps.prepar", "16:7", "did you mean 'prepare'"),
        ("primary_metric:", "primry_metric:", "17:7", "did you mean 'primary_metric'"),
        ("type: string", "typ: string", "6:12", "did you mean 'type'"),
        ("default: accuracy", "default: recall", "6:3", "not among its choices"),
        ("count: 2", "count: -2", "13:15", "greater than or equal to 0"),
        ("timeout_minutes: 30", "timeout_minutes: soon", "14:5", "valid number"),
        ("parameters:\n", "parameters:\n  minutes: 2.0\n", "6:3", "'minutes' is there twice"),
        ("name: bank", "name: [bank", "2:12", "expected"),
        ("name: bank", "name: &a bank\nexperiment_name: *a", "2:18", "anchors"),
        ("after: [train]", "after: [trian]", "26:5", "did you mean 'train'"),
        ("inputs: {left: 1}", "inputs: {left: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}", "27:36", "nested"),
        ("name: bank\n", "", "1:1", "name is missing"),
        ("tags: {team: risk}", "tags: {team: 7}", "3:8", "valid string"),
    ],
)
def test_an_error_names_its_line(file: Path, old: str, new: str, where: str, message: str) -> None:
    """What is wrong is one line with file, line and column, and what would serve."""
    assert DOCUMENT.count(old) >= 1
    file.write_text(DOCUMENT.replace(old, new, 1))
    with pytest.raises(InvalidRequestError) as refusal:
        load_pipeline(file)
    assert str(refusal.value).startswith(f"{file}:{where}")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"- a\n", b"text", b"a: !!python/object:os.system {}\n", b"x" * 2_000_000])
def test_what_is_no_pipeline(file: Path, content: bytes) -> None:
    """Any other file is an error of one line."""
    file.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=r"pipeline\.yaml") as refusal:
        load_pipeline(file)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000


def test_not_there(file: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(InvalidRequestError, match=r"can't read .*pipeline\.yaml"):
        load_pipeline(file)


def test_the_schema_knows_every_kind() -> None:
    """The schema has the inputs of each kind of step."""
    schema = pipeline_schema()
    conditions = schema["$defs"]["StepEntry"]["allOf"]
    assert {each["if"]["properties"]["kind"]["const"] for each in conditions} == set(KINDS) - {"function"}
    assert set(schema["$defs"]["StepEntry"]["properties"]["kind"]["enum"]) == set(KINDS)
    assert yaml.safe_load(DOCUMENT).keys() <= schema["properties"].keys()


def test_the_builder_says_what_is_wrong() -> None:
    """An output that a step does not give, and a function that is at no module's top, are refused at once."""
    flow = PipelineBuilder("bank")
    with pytest.raises(InvalidRequestError, match="gives no output 'datset'; did you mean 'dataset'"):
        flow.prepare("bank")["datset"]
    with pytest.raises(InvalidRequestError, match="top of a module"):
        flow.function(lambda: None)
    flow.automl("${{ parameters.x }}")
    with pytest.raises(InvalidRequestError, match="no parameter 'x'"):
        flow.build()
