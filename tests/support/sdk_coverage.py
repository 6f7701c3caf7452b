"""The table of the SDK's calls, tested or not: `python -m support.sdk_coverage docs/sdk-coverage.md`, with tests/ on the path.

The calls are the public methods of the SDK's own classes; which are tested stands in the checks themselves, before each of which
`@sdk_call("Class.method", ...)` names what it proves. Scripts are read and not imported.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "e2e" / "sdk_calls"
MARK = "sdk_call"
BEGIN, END = "<!-- calls -->\n", "<!-- /calls -->\n"
CLASSES = {
    "azureml.core": "Workspace Experiment Run ScriptRun ScriptRunConfig Environment Model Datastore Dataset Keyvault",
    "azureml.core.compute": "ComputeTarget AmlCompute",
    "azureml.core.model": "InferenceConfig",
    "azureml.core.webservice": "Webservice AciWebservice",
    "azureml.core.authentication": (
        "InteractiveLoginAuthentication MsiAuthentication ServicePrincipalAuthentication ArmTokenAuthentication "
        "AzureCliAuthentication AzureMLTokenAuthentication"
    ),
    "azureml.data": "TabularDataset FileDataset OutputFileDatasetConfig",
    "azureml.data.abstract_dataset": "AbstractDataset",
    "azureml.data.azure_storage_datastore": "AzureBlobDatastore",
    "azureml.data.data_reference": "DataReference",
    "azureml.data.dataset_consumption_config": "DatasetConsumptionConfig",
    "azureml.data.dataset_factory": "TabularDatasetFactory FileDatasetFactory",
    "azureml.pipeline.core": (
        "Pipeline PipelineRun StepRun PublishedPipeline PipelineEndpoint PipelineData PipelineParameter TrainingOutput"
    ),
    "azureml.pipeline.core.schedule": "Schedule ScheduleRecurrence",
    "azureml.pipeline.steps": "AutoMLStep AutoMLStepRun PythonScriptStep CommandStep",
    "azureml.train.automl": "AutoMLConfig",
    "azureml.train.automl.run": "AutoMLRun",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one script, and the calls that it names."""

    script: str
    name: str
    calls: tuple[str, ...]


def find_checks() -> list[Check]:
    """Every check of every script, in their order."""
    return [check for script in sorted(SCRIPTS.glob("*.py")) for check in _checks_of(script)]


def unknown_calls() -> list[str]:
    """What checks name and the SDK does not have."""
    return sorted(call for check in find_checks() for call in check.calls if _row_of(call) not in _rows())


def write(document: str) -> str:
    """The document with the table in it made anew."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{_table()}\n{END}{after}"


def _table() -> str:
    tests: dict[str, list[str]] = {}
    for check in find_checks():
        for row in dict.fromkeys(map(_row_of, check.calls)):
            tests.setdefault(row, []).append(f"{check.script}: {check.name}")
    rows = _rows()
    lines = [f"{len(tests.keys() & rows.keys())} of {len(rows)} calls are tested.\n"]
    for kind in _classes():
        calls = [row for row, owner in rows.items() if owner == kind]
        lines.append(f"### {kind}: {len(tests.keys() & set(calls))} of {len(calls)}\n\n| call | tested by |\n| --- | --- |")
        lines += [f"| `{call}` | {', '.join(tests.get(call, ['-']))} |" for call in calls]
        lines.append("")
    return "\n".join(lines)


@cache
def _classes() -> dict[str, type]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: getattr(importlib.import_module(module), name) for module, names in CLASSES.items() for name in names.split()
        }


@cache
def _rows() -> dict[str, str]:
    """Every call of the table, and the class under which it stands."""
    rows = {}
    for name, kind in _classes().items():
        rows[name] = name
        rows |= {call: name for member in _public(kind) if (call := f"{name}.{member}") == _row_of(call)}
    return rows


def _row_of(call: str) -> str:
    """The row of a call: a method that one of the classes inherits from another stands under the one that has it first."""
    name, _, member = call.partition(".")
    kind = _classes().get(name)
    if kind is None or not member:
        return call
    bases = {base: title for title, base in _classes().items()}
    same = [base for base in kind.__mro__ if base in bases and getattr(base, member, None) is getattr(kind, member, None)]
    return f"{bases[same[-1]]}.{member}" if same else call


def _public(kind: type) -> Iterator[str]:
    for name, member in inspect.getmembers(kind):
        if not name.startswith("_") and (callable(member) or isinstance(member, property)) and not inspect.isclass(member):
            yield name


def _checks_of(script: Path) -> Iterator[Check]:
    for node in ast.parse(script.read_text("utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == MARK:
                yield Check(script.stem, node.name, tuple(ast.literal_eval(word) for word in mark.args))


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(write(path.read_text("utf-8")), "utf-8")
