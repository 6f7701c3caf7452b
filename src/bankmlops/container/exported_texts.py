"""The texts of an exported folder: what it says of itself, and the manifests that run it on Kubernetes.

The manifests' fields are of the API versions apps/v1 and v1; the pod meets the Pod Security Standard "restricted".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template

from bankmlops.container.image_files import BASE_IMAGE, USER
from bankmlops.types import Endpoint

PLACEHOLDER = "REPLACE-WITH-THE-SHA256-OF-THE-KEY"
_TEMPLATES = Path(__file__).parent / "templates"
_MANIFESTS = ("deployment.yaml", "service.yaml", "secret-template.yaml")
_WITH_KEYS = """\
No key is in this folder, only digests: the keys of the endpoint that was exported open this one too. For keys of its own, put
`printf %s "$KEY" | sha256sum` of two random texts into `service/service.json`."""
_WITHOUT_KEYS = "The endpoint was deployed without authentication: it answers everyone who reaches its port."


def exported_texts(endpoint: Endpoint, service: Mapping[str, object]) -> Mapping[str, str]:
    """Path -> text of `README.md` and the manifests. `service` is what `service.json` says; no digest of it is in them."""
    words = {
        "name": endpoint.name,
        "model": endpoint.model_name,
        "version": endpoint.model_version,
        "image": f"{endpoint.name}:{endpoint.model_version}",
        "base": BASE_IMAGE,
        "user": str(USER),
        "keys": _WITH_KEYS if endpoint.auth_enabled else _WITHOUT_KEYS,
        "service": _template_of(service),
    }
    paths = {"README.md": "README.md", **{f"kubernetes/{name}": name for name in _MANIFESTS}}
    return {path: Template((_TEMPLATES / name).read_text(encoding="utf-8")).substitute(words) for path, name in paths.items()}


def _template_of(service: Mapping[str, object]) -> str:
    emptied = {name: PLACEHOLDER if name.endswith("_sha256") else value for name, value in service.items()}
    return "\n".join(f"    {line}" for line in json.dumps(emptied, indent=2).splitlines())
