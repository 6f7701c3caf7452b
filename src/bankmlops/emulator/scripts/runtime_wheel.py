"""The tiny wheel that `AutoMLRun.get_output()` wants.

The SDK imports `azureml.train.automl.runtime` before it unpickles a model, and Microsoft's wheel of that module pins numpy and
pandas to versions years old. Ours holds that one module, and re-exports the two names that samples take from it. It has no
`__init__.py` above that module, so it works both installed and as a path on PYTHONPATH: the SDK's packages extend their paths.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from pathlib import Path

NAME = "bankmlops_azureml_automl_runtime"
VERSION = "1.0.0"
FILE_NAME = f"{NAME}-{VERSION}-py3-none-any.whl"

_MODULE = f'''"""Stands in for Microsoft's module of this name: enough of it for `AutoMLRun.get_output()`."""

from azureml.pipeline.steps import AutoMLStep, AutoMLStepRun

__all__ = ["AutoMLStep", "AutoMLStepRun"]
__version__ = "{VERSION}"
'''
_INFO = f"{NAME}-{VERSION}.dist-info"
_FILES = {
    "azureml/train/automl/runtime/__init__.py": _MODULE,
    f"{_INFO}/METADATA": (
        f"Metadata-Version: 2.1\nName: {NAME.replace('_', '-')}\nVersion: {VERSION}\n"
        "Summary: The module that AutoMLRun.get_output() imports\nLicense: MIT\n"
    ),
    f"{_INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: bankmlops\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
# A wheel is importable from PYTHONPATH only where each folder above the module has an entry of its own.
_FOLDERS = ("azureml/", "azureml/train/", "azureml/train/automl/", "azureml/train/automl/runtime/")


def build_runtime_wheel(folder: Path) -> Path:
    """Write the wheel into `folder` (atomically, the same bytes each time) and answer its path."""
    wheel = folder / FILE_NAME
    unfinished = folder / f".{FILE_NAME}.{os.getpid()}"
    with zipfile.ZipFile(unfinished, "w") as archive:
        for name in _FOLDERS:
            archive.writestr(zipfile.ZipInfo(name), "")
        for name, text in {**_FILES, f"{_INFO}/RECORD": _record()}.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    unfinished.replace(wheel)
    return wheel


def _record() -> str:
    lines = [f"{name},sha256={_digest(text)},{len(text.encode())}" for name, text in _FILES.items()]
    return "\n".join([*lines, f"{_INFO}/RECORD,,"]) + "\n"


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
