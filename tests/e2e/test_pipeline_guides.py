"""The pipelines of docs/pipelines.md: each file loads, the Python says the same as the YAML, and the retraining loop runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import httpx
import psutil
import pytest

from bankmlops.datasets import synthesize
from bankmlops.local.backend import LocalBackend
from bankmlops.local.control.audit import AuditLog
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.pipelines import Pipeline, RunOptions
from bankmlops.pipelines.kinds import KINDS
from bankmlops.pipelines.yaml_file import load_pipeline
from bankmlops.runs import wait
from bankmlops.types import AutoMLConfig, DataSource, DeploymentConfig, PipelineRun, RunStatus, StepRun
from support.command_line import CommandLine

DOCS = Path(__file__).parents[2] / "docs"
FILES = DOCS / "pipelines"
QUICK = RunOptions(parameters={"minutes": "0.1", "algorithms": "LogisticRegression"})


@pytest.mark.parametrize("path", sorted(FILES.glob("*.yaml")), ids=lambda path: path.name)
def test_a_file_loads(path: Path) -> None:
    """Every example is a pipeline that fits together."""
    assert load_pipeline(path).steps


def test_python_and_yaml_say_the_same() -> None:
    """The retraining loop in Python is the one in YAML."""
    built, loaded = _module(FILES / "retraining.py").retraining(), load_pipeline(FILES / "retraining.yaml")
    assert built == loaded


def test_the_guide_shows_pipelines_that_load(tmp_path: Path) -> None:
    """Each YAML block of the guide that is a whole pipeline loads."""
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "pipelines.md").read_text(encoding="utf-8"), re.DOTALL)
    whole = [block for block in blocks if block.startswith("name:")]
    assert whole
    for number, block in enumerate(whole):
        (tmp_path / f"{number}.yaml").write_text(block, encoding="utf-8")
        assert load_pipeline(tmp_path / f"{number}.yaml").steps


def test_the_guide_names_the_fields_that_a_step_lacks() -> None:
    """A step takes every field of its configuration but those that the guide names."""
    guide = (DOCS / "pipelines.md").read_text(encoding="utf-8")
    assert _fields(AutoMLConfig) - set(KINDS["automl"].inputs) == {"experiment_name"}
    assert _fields(DeploymentConfig) - set(KINDS["deploy"].inputs) == {"name", "timeout_seconds", "cors_origins"}
    assert "but `experiment_name`" in guide
    assert "but `name`, `timeout_seconds` and `cors_origins`" in guide


def _fields(config: type[AutoMLConfig] | type[DeploymentConfig]) -> set[str]:
    return {field.name for field in fields(config)}


def _module(path: Path) -> ModuleType:
    specification = spec_from_file_location(f"guide_{path.stem}", path)
    assert specification
    assert specification.loader
    module = module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LocalBackend]:
    backend = LocalBackend(tmp_path / "workspace")
    synthesize(tmp_path / "bank.csv", 600, 7)
    backend.register_dataset("bank", DataSource(tmp_path / "bank.csv", synthetic=True), "y")
    backend.up()
    yield backend
    backend.delete_endpoint("bank-live")
    backend.down()


def _run(backend: LocalBackend, pipeline: Pipeline, options: RunOptions) -> PipelineRun:
    run = wait(backend.get_pipeline_run, backend.submit_pipeline(pipeline, options).id, timeout_seconds=300)
    assert run.status is RunStatus.COMPLETED, run.error
    return run


def _step(run: PipelineRun, name: str) -> StepRun:
    return next(step for step in run.steps if step.name == name)


def _apart(backend: LocalBackend, key: str) -> None:
    """What scores and what controls are different processes on different ports, and neither's secret opens the other."""
    control, scoring = backend.up(), backend.get_endpoint("bank-live").scoring_uri
    ports = [int(url.rsplit(":", 1)[1].partition("/")[0]) for url in (control, scoring)]
    found = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN and each.laddr.port in ports]
    assert {each.laddr.ip for each in found} == {"127.0.0.1"}
    controls, scores = ({each.pid for each in found if each.laddr.port == port} for port in ports)
    assert controls
    assert scores
    assert not controls & scores
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{control}/runs", headers={"Authorization": f"Bearer {key}"}).status_code == 401
        assert client.post(scoring, json={"data": []}, headers=backend.authorization_header()).status_code == 403


@pytest.mark.slow
def test_the_guides_schedules(tmp_path: Path) -> None:
    """The retraining loop is published and scheduled, each week and on new data, by the guide's own words."""
    command = CommandLine(tmp_path)
    synthesize(tmp_path / "bank.csv", 200, 7)
    command("data", "register", "bank.csv", "--name", "bank", "--label", "y")
    guide = (DOCS / "pipelines.md").read_text(encoding="utf-8").partition("## The retraining loop")[2]
    lines = [line for line in guide.splitlines() if line.startswith(("bankmlops pipelines publish", "bankmlops schedules"))]
    for line in lines:
        command(*line.replace("docs/", f"{DOCS}/").split()[1:])
    weekly, on_data = sorted(command.json("schedules", "list"), key=lambda each: str(each["config"]["name"]), reverse=True)
    assert (weekly["config"]["when"]["frequency"], weekly["config"]["when"]["week_days"]) == ("Week", ["Monday"])
    assert weekly["next_fire"]
    assert on_data["config"]["when"]["dataset_name"] == "bank"


@pytest.mark.slow
def test_the_retraining_loop(backend: LocalBackend, tmp_path: Path) -> None:
    """The first model is served; the same again is not better, so it goes no further; a dataset is scored with the first."""
    pipeline = load_pipeline(FILES / "retraining.yaml")
    first = _run(backend, pipeline, QUICK)
    assert {step.status for step in first.steps} == {RunStatus.COMPLETED}
    served = backend.get_endpoint("bank-live")
    assert (served.model_name, served.model_version) == ("bank-live", "1")
    keys = backend.get_keys("bank-live")
    second = _run(backend, pipeline, QUICK)
    assert _step(second, "train").reused_from == first.id
    assert _step(second, "challenge").outputs["passed"] == "false"
    assert _step(second, "challenge").outputs["champion"] == "bank-live:1"
    assert _step(second, "deploy").reason.startswith("challenge let nothing through: not better than bank-live:1 beyond noise (")
    assert backend.get_model("bank-live").version == "1"
    assert backend.get_keys("bank-live") == keys
    _apart(backend, keys.primary)
    done = [(entry.action, entry.subject) for entry in AuditLog(LocalWorkspace(tmp_path / "workspace")).newest(100)]
    assert [done.count(entry) for entry in (("register", "model bank-live version 1"), ("deploy", "endpoint bank-live"))] == [
        1,
        1,
    ]
    scored = _run(backend, load_pipeline(FILES / "scoring.yaml"), RunOptions())
    assert scored.outputs["rows"] == "600"
    table = backend.download_step_output(scored.id, "count", "table", tmp_path / "results")
    assert table.read_text().startswith("answer,rows\n")
    assert any("call starts" in line for line in backend.get_step_log(scored.id, "count"))
