"""What featurization made of the columns, in the files that AutoML leaves beside its best model.

`featurization_summary.json` has the members that Microsoft's v1 guide "Data featurization in automated machine learning" shows.
"""

from __future__ import annotations

import json

from bankmlops.emulator.history import artifacts
from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Document

SPECIFICATION = "outputs/bundle/features.json"  # of the backend's run
SUMMARY = "outputs/featurization_summary.json"
NAMES = "outputs/engineered_feature_names.json"
# What a column of the specification has beside its name, and what AutoML calls such a column; a number has none of these.
_KINDS = {"categories": "Categorical", "parts": "DateTime", "words": "Text"}
_TRANSFORMATIONS = {
    "Numeric": ("MedianImputer",),
    "Categorical": ("OneHotEncoder",),
    "DateTime": ("DateTimeTransformer",),
    "Text": ("BagOfWordsTransformer",),
}


def publish(workspace: WorkspaceState, run_id: str) -> None:
    """Write both files for a run that has `SPECIFICATION`; nothing for another."""
    container = f"dcid.{run_id}"
    if SPECIFICATION not in artifacts.list_paths(workspace, artifacts.RUN_ORIGIN, container, SPECIFICATION):
        return
    file = artifacts.get_blob(workspace, artifacts.RUN_ORIGIN, container, SPECIFICATION).path
    specification = json.loads(file.read_text("utf-8"))
    artifacts.put_run_text(workspace, run_id, SUMMARY, json.dumps(summary(specification), indent=1))
    names = [name for column in specification["columns"] for name in _engineered(column)]
    artifacts.put_run_text(workspace, run_id, NAMES, json.dumps(names))


def summary(specification: Document) -> list[Document]:
    """A record for each column of the table, those that were dropped last."""
    kept = [_record(column["name"], _kind(column), len(_engineered(column))) for column in specification["columns"]]
    return [*kept, *(_record(name, "Ignore", 0) for name in specification["dropped"])]


def _record(name: str, kind: str, width: int) -> Document:
    transformations = _TRANSFORMATIONS.get(kind, ())
    parameters: dict[str, Document] = {
        f"Transformer{number}": {
            "Input": [name],
            "TransformationFunction": transformation,
            "Operator": None,
            "FeatureType": kind,
            "ShouldOutput": True,
            "TransformationParams": {},
        }
        for number, transformation in enumerate(transformations, 1)
    }
    return {
        "RawFeatureName": name,
        "TypeDetected": kind,
        "Dropped": "No" if transformations else "Yes",
        "EngineeredFeatureCount": width,
        "Transformations": list(transformations),
        "TransformationParams": parameters,
    }


def _kind(column: Document) -> str:
    return next((kind for member, kind in _KINDS.items() if member in column), "Numeric")


def _engineered(column: Document) -> list[str]:
    member = next((member for member in _KINDS if member in column), None)
    return [str(column["name"])] if member is None else [f"{column['name']}_{value}" for value in column[member]]
