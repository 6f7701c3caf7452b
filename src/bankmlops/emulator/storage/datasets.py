"""Datasets: dataflows (how to read some files), saved under an id, and registered under a name with versions 1, 2, 3, ...

The dataflow is the SDK's own text. The emulator hands it back as it came, which the SDK's reader takes for the form into which
the cloud rewrites it.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, JsonBody, Workspace, now
from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError

router = Router()

_DATASETS = "/dataset/v1.0" + WS
_UNREGISTERED = "unregistered-"
_ACTIVE = {"state": "active"}
MAX_NAME = 255


@router.post(_DATASETS + "/saveddatasets")
def save(workspace: Workspace, body: JsonBody) -> Document:
    """Keep a dataflow; the same one has the same id."""
    return _save(workspace, body.get("datasetType"), _dataflow(body, "dataflowJson"), body.get("properties"))


@router.get(_DATASETS + "/saveddatasets/{saved_id}")
def get_saved(workspace: Workspace, saved_id: str) -> Document:
    """One saved dataset."""
    return _saved(workspace, saved_id)


@router.post(_DATASETS + "/datasets")
def register(workspace: Workspace, body: JsonBody, request: Request) -> Document:
    """Version 1 of a name, or its next version where the query allows one; 409 where it doesn't."""
    name = str(body.get("name") or "")
    if not name or len(name) > MAX_NAME:
        raise InvalidRequestError(f"dataset name {name!r}: give 1 to {MAX_NAME} characters")
    with workspace.documents.store.transaction():
        known = workspace.documents.get("dataset", name)
        if known is not None and request.query_params.get("updateDefinitionIfExists", "").lower() != "true":
            raise ConflictError(f"There is already a dataset registered under name {name}")
        return register_dataset(workspace, name, body)


@router.get(_DATASETS + "/datasets")
def list_datasets(workspace: Workspace) -> Document:
    """Every registered dataset with its latest version."""
    value = [_as_wire(each) for each in workspace.documents.find("dataset")]
    return {"value": value, "continuationToken": None, "nextLink": None}


@router.get(_DATASETS + "/datasets/query/name={name}")
def get_by_name(workspace: Workspace, name: str, request: Request) -> Document:
    """One registered dataset; `versionId` chooses a version."""
    return _as_wire(_registered(workspace, name), request.query_params.get("versionId"))


@router.get(_DATASETS + "/datasets/query/savedDatasetId={saved_id}")
def find_by_saved_id(workspace: Workspace, saved_id: str) -> Document:
    """The registered dataset that a saved one is a version of, if any."""
    value = [
        _as_wire(dataset, version["versionId"])
        for dataset in workspace.documents.find("dataset")
        for version in dataset["versions"]
        if version["savedDatasetId"] == saved_id
    ]
    return {"value": value, "continuationToken": None, "nextLink": None}


@router.get(_DATASETS + "/datasets/{dataset_id}")
def get_by_id(workspace: Workspace, dataset_id: str) -> Document:
    """One registered dataset by its id."""
    return _as_wire(_by_id(workspace, dataset_id))


@router.put(_DATASETS + "/datasets/{dataset_id}")
def update(workspace: Workspace, dataset_id: str, body: JsonBody) -> Document:
    """A new description and new tags, of the dataset and the version that the body shows."""
    name = _by_id(workspace, dataset_id)["name"]
    changes = {"description": body.get("description"), "tags": body.get("tags") or {}, "modifiedTime": now()}
    dataset = workspace.documents.update("dataset", name, lambda document: document.update(changes))
    version = (body.get("latest") or {}).get("versionId")
    return _as_wire(dataset or {}, version)


@router.delete(_DATASETS + "/datasets/{name}")
def unregister(workspace: Workspace, name: str) -> Response:
    """Forget the name and its versions; the saved dataflows and the data stay."""
    if not workspace.documents.delete("dataset", name):
        raise NotFoundError(f"dataset {name} is not registered in workspace {workspace.name}")
    return Response(status_code=200)


@router.get("/data/v1.0" + WS + "/dataversion/{name}/versions/{version}")
def get_data_version(workspace: Workspace, name: str, version: str) -> Document:
    """The dataflow for the SDK's native reader: of a saved dataset, named `unregistered-ID`, or of a registered version."""
    if name.startswith(_UNREGISTERED):
        dataflow = _saved(workspace, name.removeprefix(_UNREGISTERED))["dataflowJson"]
    else:
        dataflow = _as_wire(_registered(workspace, name), version)["latest"]["dataflow"]
    return {
        "dataVersion": {
            "dataContainerName": name,
            "versionId": version,
            "dataType": "MLTable",
            "dataUri": "",
            "isArchived": False,
        },
        "entityMetadata": {},
        "legacyDataflow": dataflow,
    }


def register_dataset(workspace: WorkspaceState, name: str, body: Document) -> Document:
    """The next version of a name; a dataflow that it has already is no new one."""
    with workspace.documents.store.transaction():
        return _add_version(workspace, workspace.documents.get("dataset", name) or _new_dataset(name), body)


