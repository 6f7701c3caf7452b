"""An endpoint as a folder that builds and runs anywhere: image, model, settings and Kubernetes manifests, and no key.

The settings hold the digests of the endpoint's keys, so its callers go on as they are; no key can be had from a digest of 256
random bits. They stay out of the image.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from bankmlops.backend import Backend
from bankmlops.container.exported_texts import exported_texts
from bankmlops.container.image_files import write_context
from bankmlops.errors import BackendUnavailableError, ConflictError, NotFoundError
from bankmlops.types import Endpoint

BUNDLE = "/bundle/"
_IGNORED = "README.md\nkubernetes\nservice\n"
_MODEL_LAYER = "\n# The model, which the exported folder has beside this file.\nCOPY model /model\n"


def export_endpoint(backend: Backend, name: str, folder: Path) -> Path:
    """Write the endpoint `name` into `folder`, whole or not at all, and answer the folder.

    Raises `NotFoundError` for an endpoint that is not there or whose model has no exported bundle, `ConflictError` where the
    folder holds something already, and `BackendUnavailableError` where the disk refuses.
    """
    endpoint = backend.get_endpoint(name)
    _refuse_filled(folder)
    unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        unfinished.mkdir(parents=True)
        _download_model(backend, endpoint, unfinished / "model")
        _write_files(unfinished, endpoint, _service(backend, endpoint))
        _put_in_place(unfinished, folder)
    except OSError as error:
        raise BackendUnavailableError(f"can't write {folder}: {error.strerror}; choose another folder") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _refuse_filled(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(f"{folder} holds something already; choose an empty folder, or one that is not there")


def _download_model(backend: Backend, endpoint: Endpoint, to: Path) -> None:
    model = backend.get_model(endpoint.model_name, endpoint.model_version)
    paths = [path for path in backend.list_artifacts(model.run_id) if BUNDLE in path]
    if not any(path.endswith(f"{BUNDLE}model.json") for path in paths):
        which = f"version {model.version} of model {model.name!r}"
        raise NotFoundError(f"{which} has no exported bundle; a model that was trained on the local backend has one")
    for path in paths:
        backend.download_artifact(model.run_id, path, to)


def _service(backend: Backend, endpoint: Endpoint) -> Mapping[str, object]:
    """`service.json` as the scoring service reads it."""
    digests: dict[str, object] = {}
    if endpoint.auth_enabled:
        keys = backend.get_keys(endpoint.name)
        digests = {"primary_key_sha256": _digest(keys.primary), "secondary_key_sha256": _digest(keys.secondary)}
    return {
        "name": endpoint.name,
        "model_name": endpoint.model_name,
        "model_version": endpoint.model_version,
        "auth_enabled": endpoint.auth_enabled,
        "app_insights": endpoint.app_insights,
        "workers": endpoint.workers,
        "cors_origins": list(endpoint.cors_origins),
        "plain_json": endpoint.plain_json,
        "unknown_categories": endpoint.unknown_categories,
        "collect_model_data": endpoint.collect_model_data,
        **digests,
    }


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _write_files(folder: Path, endpoint: Endpoint, service: Mapping[str, object]) -> None:
    texts = {
        ".dockerignore": _IGNORED,
        "service/service.json": json.dumps(service, indent=2) + "\n",
        **exported_texts(endpoint, service),
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    write_context(folder)
    with (folder / "Dockerfile").open("a", encoding="utf-8") as dockerfile:
        dockerfile.write(_MODEL_LAYER)


def _put_in_place(unfinished: Path, folder: Path) -> None:
    if folder.exists():
        folder.rmdir()
    os.replace(unfinished, folder)
