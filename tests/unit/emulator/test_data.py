"""Datastores, datasets, snapshots and environments on the wire."""

from __future__ import annotations

import io
import uuid
import zipfile
from urllib.parse import urlsplit

import pytest

from bankmlops.emulator.storage import datasets, datastores
from bankmlops.errors import NotFoundError
from support.served_emulator import Served

STORES = "/datastore/v1.0"
DATASETS = "/dataset/v1.0"


def _store(served: Served, name: str, **section: str) -> dict[str, object]:
    account = {"accountName": served.workspace.account, "containerName": "mine", "accountKey": "a2V5", **section}
    return {"name": name, "dataStoreType": "AzureBlob", "azureStorageSection": account}


def _dataset(name: str, dataflow: str = '{"a": 1}', **more: object) -> dict[str, object]:
    return {"name": name, "datasetType": "tabular", "latest": {"dataflow": dataflow, "properties": {}}, **more}


def test_the_built_in_datastores(served: Served) -> None:
    """Every workspace has a blob store, the default, and an artifact store, with the account's true key."""
    listed = served.call("GET", STORES, "/datastores").json()["value"]
    assert [each["name"] for each in listed] == ["workspaceblobstore", "workspaceartifactstore"]
    default = served.call("GET", STORES, "/default").json()
    assert default["name"] == "workspaceblobstore"
    assert default["azureStorageSection"]["accountKey"] == served.workspace.account_key
    assert served.call("GET", STORES, "/datastores/none").status_code == 404


def test_a_datastore_of_ones_own(served: Served) -> None:
    """It is made once, changed, made the default, and forgotten; a taken name is a 400 in the words that the SDK looks for."""
    assert served.call("POST", STORES, "/datastores", json=_store(served, "Mine")).json()["name"] == "mine"
    taken = served.call("POST", STORES, "/datastores", json=_store(served, "mine"))
    assert (taken.status_code, "Another datastore with the same name already exists" in taken.text) == (400, True)
    served.call("PUT", STORES, "/datastores/mine", json=_store(served, "mine", containerName="other"))
    assert served.call("GET", STORES, "/datastores/MINE").json()["azureStorageSection"]["containerName"] == "other"
    served.call("PUT", STORES, "/default/mine")
    assert served.call("GET", STORES, "/default").json()["name"] == "mine"
    assert served.call("DELETE", STORES, "/datastores/mine").status_code == 200
    assert served.call("DELETE", STORES, "/datastores/mine").status_code == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": ""},
        {"dataStoreType": "AzureSqlDatabase"},
        {"azureStorageSection": {"accountName": "x"}},
    ],
)
def test_datastores_that_cannot_serve(served: Served, wrong: dict[str, object]) -> None:
    """A bad name, another kind of store or a missing container is a 400, and nothing is kept."""
    assert served.call("POST", STORES, "/datastores", json={**_store(served, "good"), **wrong}).status_code == 400
    with pytest.raises(NotFoundError):
        datastores.get_datastore(served.workspace, "good")


def test_versions_of_a_dataset(served: Served) -> None:
    """A name is taken until a new version is asked for; the same dataflow is the same version; each version can be read."""
    path = "/datasets"
    first = served.call("POST", DATASETS, path, json=_dataset("bank", tags={"k": "v"})).json()
    assert (first["latest"]["versionId"], first["tags"]) == ("1", {"k": "v"})
    assert served.call("POST", DATASETS, path, json=_dataset("bank", "{}")).status_code == 409
    newer = {"updateDefinitionIfExists": "true", "ifExistsOk": "true"}
    assert served.call("POST", DATASETS, path, json=_dataset("bank", "{}"), params=newer).json()["latest"]["versionId"] == "2"
    assert served.call("POST", DATASETS, path, json=_dataset("bank"), params=newer).json()["latest"]["versionId"] == "1"
    by_name = served.call("GET", DATASETS, "/datasets/query/name=bank").json()
    assert (by_name["latest"]["versionId"], by_name["datasetId"]) == ("2", first["datasetId"])
    old = served.call("GET", DATASETS, "/datasets/query/name=bank", params={"versionId": 1}).json()
    assert old["latest"]["dataflow"] == '{"a": 1}'
    assert served.call("GET", DATASETS, "/datasets/query/name=bank", params={"versionId": 9}).status_code == 404
    assert served.call("GET", DATASETS, "/datasets/query/name=none").status_code == 404


def test_a_dataset_by_its_ids(served: Served) -> None:
    """The saved id and the registered id lead to the dataflow, on the wire and for whoever trains on it."""
    made = served.call("POST", DATASETS, "/datasets", json=_dataset("ids", '{"ids": 1}')).json()
    saved_id, dataset_id = made["latest"]["savedDatasetId"], made["datasetId"]
    assert served.call("GET", DATASETS, f"/datasets/{dataset_id}").json()["name"] == "ids"
    found = served.call("GET", DATASETS, f"/datasets/query/savedDatasetId={saved_id}").json()["value"]
    assert [each["name"] for each in found] == ["ids"]
    assert served.call("GET", DATASETS, f"/saveddatasets/{saved_id}").json()["dataflowJson"] == '{"ids": 1}'
    version = served.call("GET", "/data/v1.0", f"/dataversion/unregistered-{saved_id}/versions/1").json()
    assert version["legacyDataflow"] == '{"ids": 1}'
    assert datasets.find_dataflow(served.workspace, saved_id) == datasets.find_dataflow(served.workspace, dataset_id)
    with pytest.raises(NotFoundError):
        datasets.find_dataflow(served.workspace, str(uuid.uuid4()))


