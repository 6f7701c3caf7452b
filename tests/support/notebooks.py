"""The project's notebooks, as a person runs them: every cell from the top to the bottom, in a kernel of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"


def assert_kept_without_outputs(name: str) -> None:
    """No output is committed, and no path of a machine."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in cells)
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


def execute(name: str, parameters: str, folder: Path, seconds: int) -> list[dict[str, Any]]:
    """The outputs of its cells, run in `folder` with the line `parameters` in the place of the cell that is tagged so."""
    notebook = nbformat.read(FOLDER / name, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source = parameters
    NotebookClient(notebook, timeout=seconds, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
