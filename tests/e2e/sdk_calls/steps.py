"""Scripts on "local" and in pipelines: what they are given, where their outputs go, and parameters."""

from __future__ import annotations

import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import requests
from azureml.core import Dataset, Environment, Experiment, ScriptRunConfig, Workspace
from azureml.core.authentication import InteractiveLoginAuthentication
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.data.data_reference import DataReference
from azureml.data.datapath import DataPath, DataPathComputeBinding
from azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter, PipelineRun, PublishedPipeline, StepRun
from azureml.pipeline.steps import CommandStep, ParallelRunConfig, ParallelRunStep, PythonScriptStep
from checks import main, raised, sdk_call

SETTLED = ("Finished", "Failed", "Canceled")


def file(path: str, text: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(textwrap.dedent(text), "utf-8")
    return path


@contextmanager
def temporary_files(folder: str) -> Iterator[None]:
    Path(folder).mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(Path(folder).resolve())
    try:
        yield
    finally:
        tempfile.tempdir = before


@cache
def compute(ws: Workspace) -> ComputeTarget:
    made = ComputeTarget.create(ws, "steps", AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=1))
    made.wait_for_completion()
    return made


@cache
def given(ws: Workspace) -> None:
    file("given/a.csv", "a,b\n1,x\n2,y\n")
    file("given/other/b.csv", "a,b\n3,z\n")
    ws.get_default_datastore().upload("given", "given", overwrite=True, show_progress=False)


@sdk_call(
    "ScriptRunConfig",
    "Experiment.submit",
    "ScriptRun.wait_for_completion",
    "OutputFileDatasetConfig",
    "OutputFileDatasetConfig.as_upload",
    "OutputFileDatasetConfig.register_on_complete",
    "DataReference",
    "DataReference.as_mount",
    "DataReference.to_config",
    "Run.get_environment",
)
def a_script_on_local(ws: Workspace) -> None:
    given(ws)
    store = ws.get_default_datastore()
    file(
        "local/writes.py",
        """
        import os, sys
        from pathlib import Path
        from azureml.core import Run
        lone, folder, referred, made, chosen = map(Path, sys.argv[1:])
        run = Run.get_context()
        assert run.input_datasets["lone"] == str(lone)
        assert run.output_datasets["made"] == str(made) == os.environ["made"]
        run.log("lone", lone.read_text().count("\\n"))
        run.log("folder", len(list(folder.rglob("*.csv"))))
        run.log("referred", referred.read_text().count("\\n"))
        (made / "deep").mkdir()
        (made / "deep/kept.txt").write_text("kept")
        (chosen / "kept.txt").write_text(run.id)
        run.complete()
        """,
    )
    reference = DataReference(store, "referred", "given/other/b.csv").as_mount()
    chosen = OutputFileDatasetConfig("chosen", (store, "left/{run-id}/{output-name}")).as_upload(overwrite=True)
    arguments = [
        Dataset.File.from_files(store.path("given/a.csv")).as_named_input("lone").as_mount(),
        Dataset.File.from_files(store.path("given/**")).as_download(),
        str(reference),
        OutputFileDatasetConfig("made").register_on_complete("made-by-a-script", tags={"a": "b"}),
        chosen,
    ]
    environment = Environment("of-local")
    environment.environment_variables = {"COLOUR": "red"}
    config = ScriptRunConfig("local", "writes.py", arguments, environment=environment)
    config.run_config.data_references = {"referred": reference.to_config()}
    with temporary_files("temporary"):  # the SDK leaves a copy of the folder there
        run = Experiment(ws, "local").submit(config)
    details = run.wait_for_completion(show_output=False)
    assert (details["status"], details["target"]) == ("Completed", "local")
    assert run.get_metrics() == {"lone": 3, "folder": 2, "referred": 2}
    assert run.get_environment().environment_variables == {"COLOUR": "red"}
    assert run.get_environment().name not in Environment.list(ws)
    made = Dataset.get_by_name(ws, "made-by-a-script")
    assert (made.to_path(), made.tags) == (["/deep/kept.txt"], {"a": "b"}), made.to_path()
    assert store.download("down", f"left/{run.id}/chosen", show_progress=False) == 1
    assert Path(f"down/left/{run.id}/chosen/kept.txt").read_text() == run.id


