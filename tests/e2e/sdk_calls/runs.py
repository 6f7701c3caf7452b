"""Runs: what a script logs by hand, and scripts that are sent to a compute."""

from __future__ import annotations

import contextlib
import io
import json
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path

from azureml.core import Dataset, Environment, Experiment, Run, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from checks import main, raised, sdk_call
from matplotlib import figure

# azureml-core, core/run.py, `get_status`: the states of a run, in the order in which it has them
STATES = ("NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Running", "Finalizing", "Completed")
ENDS = ("Completed", "Failed", "Canceled")


def started(ws: Workspace, **options: object) -> Run:
    return Experiment(ws, "by-hand").start_logging(snapshot_directory=None, **options)


def file(path: str, text: str = "text") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, "utf-8")
    return path


@sdk_call(
    "Experiment.start_logging",
    "Run.log",
    "Run.log_list",
    "Run.log_row",
    "Run.log_table",
    "Run.log_image",
    "Run.log_confusion_matrix",
    "Run.log_accuracy_table",
    "Run.log_residuals",
    "Run.log_predictions",
    "Run.get_metrics",
    "Run.flush",
    "Run.complete",
    "Run.get_status",
)
def metrics(ws: Workspace) -> None:
    run = started(ws)
    run.log("accuracy", 0.9, description="of two")
    run.log("accuracy", 0.95)
    run.log_list("losses", [3, 2, 1])
    run.log_row("point", x=1, y=2.5)
    run.log_table("table", {"x": [1, 2], "y": [0.5, 0.25]})
    plot = figure.Figure()
    plot.subplots().plot([1, 2])
    run.log_image("a plot, 90%", plot=plot)
    matrix = {
        "schema_type": "confusion_matrix",
        "schema_version": "1.0.0",
        "data": {"class_labels": ["no", "yes"], "matrix": [[5, 1], [2, 3]]},
    }
    run.log_confusion_matrix("matrix", matrix)
    residuals = {
        "schema_type": "residuals",
        "schema_version": "1.0.0",
        "data": {"bin_edges": [0.0, 1.0, 2.0], "bin_counts": [1, 2], "mean": 0.5, "stddev": 0.1, "res_count": 3},
    }
    run.log_residuals("residuals", residuals)
    run.flush()
    run.complete()
    seen = run.get_metrics()
    assert seen["accuracy"] == [0.9, 0.95], seen
    assert seen["losses"] == [3, 2, 1]
    assert seen["point"] == {"x": 1, "y": 2.5}
    assert seen["table"] == {"x": [1, 2], "y": [0.5, 0.25]}
    assert "a plot, 90%" in seen
    drawn = next(each for each in run.get_file_names() if "plot" in each)
    run.download_file(drawn, "plot.png")
    assert Path("plot.png").read_bytes().startswith(b"\x89PNG")
    assert run.get_metrics("losses") == {"losses": [3, 2, 1]}
    assert run.get_status() == "Completed"
    name = str(seen["matrix"]).removeprefix("aml://artifactId/")
    run.download_file(name.split("/", 2)[2], "matrix.json")
    assert json.loads(Path("matrix.json").read_text())["data"]["matrix"] == [[5, 1], [2, 3]]


@sdk_call(
    "Run.tag",
    "Run.set_tags",
    "Run.get_tags",
    "Run.remove_tags",
    "Run.add_properties",
    "Run.get_properties",
    "Run.display_name",
    "Run.description",
    "Run.get_details",
    "Run.id",
    "Run.number",
)
def tags_and_properties(ws: Workspace) -> None:
    run = started(ws, display_name="a name")
    run.tag("a", "1")
    run.set_tags({"b": "2", "c": "3"})
    run.remove_tags(["b"])
    run.add_properties({"p": "1"})
    run.display_name = "another name"
    run.description = "what it is"
    # Microsoft's documentation of runs: a tag without a value is a key whose value is None, and runs are found by it
    run.tag("worth another look")
    started(ws).complete()
    for wanted in ("worth another look", "a", {"a": "1"}):
        assert [each.id for each in run.experiment.get_runs(tags=wanted)] == [run.id], wanted
    again = Run.get(ws, run.id)
    assert again.get_tags() == {"a": "1", "c": "3", "worth another look": None}
    assert again.get_properties()["p"] == "1"
    assert (again.display_name, again.description) == ("another name", "what it is")
    assert raised(lambda: run.add_properties({"p": "2"}))
    assert run.number >= 1
    run.complete()
    details = run.get_details()
    assert details["startTimeUtc"] <= details["endTimeUtc"]


