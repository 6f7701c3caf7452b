"""Scripts on a compute: what is taken, what is refused, how they run, end, and are ended."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bankmlops.emulator.scripts import script_keeper, script_process
from bankmlops.emulator.scripts.script_jobs import active_jobs
from bankmlops.emulator.scripts.script_keeper import LOG_PATH, ScriptKeeper
from bankmlops.emulator.scripts.script_request import parse_script_request
from bankmlops.emulator.storage.blobs import BlobName
from bankmlops.emulator.storage.datastores import DEFAULT_DATASTORE, get_datastore
from bankmlops.emulator.web import tokens
from bankmlops.errors import InvalidRequestError
from support.served_emulator import Served

HISTORY, EXECUTION, SNAPSHOTS = "/history/v1.0", "/execution/v1.0", "/content/v2.0"


_DATASET = {"mechanism": "direct", "dataLocation": {"dataset": {"id": "i"}}}


@pytest.fixture
def keeper(served: Served) -> Iterator[ScriptKeeper]:
    """A workspace with a compute, and who carries its scripts out when told to."""
    assert served.call("PUT", "", "/computes/cpu", json={"properties": {"properties": {"scaleSettings": {}}}}).status_code == 201
    keeper = ScriptKeeper(served.emulator)
    yield keeper
    keeper.stop()
    for job in active_jobs(served.emulator):
        script_keeper.script_jobs.finish_job(served.emulator, job)


def _snapshot(served: Served, **files: str) -> str:
    """Files by name, "_" for the dot, as the SDK sends them."""
    names = {name.replace("_", "."): text for name, text in files.items()}
    nodes = served.call("POST", SNAPSHOTS, "/snapshots/getblob", json={"FileNames": list(names)}).json()["fileNodes"]
    for node in nodes:
        path = "/" + node["blobUri"].split("/", 3)[3]
        assert served.blob("PUT", path, {"x-ms-blob-type": "BlockBlob"}, content=names[node["fullName"]].encode()).is_success
    revisions = [{"FullName": node["fullName"], "BlobUri": node["blobUri"]} for node in nodes]
    tree = {"type": "Directory", "children": {name: {"name": name, "type": "File"} for name in names}}
    snapshot_id = str(uuid.uuid4())
    body = {"FileRevisionList": {"FileNodes": revisions}, "DirTreeNode": tree}
    assert served.call("POST", SNAPSHOTS, f"/snapshots/{snapshot_id}", json=body).status_code == 200
    return snapshot_id


def _submit(served: Served, text: str, **configuration: Any) -> str:
    run_id = f"run-{uuid.uuid4()}"
    asked = {"script": "train.py", "arguments": [], "target": "cpu", **configuration}
    body = {"SnapshotId": _snapshot(served, train_py=text), "Configuration": asked}
    answer = served.call("POST", EXECUTION, f"/experiments/e/snapshotrun?runId={run_id}", json=body)
    assert answer.json() == {"runId": run_id}, answer.text
    return run_id


def _run(served: Served, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = served.call("GET", HISTORY, f"/experiments/e/runs/{run_id}").json()
    return run


def _until(served: Served, keeper: ScriptKeeper, run_id: str, *statuses: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while _run(served, run_id)["status"] not in statuses:
        assert time.monotonic() < deadline, _run(served, run_id)
        keeper.advance()
        time.sleep(0.05)
    return _run(served, run_id)


def _file(served: Served, run_id: str, path: str) -> str:
    answer = served.call("GET", "/artifact/v2.0", f"/artifacts/content/ExperimentRun/dcid.{run_id}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.slow
def test_a_script_runs(served: Served, keeper: ScriptKeeper) -> None:
    """Its output becomes the log, and ./outputs the run's files; it has Azure's variables, and no secret of the emulator."""
    text = (
        "import os, sys\nprint('told', sys.argv[1:], os.environ['COLOUR'])\nos.mkdir('outputs')\n"
        "open('outputs/variables.txt', 'w').write(repr(dict(os.environ)))\n"
    )
    environment = {"environmentVariables": {"COLOUR": "blue"}}
    run_id = _submit(served, text, arguments=["--rate", 0.5], environment=environment)
    run = _until(served, keeper, run_id, "Completed", "Failed")
    assert run["status"] == "Completed", run
    assert _file(served, run_id, LOG_PATH) == "told ['--rate', '0.5'] blue\n"
    variables = eval(_file(served, run_id, "outputs/variables.txt"))  # noqa: S307 - a dict's repr, of our own making
    assert (variables["AZUREML_RUN_ID"], variables["AZUREML_ARM_WORKSPACE_NAME"]) == (run_id, served.name)
    assert not set(served.emulator.secrets.hidden()) & {secret for secret in variables.values() if len(secret) > 8}
    tokens.verify(served.emulator, f"Bearer {variables['AZUREML_RUN_TOKEN']}", tokens.MACHINE_LEARNING)
    assert not list((served.emulator.folder / "scripts").rglob("train.py"))


@pytest.mark.slow
def test_a_script_fails(served: Served, keeper: ScriptKeeper) -> None:
    """A code that is not zero makes a failed run with Azure's words, and its traceback is in the log."""
    run_id = _submit(served, "raise ValueError('no data')\n")
    run = _until(served, keeper, run_id, "Completed", "Failed")
    assert run["status"] == "Failed"
    assert "non-zero exit code" in run["error"]["error"]["message"]
    assert "ValueError: no data" in _file(served, run_id, LOG_PATH)