@cache
def pipeline(ws: Workspace) -> Pipeline:
    given(ws)
    store = ws.get_default_datastore()
    file(
        "steps/prepare.py",
        """
        import argparse, os, sys
        from pathlib import Path
        from azureml.core import Run
        parser = argparse.ArgumentParser()
        for name in ("rate", "reference", "path", "table", "raw", "halves", "clean"):
            parser.add_argument("--" + name)
        given = parser.parse_args()
        if given.rate == "-1":
            sys.exit("a rate below zero")
        run = Run.get_context()
        assert os.environ["AML_PARAMETER_rate"] == given.rate
        assert (os.environ["COLOUR"], os.environ["AML_PARAMETER_epochs"]) == ("blue", "4")
        assert not os.path.exists(given.raw)
        frame = run.input_datasets["table"].to_pandas_dataframe()
        run.log("rate", float(given.rate))
        run.log("rows", len(frame))
        run.log("referred", len(Path(given.reference).read_text()))
        run.parent.log("path", Path(given.path).name)
        Path(given.raw).write_text("raw")
        os.mkdir(given.halves)
        frame.to_csv(Path(given.halves) / "all.csv", index=False)
        frame.assign(half=frame["a"] / 2).to_csv(Path(given.clean) / "clean.csv", index=False)
        """,
    )
    file(
        "steps/train.py",
        """
        import sys
        from pathlib import Path
        from azureml.core import Run
        run = Run.get_context()
        run.log("raw", Path(sys.argv[1]).read_text())
        run.log("mean", run.input_datasets["clean"].to_pandas_dataframe()["half"].mean())
        run.log("halves", len(run.input_datasets["halves"].to_pandas_dataframe()))
        print("trained")
        """,
    )
    configuration = RunConfiguration()
    configuration.environment = Environment("of-steps")
    configuration.environment_variables = {"COLOUR": "blue"}
    table = Dataset.Tabular.from_delimited_files(store.path("given/a.csv"))
    reference = DataReference(store, "reference", "given/other/b.csv")
    path = (PipelineParameter("path", DataPath(store, "given/a.csv")), DataPathComputeBinding("mount"))
    consumed = DatasetConsumptionConfig("table", PipelineParameter("data", table))
    raw = PipelineData("raw", datastore=store)
    halves = PipelineData("halves", datastore=store).as_dataset()
    clean = OutputFileDatasetConfig("clean").read_delimited_files().register_on_complete("clean")
    references = ["--reference", reference, "--table", consumed, "--raw", raw, "--halves", halves, "--clean", clean]
    prepare = PythonScriptStep(
        "prepare.py",
        name="prepare",
        source_directory="steps",
        compute_target=compute(ws),
        runconfig=configuration,
        arguments=["--rate", PipelineParameter("rate", 0.5), "--path", path, *references],
        inputs=[reference, path, consumed],
        outputs=[raw, halves],
        params={"epochs": 4},
    )
    train = PythonScriptStep(
        "train.py",
        source_directory="steps",
        compute_target="steps",
        arguments=[raw, "--clean", clean.as_input("clean")],
        inputs=[raw, halves.parse_delimited_files().as_named_input("halves")],
    )
    lone = Dataset.File.from_files(store.path("given/other/b.csv")).as_named_input("lone").as_mount()
    line = "echo none; ls *.py; python -c 'print(1)'; printf '[%s]' ''"
    last = CommandStep(
        [line, PipelineParameter("said", "it's; 2"), ";", "cat", lone],
        name="last",
        inputs=[lone],
        source_directory="steps",
        compute_target=compute(ws),
    )
    last.run_after(train)
    return Pipeline(ws, [prepare, last], description="three steps")


