"""Imports LightGBM where the system has no OpenMP library.

LightGBM's wheel for Linux links to the system's `libgomp.so.1`, which a bare Debian does not have (every machine with a compiler
does). scikit-learn's wheel brings that very library, under a name of its own that the loader does not take for it: a copy in
memory gets the name that LightGBM asks for.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from importlib.metadata import files
from typing import Any

_NAME = "libgomp.so.1"


def load_lightgbm() -> Any:
    """The module `lightgbm`; raises `OSError` where no OpenMP library can be had."""
    try:
        return importlib.import_module("lightgbm")
    except OSError:
        _provide_openmp()
        return importlib.import_module("lightgbm")


def _provide_openmp() -> None:
    bundled = next((file for file in files("scikit-learn") or () if file.name.startswith("libgomp-")), None)
    if bundled is None or not hasattr(os, "memfd_create"):
        return
    own_name = bundled.name.encode() + b"\0"
    library = bundled.read_binary().replace(own_name, _NAME.encode().ljust(len(own_name), b"\0"))
    descriptor = os.memfd_create(_NAME)
    with os.fdopen(descriptor, "wb") as copy:
        copy.write(library)
        copy.flush()
        ctypes.CDLL(f"/proc/self/fd/{descriptor}", mode=ctypes.RTLD_GLOBAL)