@sdk_call(
    "Run.upload_file",
    "Run.upload_files",
    "Run.upload_folder",
    "Run.download_file",
    "Run.download_files",
    "Run.get_file_names",
    "Run.restore_snapshot",
    "Run.get_snapshot_id",
    "Run.take_snapshot",
    "Run.register_model",
)
def files_of_a_run(ws: Workspace) -> None:
    for number in range(3):
        file(f"folder/deep/{number}.txt", str(number))
    file("source/train.py", "print(1)\n")
    file("source/sub/more.py", "print(2)\n")
    run = Experiment(ws, "by-hand").start_logging(snapshot_directory="source")
    run.upload_file("outputs/one.txt", "folder/deep/1.txt")
    run.upload_files(["two.txt", "three.txt"], ["folder/deep/1.txt", "folder/deep/2.txt"])
    run.upload_folder("kept", "folder")
    assert {"outputs/one.txt", "two.txt", "three.txt", "kept/deep/0.txt"} <= set(run.get_file_names())
    assert "exists" in raised(lambda: run.upload_file("two.txt", "folder/deep/0.txt")).lower()
    run.download_files(prefix="kept", output_directory="down")
    assert Path("down/kept/deep/2.txt").read_text() == "2"
    run.download_file("two.txt", "down/two.txt")
    assert Path("down/two.txt").read_text() == "1"
    assert "not found" in raised(lambda: run.download_file("none.txt")).lower()
    assert run.get_snapshot_id()
    assert started(ws).take_snapshot("source")
    assert Path(run.restore_snapshot(path="restored")).exists()
    assert run.register_model("of-a-run", model_path="outputs/one.txt", tags={"a": "b"}).version == 1
    run.upload_file("./outputs/a b.txt", "folder/deep/1.txt")
    assert "outputs/a b.txt" in run.get_file_names()
    run.download_file("outputs/a b.txt", "down/spaced.txt")
    assert Path("down/spaced.txt").read_text() == "1"
    run.complete()


@sdk_call(
    "Run.child_run",
    "Run.create_children",
    "Run.get_children",
    "Run.parent",
    "Run.fail",
    "Run.cancel",
    "Experiment.get_runs",
    "Run.get",
    "Run.list",
    "Run.start",
    "Run.wait_for_completion",
)
def families(ws: Workspace) -> None:
    experiment = Experiment(ws, "families")
    parent = experiment.start_logging(snapshot_directory=None)
    child = parent.child_run("child")
    more = parent.create_children(count=2)
    child.fail("no data", error_code="42")
    more[0].complete()
    more[1].cancel()
    parent.complete()
    assert {each.id for each in parent.get_children()} == {child.id, *(each.id for each in more)}
    assert (child.get_status(), more[0].get_status(), more[1].get_status()) == ("Failed", "Completed", "Canceled")
    assert child.parent.id == parent.id
    assert "no data" in json.dumps(child.get_details()["error"])
    assert [each.id for each in experiment.get_runs()] == [parent.id]
    assert len(list(experiment.get_runs(include_children=True))) == 4
    assert Run.get(ws, child.id).id == child.id
    assert len(list(Run.list(experiment, status="Failed", include_children=True))) == 1
    assert parent.wait_for_completion()["status"] == "Completed"
    assert "was not found" in raised(lambda: Run.get(ws, "no-such-run"))


def compute(ws: Workspace) -> ComputeTarget:
    wanted = AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=1)
    return ws.compute_targets.get("scripts") or ComputeTarget.create(ws, "scripts", wanted)


def script(name: str, text: str) -> str:
    file(f"scripts/{name}", textwrap.dedent(text))
    return name