@sdk_call(
    "Pipeline.validate",
    "Pipeline.submit",
    "PythonScriptStep",
    "PythonScriptStep.run_after",
    "CommandStep",
    "PipelineData",
    "PipelineData.as_dataset",
    "PipelineParameter",
    "OutputFileDatasetConfig.read_delimited_files",
    "OutputFileDatasetConfig.as_input",
    "PipelineRun.get_steps",
    "PipelineRun.find_step_run",
    "PipelineRun.wait_for_completion",
    "StepRun",
    "StepRun.wait_for_completion",
    "StepRun.get_stdout_log",
    "StepRun.get_output",
    "StepRun.get_output_data",
    "StepRun.get_outputs",
)
def a_pipeline_of_scripts(ws: Workspace) -> None:
    assert pipeline(ws).validate() == []
    run = Experiment(ws, "steps").submit(pipeline(ws), pipeline_parameters={"rate": 0.25}, regenerate_outputs=True)
    assert run.wait_for_completion(show_output=True) == "Finished"
    assert {step.name for step in run.get_steps()} == {"prepare", "train.py", "last"}
    prepare, train = (run.find_step_run(name)[0] for name in ("prepare", "train.py"))
    assert isinstance(prepare, StepRun)
    assert prepare.wait_for_completion(show_output=False) == "Finished"
    assert prepare.get_metrics() == {"rate": 0.25, "rows": 2, "referred": 8}
    assert train.get_metrics() == {"raw": "raw", "mean": 0.75, "halves": 2}
    assert run.get_metrics() == {"path": "a.csv"}
    assert "trained" in train.get_stdout_log()
    said = run.find_step_run("last")[0].get_stdout_log()
    assert said.split("\n")[:4] == ["none", "prepare.py", "train.py", "1"], said
    assert "[][it's; 2]a,b\n3,z\n" in said, said
    assert set(prepare.get_outputs()) == {"raw", "halves", "clean"}
    assert prepare.get_output("raw").get_port_data_reference() is not None
    assert prepare.get_output_data("raw").download("steps-down", show_progress=False) == 1
    assert list(Dataset.get_by_name(ws, "clean").to_pandas_dataframe()["half"]) == [0.5, 1.0]


@sdk_call("Pipeline.publish", "PublishedPipeline.endpoint", "PublishedPipeline.submit")
def parameters_of_a_published_pipeline(ws: Workspace) -> None:
    published = pipeline(ws).publish("of-scripts", version="1.0")
    store = ws.get_default_datastore()
    other = Dataset.Tabular.from_delimited_files(store.path("given/other/b.csv")).register(ws, "other-rows")
    body = {
        "ExperimentName": "steps",
        "ParameterAssignments": {"rate": 3},
        "DataPathAssignments": {"path": {"DataStoreName": store.name, "RelativePath": "given/other/b.csv"}},
        "DataSetDefinitionValueAssignments": {"data": {"SavedDataSetReference": {"Id": other.id}}},
    }
    header = InteractiveLoginAuthentication().get_authentication_header()
    answer = requests.post(published.endpoint, headers=header, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    run = PipelineRun(ws.experiments["steps"], answer.json()["Id"])
    until = time.monotonic() + 120
    while not run.find_step_run("prepare") or run.find_step_run("prepare")[0].get_status() not in SETTLED:
        assert time.monotonic() < until, run.get_status()
        time.sleep(0.3)
    assert run.find_step_run("prepare")[0].get_metrics() == {"rate": 3.0, "rows": 1, "referred": 8}
    assert run.get_metrics() == {"path": "b.csv"}
    run.cancel()
    unknown = requests.post(published.endpoint, headers=header, json={**body, "ParameterAssignments": {"speed": 1}}, timeout=60)
    assert (unknown.status_code, "no parameter speed; it has rate" in unknown.text) == (400, True)
    failed = PublishedPipeline.get(ws, published.id).submit(ws, "steps", pipeline_parameters={"rate": -1})
    assert failed.wait_for_completion(show_output=False, raise_on_error=False) == "Failed"
    assert [step.name for step in failed.get_steps()] == ["prepare"]
    assert "a rate below zero" in failed.find_step_run("prepare")[0].get_stdout_log()
    assert "step prepare" in failed.get_details()["error"]["error"]["message"]


@sdk_call("PythonScriptStep", "Pipeline.submit")
def steps_that_are_refused(ws: Workspace) -> None:
    given(ws)
    file("refused/other.py", "")
    homeless = PythonScriptStep("other.py", source_directory="refused", name="homeless")
    assert "'homeless' has no compute" in raised(lambda: Pipeline(ws, [homeless]).submit("refused"))
    files = Dataset.File.from_files(ws.get_default_datastore().path("given/**")).as_named_input("files")
    configuration = ParallelRunConfig(
        Environment("of-steps"), "other.py", 10, "append_row", compute(ws), 1, source_directory="refused"
    )
    parallel = ParallelRunStep("parallel", configuration, inputs=[files], output=PipelineData("rows"))
    assert "ParallelRunStep" in raised(lambda: Pipeline(ws, [parallel]).submit("refused"))


if __name__ == "__main__":
    main()
