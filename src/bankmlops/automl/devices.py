"""Which device a run's learners fit on, said before it starts: none of the builds that are installed may be able to use a GPU.

Nothing heavy is imported unless a GPU is asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bankmlops.errors import InvalidRequestError
from bankmlops.types import Device

_REFUSAL = b"CUDA Tree Learner was not enabled in this build"
_DRIVER = Path("/proc/driver/nvidia/version")


def resolve_device(device: Device, driver: Path = _DRIVER) -> Device:
    """The device that a run uses: the CPU, which every learner can.

    Raises `InvalidRequestError`, with what is missing, where a GPU was asked for by name.
    """
    if device is not Device.CUDA:
        return Device.CPU
    raise InvalidRequestError(f"device cuda: {'; '.join(reasons_against_cuda(driver))}; auto or cpu would serve")


def reasons_against_cuda(driver: Path = _DRIVER) -> Sequence[str]:
    """Why no learner here can fit on a GPU, each in a few words."""
    return tuple(_reasons(driver))


def _reasons(driver: Path) -> Iterator[str]:
    if not driver.exists():
        yield "this machine shows no NVIDIA driver"
    if not _xgboost_has_cuda():
        yield "XGBoost is built without CUDA"
    if not _lightgbm_has_cuda():
        yield "LightGBM is built without CUDA"
    yield "scikit-learn's learners know no GPU"


def _xgboost_has_cuda() -> bool:
    import xgboost

    return bool(xgboost.build_info().get("USE_CUDA"))


def _lightgbm_has_cuda() -> bool:
    """LightGBM does not tell, and prints when it is tried; a build without CUDA holds the words with which it refuses."""
    import lightgbm

    libraries = list(Path(lightgbm.__file__).parent.rglob("lib_lightgbm.so"))
    return bool(libraries) and not any(_REFUSAL in library.read_bytes() for library in libraries)