def test_an_unregistered_dataset(served: Served) -> None:
    """Saving gives the same id for the same dataflow, and registers nothing."""
    body = {"datasetType": "tabular", "dataflowJson": '{"saved": 1}', "properties": {}}
    ids = {served.call("POST", DATASETS, "/saveddatasets", json=body).json()["id"] for _ in range(2)}
    assert len(ids) == 1
    assert served.call("GET", DATASETS, "/datasets").json()["value"] == []
    assert served.call("POST", DATASETS, "/saveddatasets", json={}).status_code == 400


def test_tags_and_the_end_of_a_dataset(served: Served) -> None:
    """An update replaces tags and description of the version shown; unregistering forgets the name and keeps the dataflow."""
    made = served.call("POST", DATASETS, "/datasets", json=_dataset("tagged")).json()
    body = {**made, "tags": {"new": "1"}, "description": "text"}
    changed = served.call("PUT", DATASETS, f"/datasets/{made['datasetId']}", json=body).json()
    assert (changed["tags"], changed["description"], changed["latest"]["versionId"]) == ({"new": "1"}, "text", "1")
    assert served.call("DELETE", DATASETS, "/datasets/tagged").status_code == 200
    assert served.call("DELETE", DATASETS, "/datasets/tagged").status_code == 404
    assert served.call("GET", DATASETS, f"/saveddatasets/{made['latest']['savedDatasetId']}").status_code == 200


def _upload(served: Served, files: dict[str, bytes]) -> list[dict[str, object]]:
    nodes = served.call("POST", "/content/v2.0", "/snapshots/getblob", json={"FileNames": list(files)}).json()["fileNodes"]
    for node in nodes:
        parts = urlsplit(node["blobUri"])
        sent = served.client.put(f"{parts.path}?{parts.query}", headers={"Host": parts.netloc}, content=files[node["fullName"]])
        assert sent.status_code == 201
    return [{"FullName": node["fullName"], "BlobUri": node["blobUri"], "FileSize": 1} for node in nodes]


def _create(served: Served, parent: str, tree: dict[str, object], revisions: object) -> tuple[str, int]:
    snapshot_id = str(uuid.uuid4())
    body = {"ParentSnapshotId": parent, "DirTreeNode": tree, "FileRevisionList": {"FileNodes": revisions}}
    return snapshot_id, served.call("POST", "/content/v2.0", f"/snapshots/{snapshot_id}", json=body).status_code


def _files_of(served: Served, snapshot_id: str) -> dict[str, bytes]:
    parts = urlsplit(served.call("POST", "/content/v2.0", f"/snapshots/{snapshot_id}/zip").json()["zipSasUri"])
    content = served.client.get(f"{parts.path}?{parts.query}", headers={"Host": parts.netloc}).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_snapshots_build_on_each_other(served: Served) -> None:
    """A snapshot holds what was sent with it, what its parent has and its tree still names, and nothing else."""
    file = {"type": "File", "hash": "x"}
    tree = {"type": "Directory", "children": {"a.py": file, "sub": {"type": "Directory", "children": {"b.py": file}}}}
    empty = served.call("GET", "/content/v1.0", "/snapshots/latest/metadata").json()
    assert empty["root"]["children"] == {}
    first, status = _create(served, empty["id"], tree, _upload(served, {"a.py": b"1", "sub/b.py": b"2"}))
    assert status == 200
    assert _files_of(served, first) == {"a.py": b"1", "sub/b.py": b"2"}
    smaller = {"type": "Directory", "children": {"a.py": file, "c.py": file}}
    second, _ = _create(served, first, smaller, _upload(served, {"c.py": b"3"}))
    assert _files_of(served, second) == {"a.py": b"1", "c.py": b"3"}
    assert served.call("GET", "/content/v1.0", f"/snapshots/{second}/metadata").json()["root"] == smaller


def test_snapshots_that_cannot_be(served: Served) -> None:
    """An unknown parent is a 404, after which the SDK sends all; a file that was never sent or lies elsewhere is a 400."""
    assert _create(served, str(uuid.uuid4()), {}, [])[1] == 404
    elsewhere = f"https://{served.workspace.account}.blob.core.windows.net/azureml/ExperimentRun/dcid.x/outputs/model.pkl"
    for url in (elsewhere, "https://evil.example/azureml/Snapshots/x", elsewhere.replace("ExperimentRun", "Snapshots")):
        assert _create(served, "", {}, [{"FullName": "a", "BlobUri": url}])[1] == 400


def test_environments(served: Served) -> None:
    """A changed definition is a new version, an unchanged one is not; curated ones are a 404."""
    path = "/environments/mine"
    one = {"Name": "mine", "EnvironmentVariables": {"A": "1"}, "python": {}}
    assert served.call("GET", "/environment/v1.0", path).status_code == 404
    first = served.call("PUT", "/environment/v1.0", path, json=one).json()
    assert (first["version"], first["environmentVariables"]) == ("1", {"A": "1"})
    assert served.call("PUT", "/environment/v1.0", path, json=one).json()["version"] == "1"
    assert served.call("PUT", "/environment/v1.0", path, json={**one, "EnvironmentVariables": {}}).json()["version"] == "2"
    assert served.call("GET", "/environment/v1.0", path).json()["version"] == "2"
    assert served.call("GET", "/environment/v1.0", f"{path}/versions/1").json()["environmentVariables"] == {"A": "1"}
    listed = served.call("GET", "/environment/v1.0", "/environments/").json()["value"]
    assert [(each["name"], each["version"]) for each in listed] == [("mine", "2")]
    assert served.call("PUT", "/environment/v1.0", "/environments/a%20b", json=one).status_code == 400