@sdk_call(
    "ScriptRunConfig",
    "Experiment.submit",
    "ScriptRun.wait_for_completion",
    "Run.get_context",
    "ScriptRun.get_details",
    "ScriptRun.get_metrics",
    "ScriptRun.get_file_names",
    "Run.get_all_logs",
    "Run.get_details_with_logs",
)
def a_script_on_a_compute(ws: Workspace) -> None:
    name = script(
        "train.py",
        """
        import argparse, os, time
        from pathlib import Path
        from azureml.core import Run
        parser = argparse.ArgumentParser()
        parser.add_argument("--rate", type=float)
        rate = parser.parse_args().rate
        run = Run.get_context()
        print("training with", rate, os.environ["COLOUR"], flush=True)
        run.log("rate", rate)
        run.tag("from", "within")
        for epoch in range(3):
            run.log("loss", 1 / (epoch + 1))
        secret = run.get_secret("within")
        workspace = run.experiment.workspace
        Path("outputs").mkdir()
        Path("outputs/model.txt").write_text(f"{secret} {workspace.name} {run.experiment.name}")
        time.sleep(2)
        print("done", flush=True)
        """,
    )
    ws.get_default_keyvault().set_secret("within", "hushed")
    environment = Environment("scripted")
    environment.environment_variables = {"COLOUR": "blue"}
    environment.register(ws)
    config = ScriptRunConfig("scripts", name, ["--rate", 0.5], compute_target=compute(ws), environment=environment)
    run = Experiment(ws, "scripted").submit(config, tags={"kind": "test"})
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        run.wait_for_completion(show_output=True)
    said = output.getvalue()
    assert "Streaming user_logs/std_log.txt" in said, said
    assert "training with 0.5 blue" in said
    assert "done" in said
    assert run.get_status() == "Completed"
    assert run.get_metrics() == {"rate": 0.5, "loss": [1.0, 1 / 2, 1 / 3]}
    assert run.get_tags() | {"kind": "test", "from": "within"} == run.get_tags()
    run.download_file("outputs/model.txt", "script-output.txt")
    assert Path("script-output.txt").read_text() == f"hushed {ws.name} scripted"
    details = run.get_details()
    assert details["runDefinition"]["script"] == "train.py"
    assert details["target"] == "scripts"
    assert "done" in Path(run.get_all_logs("script-logs")[0]).read_text()
    assert run.register_model("scripted", "outputs/model.txt").version == 1


@sdk_call("ScriptRun.cancel", "AmlCompute.get_active_runs")
def a_script_is_cancelled(ws: Workspace) -> None:
    name = script(
        "long.py",
        """
        import subprocess, time
        from pathlib import Path
        print("begun", flush=True)
        subprocess.Popen(["sleep", "600"])
        time.sleep(600)
        """,
    )
    run = Experiment(ws, "scripted").submit(ScriptRunConfig("scripts", name, compute_target=compute(ws)))
    until = time.monotonic() + 60
    while run.get_status() != "Running" and time.monotonic() < until:
        time.sleep(0.2)
    assert [each.run_id for each in compute(ws).get_active_runs()] == [run.id]
    run.cancel()
    run.wait_for_completion()
    assert run.get_status() == "Canceled"
    assert list(compute(ws).get_active_runs()) == []


@sdk_call("ScriptRun.wait_for_completion", "ScriptRunConfig")
def a_script_fails(ws: Workspace) -> None:
    name = script("bad.py", "import sys\nprint('about to fail')\nsys.exit(3)\n")
    run = Experiment(ws, "scripted").submit(ScriptRunConfig("scripts", name, compute_target=compute(ws)))
    # azureml-core, core/run.py, `wait_for_completion`: ActivityFailedException with the run's error
    assert "non-zero exit code" in raised(lambda: run.wait_for_completion(show_output=False))
    assert run.get_status() == "Failed"
    missing = Experiment(ws, "scripted").submit
    other = ScriptRunConfig("scripts", name, compute_target="no-such-compute")
    assert raised(lambda: missing(other))