def test_a_start_that_fails_leaves_nothing(served: Served, keeper: ScriptKeeper) -> None:
    """A script that the snapshot lacks is a failed run, and the data that came for it is gone."""
    section = get_datastore(served.workspace, DEFAULT_DATASTORE)["azureStorageSection"]
    served.emulator.blobs.put(BlobName(section["accountName"], section["containerName"], "given/a.csv"), b"x")
    run_id = _submit(served, "pass", script="none.py", dataReferences={"r": {"pathOnDataStore": "given"}})
    run = _until(served, keeper, run_id, "Failed")
    assert "no script none.py" in run["error"]["error"]["message"]
    assert not (served.emulator.folder / "scripts" / served.workspace.id / run_id).exists()


@pytest.mark.slow
def test_outputs_that_can_not_be_stored(served: Served, keeper: ScriptKeeper) -> None:
    """A file whose name is no text fails the run with the reason, and its folder goes all the same."""
    run_id = _submit(served, "import os\nos.mkdir('outputs')\nopen(b'outputs/\\xff', 'w').close()\n")
    run = _until(served, keeper, run_id, "Completed", "Failed")
    assert (run["status"], "could not be stored" in run["error"]["error"]["message"]) == ("Failed", True)
    assert not (served.emulator.folder / "scripts" / served.workspace.id / run_id).exists()


