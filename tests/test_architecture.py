"""Which way the doors open: each room imports only what the house plan lets it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "bankmlops"
BASE = {"types", "errors", ""}
DOORS: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "": set(),
    "pipelines": {"types", "errors"},
    "run_graph": {"types"},
    "backend": {"pipelines", "types", "errors"},
    "control_desk": {"types"},
    "runs": {"types", "errors"},
    "client": {"types", "errors"},
    "benchmark": {"client", "types", "errors"},
    "swagger_ui": {"client", "scoring", "types", "errors"},
    "evidence": {"benchmark", "types"},
    "flow": {"backend", "runs", "client", "benchmark", "evidence", "types", "errors"},
    "connect": {"backend", "control_desk", "local", "azure", "errors"},
    "cli": {
        "flow",
        "evidence",
        "connect",
        "client",
        "benchmark",
        "swagger_ui",
        "run_graph",
        "emulator",
        "datasets",
        "backend",
        "runs",
        "pipelines",
        "batch",
        "insights",
        "online",
        "container",
        *BASE,
    },
    "__main__": {"cli"},
    "notebook": {"backend", "runs", "connect", "run_graph", *BASE},
    "features": {"types", "errors"},
    "datasets": {"features", *BASE},
    "automl": {"features", *BASE},
    "scoring": {"features", *BASE},
    "insights": {"backend", "features", *BASE},
    "online": {"automl", "backend", "runs", "datasets", "features", *BASE},
    "batch": {"backend", "datasets", "features", "scoring", *BASE},
    "container": {"backend", *BASE},
    "local": {"backend", "control_desk", "batch", "pipelines", "automl", "container", "datasets", "features", "scoring", *BASE},
    "azure": {"backend", "datasets", "pipelines", *BASE},
    "emulator": {"automl", "backend", "connect", "datasets", *BASE},
}
LAZY = {("connect", "local"), ("connect", "azure"), ("cli", "emulator"), ("emulator", "automl")}


def _room(module: Path) -> str:
    first = module.relative_to(SOURCE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def _imports(module: Path) -> list[tuple[str, bool]]:
    """The rooms that a module imports, and whether it does so inside a function."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    inside = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(f)}
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module] if node.module != "bankmlops" else [f"bankmlops.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name == "bankmlops" or name.startswith("bankmlops."):
                room = name.removeprefix("bankmlops").lstrip(".").partition(".")[0]
                found.append(("" if room == "__version__" else room, id(node) in inside))
    return found


MODULES = sorted(SOURCE.rglob("*.py"))


def test_every_room_is_in_the_plan() -> None:
    """A new folder or top-level module has to say which doors it has."""
    assert {_room(module) for module in MODULES} <= set(DOORS)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_doors(module: Path) -> None:
    """A module imports no room but those that its own room opens onto, and heavy rooms only inside functions."""
    room = _room(module)
    for imported, inside in _imports(module):
        assert imported == room or imported in DOORS[room], f"{room} must not open onto {imported}"
        assert inside or (room, imported) not in LAZY, f"{room} imports {imported} at its top"


def test_no_relative_imports() -> None:
    """Imports are absolute, so that the doors can be read."""
    for module in MODULES:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level], module


def test_scoring_stands_on_little() -> None:
    """The scoring room and the features import where nothing that trains can be imported."""
    program = (
        "import sys\n"
        "for name in ('flaml', 'mlflow', 'sklearn', 'pandas', 'azureml', 'scipy', 'pyarrow', 'lightgbm', 'xgboost', 'typer'):\n"
        "    sys.modules[name] = None\n"
        "import bankmlops.scoring.__main__, bankmlops.features\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
