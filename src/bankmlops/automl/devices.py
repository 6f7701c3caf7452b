"""Which device a run's learners fit on, said before it starts: a learner uses a GPU where its build can.

Nothing heavy is imported unless there is a GPU, or one is asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bankmlops.errors import InvalidRequestError
from bankmlops.types import Device

_REFUSAL = b"CUDA Tree Learner was not enabled in this build"
_DRIVER = Path("/proc/driver/nvidia/version")


def resolve_device(device: Device, driver: Path = _DRIVER, *, network: bool = False) -> Device:
    """The device that a run uses; `network` says that it has one among its learners.

    Raises `InvalidRequestError`, with what is missing, where a GPU was asked for by name.
    """
    if device is Device.CPU or (device is Device.AUTO and not driver.exists()):
        return Device.CPU
    reasons = reasons_against_cuda(driver, network=network)
    if not reasons:
        return Device.CUDA
    if device is Device.AUTO:
        return Device.CPU
    raise InvalidRequestError(f"device cuda: {'; '.join(reasons)}; auto or cpu would serve")


def reasons_against_cuda(driver: Path = _DRIVER, *, network: bool = False) -> Sequence[str]:
    """Why no learner here can fit on a GPU, each in a few words; none where one can."""
    if not driver.exists():
        return ("this machine shows no NVIDIA driver", *_reasons(network=network))
    reasons = tuple(_reasons(network=network))
    return reasons if len(reasons) == _LEARNERS + network else ()


def parameters_on(device: str, algorithm: str) -> Mapping[str, str]:
    """What an estimator is told beside its parameters, so that it fits on this device; nothing where its build can't."""
    if device != Device.CUDA:
        return {}
    if algorithm == "XGBoostClassifier" and _xgboost_has_cuda():
        return {"device": "cuda"}
    if algorithm == "LightGBM" and _lightgbm_has_cuda():
        return {"device_type": "cuda"}
    return {"device": "cuda"} if algorithm == "TabMClassifier" and _torch_has_cuda() else {}


_LEARNERS = 2  # that might, beside the network


def _reasons(*, network: bool) -> Iterator[str]:
    if not _xgboost_has_cuda():
        yield "XGBoost is built without CUDA"
    if not _lightgbm_has_cuda():
        yield "LightGBM is built without CUDA"
    if network and not _torch_has_cuda():
        yield "PyTorch has no CUDA"


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
