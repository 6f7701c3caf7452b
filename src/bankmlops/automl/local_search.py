"""FLAML's local search, FLOW2 (Wu, Wang and Huang, AAAI 2021), without the rest of FLAML.

`import flaml` brings its AutoML, and with it MLflow, scikit-learn, pandas and, where it is installed, Ray: 3.6 seconds of a core,
in the middle of a search whose trials wait for the next proposal. FLOW2 itself needs numpy alone. So its module is imported with
empty packages around it, which are taken away again: whoever imports `flaml` in the same process gets all of it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from bankmlops.automl.algorithms import Dimension, Parameters

_PACKAGES = ("flaml", "flaml.tune", "flaml.tune.searcher")


def local_search(space: Mapping[str, Dimension], start: Parameters, loss: float, seed: int) -> Any:
    """A searcher (`suggest`, `on_trial_complete`) that moves away from `start`, whose loss is known."""
    flow2, sample = _modules()
    domains = {name: _domain(sample, dimension) for name, dimension in space.items()}
    searcher = flow2.FLOW2(dict(start), metric="loss", mode="min", space=domains, seed=seed)
    searcher.best_obj = loss
    return searcher


@cache
def _modules() -> tuple[ModuleType, ModuleType]:
    with _packages_without_their_imports():
        return importlib.import_module("flaml.tune.searcher.flow2"), importlib.import_module("flaml.tune.sample")


def _domain(sample: ModuleType, dimension: Dimension) -> Any:
    if dimension.integer:
        make = sample.lograndint if dimension.log else sample.randint
        return make(int(dimension.low), int(dimension.high) + 1)
    make = sample.loguniform if dimension.log else sample.uniform
    return make(dimension.low, dimension.high)


@contextmanager
def _packages_without_their_imports() -> Iterator[None]:
    before = {name: module for name, module in sys.modules.items() if _belongs(name)}
    for name in before:
        del sys.modules[name]
    sys.modules.update(_empty_packages())
    sys.modules["ray"] = None  # type: ignore[assignment]  # FLOW2 takes Ray's classes in place of FLAML's where Ray is there
    try:
        yield
    finally:
        for name in [name for name in sys.modules if _belongs(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _belongs(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] == "flaml" or name == "ray"


def _empty_packages() -> dict[str, ModuleType]:
    spec = find_spec("flaml")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("flaml is not installed", name="flaml")
    packages = {}
    for name in _PACKAGES:
        packages[name] = ModuleType(name)
        packages[name].__path__ = [str(Path(spec.origin).parent.joinpath(*name.split(".")[1:]))]
    return packages