@pytest.mark.slow
@pytest.mark.parametrize("why", ["cancelled", "overdue"])
def test_a_script_is_ended(served: Served, keeper: ScriptKeeper, why: str) -> None:
    """Cancelled, or at the end of its time, it ends with all that it started, even what does not hear SIGTERM."""
    text = (
        "import os, signal, subprocess, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(os.getpid(), child.pid, flush=True)\ntime.sleep(600)\n"
    )
    script_process.GRACE_SECONDS, before = 0.5, script_process.GRACE_SECONDS
    try:
        run_id = _submit(served, text, maxRunDurationSeconds=3 if why == "overdue" else None)
        _until(served, keeper, run_id, "Running")
        log = served.emulator.folder / "scripts" / served.workspace.id / run_id / "std_log.txt"
        while not log.exists() or not log.read_text().endswith("\n"):
            time.sleep(0.05)
        processes = [int(word) for word in log.read_text().split()]
        if why == "cancelled":
            assert served.call("POST", EXECUTION, f"/experiments/e/runId/{run_id}/cancel").status_code == 200
        run = _until(served, keeper, run_id, "Canceled")
    finally:
        script_process.GRACE_SECONDS = before
    assert len(processes) == 2
    assert not [pid for pid in processes if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert ("3 s" in str(run.get("error"))) == (why == "overdue")


@pytest.mark.slow
def test_an_emulator_that_ended_in_between(served: Served, keeper: ScriptKeeper) -> None:
    """A script that ran when the emulator ended is not run twice: its run has failed, and says why."""
    run_id = _submit(served, "import time\ntime.sleep(600)\n")
    _until(served, keeper, run_id, "Running")
    keeper.stop()
    run = _until(served, ScriptKeeper(served.emulator), run_id, "Failed")
    assert "node is lost" in run["error"]["error"]["message"]


@pytest.mark.slow
def test_a_log_is_bounded(served: Served, keeper: ScriptKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes beyond the bound is dropped, and the script does not wait for it."""
    monkeypatch.setattr(script_process, "MAX_LOG_BYTES", 1000)
    run_id = _submit(served, "for number in range(100000):\n    print('line', number)\n")
    assert _until(served, keeper, run_id, "Completed", "Failed")["status"] == "Completed"
    assert "the log is cut here" in _file(served, run_id, LOG_PATH)
    assert len(_file(served, run_id, LOG_PATH)) < 1200


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ({"framework": "PySpark"}, "Python script"),
        ({"communicator": "OpenMpi"}, "one node"),
        ({"nodeCount": 2}, "2 nodes"),
        ({"outputData": {"o": {"mechanism": "link"}}}, "output 'o'"),
        ({"outputData": {"o": {"outputLocation": {"dataPath": {"relativePath": "../other"}}}}}, "without '..'"),
        ({"arguments": ["DatasetOutputConfig:o"]}, "no input or output of that name"),
        ({"dataReferences": {"r": {"mode": "upload"}}}, "data reference 'r'"),
        ({"data": {"a b": _DATASET}}, "input 'a b'"),
        ({"data": {"a": {**_DATASET, "mechanism": "hdfs"}}}, "input 'a'"),
        ({"outputData": {"o": {"additionalOptions": {"pathOnCompute": "/etc"}}}}, "relative path"),
        ({"outputData": {"o": {"additionalOptions": {"pathOnCompute": "a/../../b"}}}}, "relative path"),
        ({"outputData": {"o": {"additionalOptions": {"registrationOptions": {"name": "n" * 256}}}}}, "255 characters"),
        ({"outputData": {"o": {"additionalOptions": {"registrationOptions": {"name": "n", "tags": ["t"]}}}}}, "an object"),
        ({"data": {"a": {**_DATASET, "environmentVariableName": "a=b"}}}, "without '='"),
        ({"environmentVariables": {"a=b": "c"}}, "environment variable 'a=b'"),
        ({"script": None}, "neither script nor command"),
    ],
)
def test_what_is_refused(configuration: dict[str, Any], told: str) -> None:
    """What is not carried out is refused with the reason, before anything starts."""
    with pytest.raises(InvalidRequestError, match=told):
        parse_script_request({"script": "train.py", "target": "cpu", **configuration})


def test_a_submission_that_can_not_be(served: Served, keeper: ScriptKeeper) -> None:
    """An unknown compute, an unknown snapshot, a wrong id, one that is taken, and outputs that could not be read as a table."""
    snapshot = _snapshot(served, train_py="pass")
    body = {"SnapshotId": snapshot, "Configuration": {"script": "train.py", "target": "cpu"}}

    def status(run_id: str = "one", **changes: object) -> int:
        return served.call("POST", EXECUTION, f"/experiments/e/snapshotrun?runId={run_id}", json={**body, **changes}).status_code

    assert status(Configuration={"script": "train.py", "target": "none"}) == 404
    assert status(SnapshotId="none") == 404
    assert status(run_id="..%2F..%2Fetc") == 400
    assert (status(), status()) == (200, 409)

    def reading(transformation: str) -> int:
        options = {"name": "d", "datasetRegistrationOptions": {"additionalTransformation": transformation}}
        output = {"additionalOptions": {"registrationOptions": options}}
        return status(run_id="two", Configuration={"script": "train.py", "target": "cpu", "outputData": {"o": output}})

    assert [reading(text) for text in ("{", "[]", '{"blocks": [{"type": "SortBlock"}]}')] == [400, 400, 400]


def test_a_snapshot_stays_in_its_folder(served: Served, keeper: ScriptKeeper, tmp_path: Path) -> None:
    """A path that points out of the folder is refused."""
    snapshot = _snapshot(served, train_py="pass")
    workspace = served.workspace
    document = workspace.documents.get("snapshot", snapshot)
    assert document is not None
    document["files"] = {"../../escaped.py": document["files"]["train.py"]}
    workspace.documents.put("snapshot", snapshot, document)
    with pytest.raises(InvalidRequestError, match="out of its folder"):
        script_process.lay_out_snapshot(workspace, snapshot, tmp_path / "deep" / "root")
    assert os.listdir(tmp_path) == []
