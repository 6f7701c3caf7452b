"""The lists of packages stay as long as they are: what an extra is for is in none of the others."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCORING = {"httptools", "numpy", "onnxruntime", "pydantic-core", "swagger-ui-bundle", "uvicorn", "uvloop"}
LOCKED_FOR_SCORING = {
    *SCORING,
    "click",
    "flatbuffers",
    "h11",
    "jinja2",
    "markupsafe",
    "packaging",
    "protobuf",
    "typing-extensions",
}
BUILDS_THE_WHEEL = {"editables", "hatchling", "pathspec", "pluggy", "tomlkit", "trove-classifiers"}
LOCAL = {
    *("bankmlops", "charset-normalizer", "croniter", "dbos", "duckdb", "fastapi", "filelock", "flaml", "lightgbm", "matplotlib"),
    *("mlflow", "onnx", "onnxmltools", "pandas", "psutil", "pyarrow", "pyyaml", "scikit-learn", "scipy", "skl2onnx", "starlette"),
    "xgboost-cpu",
}
ASKED_FOR = {"tabm", "torch", "ray", "river", "pytorch-lightning", "xgboost", "nvidia-nccl-cu12"}


def _names(lines: list[str]) -> set[str]:
    return {found[0].lower() for line in lines if (found := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line))}


@pytest.mark.parametrize(
    ("extra", "names"),
    [("scoring", SCORING), ("cli", {"httpx", "rich", "typer"}), ("local", LOCAL), ("deep", {"tabm", "torch"}), ("ray", {"ray"})],
)
def test_what_an_extra_asks_for(extra: str, names: set[str]) -> None:
    """A package that a feature alone needs has an extra of its own; one that all need is added here, with its reason there."""
    assert EXTRAS["dependencies"] == []
    assert _names(EXTRAS["optional-dependencies"][extra]) == names


@pytest.mark.parametrize(
    "lock", [ROOT / "requirements" / "scoring.txt", ROOT / "src" / "bankmlops" / "container" / "scoring.txt"]
)
def test_what_the_scoring_container_installs(lock: Path) -> None:
    """These packages, and no more."""
    assert _names(lock.read_text().splitlines()) == LOCKED_FOR_SCORING | BUILDS_THE_WHEEL


def test_what_the_local_install_has() -> None:
    """Neither PyTorch nor Ray nor anything else that is asked for by an extra comes with it."""
    assert not _names((ROOT / "requirements" / "local.txt").read_text().splitlines()) & ASKED_FOR


def test_what_scoring_imports() -> None:
    """Of what is installed the scoring service and the features load no more than the packages of their list bring."""
    program = (
        "import sys, sysconfig; before = set(sys.modules)\n"
        "import bankmlops.scoring.__main__, bankmlops.scoring.app, bankmlops.scoring.worker_process, bankmlops.features\n"
        "places = {sysconfig.get_path(name) for name in ('purelib', 'platlib')}\n"
        "files = {name.partition('.')[0]: getattr(sys.modules[name], '__file__', None) for name in set(sys.modules) - before}\n"
        "print(*(name for name, file in files.items() if file and any(file.startswith(place) for place in places)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    known = {name.replace("-", "_") for name in LOCKED_FOR_SCORING}
    assert {"numpy", "onnxruntime"} <= set(done.stdout.split()) <= {*known, "google"}