def save_dataset(workspace: WorkspaceState, dataset_type: str, dataflow: str) -> str:
    """Keep a dataflow, and answer its id."""
    return str(_save(workspace, dataset_type, dataflow, None)["id"])


def saved_id(workspace: WorkspaceState, reference: Document) -> str:
    """The id of the saved dataset that a pipeline's reference means: a saved one, or a registered one's version.

    Raises `NotFoundError`.
    """
    saved, registered = reference.get("SavedDataSetReference"), reference.get("DataSetReference") or {}
    if saved:
        return str(_saved(workspace, str(saved.get("Id")))["id"])
    dataset = _by_id(workspace, str(registered.get("Id")))
    return str(_as_wire(dataset, registered.get("Version"))["latest"]["savedDatasetId"])


def find_dataflow(workspace: WorkspaceState, dataset_id: str) -> str:
    """The dataflow's JSON by the id of a saved dataset, or of a registered one (its latest version's). Raises `NotFoundError`."""
    saved = workspace.documents.get("saved_dataset", dataset_id)
    if saved is not None:
        return str(saved["dataflowJson"])
    return str(_as_wire(_by_id(workspace, dataset_id))["latest"]["dataflow"])


def _dataflow(body: Document, member: str) -> str:
    dataflow = body.get(member)
    if not isinstance(dataflow, str) or not dataflow:
        raise InvalidRequestError(f"{member} is missing: the dataset has no dataflow")
    return dataflow


def _save(workspace: WorkspaceState, dataset_type: Any, dataflow: str, properties: Any) -> Document:
    digest = hashlib.sha256(f"{workspace.id}\n{dataset_type}\n{dataflow}".encode()).digest()
    saved_id = str(uuid.UUID(bytes=digest[:16], version=4))
    return workspace.documents.get_or_create(
        "saved_dataset",
        saved_id,
        lambda: {
            "id": saved_id,
            "datasetType": dataset_type,
            "dataflowJson": dataflow,
            "properties": properties or {},
            "dataChanged": False,
            "createdTime": now(),
        },
    )


def _saved(workspace: WorkspaceState, saved_id: str) -> Document:
    found = workspace.documents.get("saved_dataset", saved_id)
    if found is None:
        raise NotFoundError(f"dataset {saved_id} is not in workspace {workspace.name}")
    return found


def _registered(workspace: WorkspaceState, name: str) -> Document:
    found = workspace.documents.get("dataset", name)
    if found is None:
        raise NotFoundError(f"dataset {name} is not registered in workspace {workspace.name}")
    return found


def _by_id(workspace: WorkspaceState, dataset_id: str) -> Document:
    for dataset in workspace.documents.find("dataset"):
        if dataset["datasetId"] == dataset_id:
            return dataset
    raise NotFoundError(f"dataset {dataset_id} is not in workspace {workspace.name}")


def _new_dataset(name: str) -> Document:
    return {
        "datasetId": str(uuid.uuid4()),
        "name": name,
        "datasetState": _ACTIVE,
        "isVisible": True,
        "createdTime": now(),
        "versions": [],
    }


def _add_version(workspace: WorkspaceState, dataset: Document, body: Document) -> Document:
    definition = body.get("latest") or {}
    dataflow = _dataflow(definition, "dataflow")
    saved = _save(workspace, body.get("datasetType"), dataflow, definition.get("properties"))
    for version in dataset["versions"]:
        if version["savedDatasetId"] == saved["id"]:
            return _rewritten(workspace, dataset, body, version["versionId"])
    version = {
        "datasetId": dataset["datasetId"],
        "versionId": str(len(dataset["versions"]) + 1),
        "datasetDefinitionState": _ACTIVE,
        "dataflow": dataflow,
        "properties": definition.get("properties") or {},
        "savedDatasetId": saved["id"],
        "createdTime": now(),
        "modifiedTime": now(),
    }
    dataset["versions"].append(version)
    return _rewritten(workspace, dataset, body, version["versionId"])


def _rewritten(workspace: WorkspaceState, dataset: Document, body: Document, version: str) -> Document:
    changes = {"datasetType": body.get("datasetType"), "description": body.get("description"), "tags": body.get("tags") or {}}
    dataset.update(changes, modifiedTime=now())
    workspace.documents.put("dataset", dataset["name"], dataset)
    return _as_wire(dataset, version)


def _as_wire(dataset: Document, version: str | None = None) -> Document:
    versions = dataset["versions"]
    if version is None or version == "latest":
        chosen = versions[-1]
    else:
        chosen = next((each for each in versions if each["versionId"] == version), None)
    if chosen is None:
        raise NotFoundError(f"dataset {dataset['name']} has no version {version}; it has 1 to {len(versions)}")
    return {**{key: value for key, value in dataset.items() if key != "versions"}, "latest": chosen}
