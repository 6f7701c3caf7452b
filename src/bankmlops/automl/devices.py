"""Which device a run's learners fit on, said before it starts: a learner uses a GPU where its build can.

Nothing heavy is imported unless there is a GPU, or one is asked for by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from bankmlops.errors import InvalidRequestError
from bankmlops.types import Device

_REFUSAL = b"CUDA Tree Learner was not enabled in this build"
_DRIVER = Path("/proc/driver/nvidia/version")
_SHOWN = "CUDA_VISIBLE_DEVICES"
_WITHOUT: Mapping[str, str] = MappingProxyType(
    {
        "XGBoostClassifier": "XGBoost is built without CUDA",
        "LightGBM": "LightGBM is built without CUDA",
        "TabMClassifier": "PyTorch has no CUDA",
    }
)


def resolve_device(device: Device, algorithms: Sequence[str], driver: Path = _DRIVER) -> Device:
    """The device that a run uses; `algorithms` are the learners that it searches.

    Raises `InvalidRequestError`, with what is missing, where a GPU was asked for by name.
    """
    if device is Device.CPU or (device is Device.AUTO and _no_gpu(driver)):
        return Device.CPU
    reasons = reasons_against_cuda(algorithms, driver)
    if not reasons:
        return Device.CUDA
    if device is Device.AUTO:
        return Device.CPU
    raise InvalidRequestError(f"device cuda: {'; '.join(reasons)}; auto or cpu would serve")


def reasons_against_cuda(algorithms: Sequence[str], driver: Path = _DRIVER) -> Sequence[str]:
    """Why none of these learners can fit on a GPU here, each in a few words; none where one can."""
    learners = [name for name in _WITHOUT if name in algorithms]
    reasons = [_WITHOUT[name] for name in learners if not _has_cuda(name)]
    if not learners:
        reasons = [f"{', '.join(algorithms)} can't use a GPU"]
    elif len(reasons) < len(learners):
        reasons = []
    missing = _no_gpu(driver)
    return (missing, *reasons) if missing else reasons


def parameters_on(device: str, algorithm: str) -> Mapping[str, str]:
    """What an estimator is told beside its parameters, so that it fits on this device; nothing where its build can't."""
    if device != Device.CUDA or not _has_cuda(algorithm):
        return {}
    return {"device_type" if algorithm == "LightGBM" else "device": "cuda"}


def _no_gpu(driver: Path) -> str:
    """Why no process here sees a GPU, in a few words; empty where one may."""
    if not driver.exists():
        return "this machine shows no NVIDIA driver"
    shown = os.environ.get(_SHOWN)
    hidden = shown is not None and shown.partition(",")[0].strip() in ("", "-1")  # CUDA reads up to the first that is none
    return f"{_SHOWN} shows none" if hidden else ""


def _has_cuda(algorithm: str) -> bool:
    """Whether the learner's build can use a GPU."""
    if algorithm == "XGBoostClassifier":
        return _xgboost_has_cuda()
    if algorithm == "LightGBM":
        return _lightgbm_has_cuda()
    return algorithm == "TabMClassifier" and _torch_has_cuda()


def _torch_has_cuda() -> bool:
    try:
        import torch

        return bool(torch.cuda.is_available())
    except Exception:  # a broken PyTorch raises whatever its libraries do
        return False


def _xgboost_has_cuda() -> bool:
    import xgboost

    return bool(xgboost.build_info().get("USE_CUDA"))


def _lightgbm_has_cuda() -> bool:
    """LightGBM does not tell, and prints when it is tried; a build without CUDA holds the words with which it refuses."""
    import lightgbm

    libraries = list(Path(lightgbm.__file__).parent.rglob("lib_lightgbm.so"))
    return bool(libraries) and not any(_REFUSAL in library.read_bytes() for library in libraries)