@sdk_call(
    "DatasetConsumptionConfig",
    "FileDataset.as_mount",
    "FileDataset.as_download",
    "TabularDataset.as_named_input",
)
def datasets_go_to_a_script(ws: Workspace) -> None:
    store = ws.get_default_datastore()
    file("given/a.csv", "a,b\n1,x\n2,y\n")
    store.upload("given", "given", overwrite=True, show_progress=False)
    table = Dataset.Tabular.from_delimited_files(store.path("given/a.csv")).register(ws, "given", create_new_version=True)
    files = Dataset.File.from_files(store.path("given/*.csv"))
    script("reads.sh", "true")
    name = script(
        "reads.py",
        """
        import sys
        from pathlib import Path
        from azureml.core import Run
        run = Run.get_context()
        frame = run.input_datasets["table"].to_pandas_dataframe()
        run.log("rows", len(frame))
        run.log("files", len(list(Path(sys.argv[1]).rglob("*.csv"))))
        assert run.input_datasets["mounted"] == sys.argv[1]
        """,
    )
    arguments = [files.as_named_input("mounted").as_mount(), "--table", table.as_named_input("table")]
    run = Experiment(ws, "scripted").submit(ScriptRunConfig("scripts", name, arguments, compute_target=compute(ws)))
    run.wait_for_completion(show_output=False)
    assert run.get_metrics() == {"rows": 2, "files": 1}


@sdk_call("ScriptRunConfig")
def a_command_on_a_compute(ws: Workspace) -> None:
    script("other.py", "import os\nprint(os.environ['AZUREML_RUN_ID'])\n")
    command = ["python", "other.py", "&&", "mkdir", "-p", "logs", "&&", "echo", "kept", ">", "logs/kept.txt"]
    config = ScriptRunConfig("scripts", command=command, compute_target=compute(ws))
    run = Experiment(ws, "scripted").submit(config)
    run.wait_for_completion(show_output=False)
    assert run.id in Path(next(path for path in run.get_all_logs("command") if "std_log" in path)).read_text()
    assert "logs/kept.txt" in run.get_file_names()


@sdk_call("ScriptRun.get_status", "ScriptRun.get_details", "Run.get_tags")
def states_and_times_of_a_script(ws: Workspace) -> None:
    name = script(
        "waits.py",
        """
        import time
        from azureml.core import Run
        run = Run.get_context()
        while "go" not in run.get_tags():
            time.sleep(0.1)
        """,
    )
    begun = datetime.now(UTC)
    run = Experiment(ws, "scripted").submit(ScriptRunConfig("scripts", name, compute_target=compute(ws)))
    seen = [run.get_status()]
    until = time.monotonic() + 120
    while seen[-1] not in ENDS and time.monotonic() < until:
        if seen[-1] == "Running":
            run.tag("go", "on")
        time.sleep(0.1)
        if (status := run.get_status()) != seen[-1]:
            seen.append(status)
    assert seen[-2:] in (["Running", "Completed"], ["Finalizing", "Completed"]), seen
    assert "Running" in seen
    assert [STATES.index(status) for status in seen] == sorted({STATES.index(status) for status in seen}), seen
    details = run.get_details()
    started, ended = (datetime.fromisoformat(details[key]) for key in ("startTimeUtc", "endTimeUtc"))
    assert begun <= started <= ended <= datetime.now(UTC), (begun, details)
    assert details["status"] == "Completed"


@sdk_call("AzureMLTokenAuthentication", "AzureMLTokenAuthentication.get_authentication_header")
def the_token_of_a_run(ws: Workspace) -> None:
    name = script(
        "own_token.py",
        """
        import os
        from azureml.core import Run
        run = Run.get_context()
        workspace = run.experiment.workspace
        run.tag("kind", type(workspace._auth_object).__name__)
        header = workspace._auth_object.get_authentication_header()["Authorization"]
        run.tag("own", str(header == "Bearer " + os.environ["AZUREML_RUN_TOKEN"]))
        run.tag("opens", workspace.get_default_datastore().name)
        """,
    )
    run = Experiment(ws, "scripted").submit(ScriptRunConfig("scripts", name, compute_target=compute(ws)))
    run.wait_for_completion(show_output=False)
    opened = {"kind": "AzureMLTokenAuthentication", "own": "True", "opens": "workspaceblobstore"}
    assert opened.items() <= run.get_tags().items(), run.get_tags()


if __name__ == "__main__":
    main()
