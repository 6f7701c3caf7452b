"""A GPU that can't be used is refused in one line; what is asked of nobody falls back without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lightgbm
import pytest
import xgboost

from bankmlops.automl import devices
from bankmlops.automl.algorithms import ALGORITHMS
from bankmlops.automl.devices import parameters_on, resolve_device
from bankmlops.automl.fitting import _unfitted
from bankmlops.automl.tasks import FitTask
from bankmlops.errors import InvalidRequestError
from bankmlops.types import Device

TREES = tuple(algorithm.name for algorithm in ALGORITHMS)
NOT_ENABLED = b"[LightGBM] [Fatal] CUDA Tree Learner was not enabled in this build."


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a machine with an NVIDIA driver shows."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    path = tmp_path / "version"
    path.write_text("NVRM version: 1")
    return path


def _build(monkeypatch: pytest.MonkeyPatch, folder: Path, *, xgboost_knows: bool, lightgbm_library: bytes | None) -> None:
    """Have both packages be builds of this kind."""
    monkeypatch.setattr(xgboost, "build_info", lambda: {"USE_CUDA": xgboost_knows})
    package = folder / "lightgbm"
    (package / "lib").mkdir(parents=True)
    if lightgbm_library is not None:
        (package / "lib" / "lib_lightgbm.so").write_bytes(lightgbm_library)
    monkeypatch.setattr(lightgbm, "__file__", str(package / "__init__.py"))


def _settings(device: str) -> dict[str, str | None]:
    """What each learner would be fitted on, by its estimator's own parameters."""
    found = {}
    for algorithm in ALGORITHMS:
        task = FitTask("one", algorithm.name, algorithm.settle(algorithm.starts[0]), 0, 1, device=device)
        parameters = _unfitted(task).get_params()
        found[algorithm.name] = parameters.get("device_type") or parameters.get("device")
    return {name: device for name, device in found.items() if device}


@pytest.mark.parametrize(
    ("xgboost_knows", "library", "fitted_on"),
    [
        (True, b"\x7fELF", {"XGBoostClassifier": "cuda", "LightGBM": "cuda"}),
        (True, NOT_ENABLED, {"XGBoostClassifier": "cuda"}),
        (False, b"\x7fELF", {"LightGBM": "cuda"}),
        (True, None, {"XGBoostClassifier": "cuda"}),
    ],
)
def test_builds_that_know_cuda(
    driver: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    xgboost_knows: bool,
    library: bytes | None,
    fitted_on: dict[str, str],
) -> None:
    """Where a driver is there, each learner whose build can gets the GPU, by `auto` and by name; `cpu` keeps all of them off."""
    _build(monkeypatch, tmp_path, xgboost_knows=xgboost_knows, lightgbm_library=library)
    for device in (Device.AUTO, Device.CUDA):
        assert _settings(resolve_device(device, TREES, driver)) == fitted_on
    assert resolve_device(Device.CPU, TREES, driver) is Device.CPU
    assert _settings(Device.CPU) == {}


def test_builds_that_know_cuda_and_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one thing that is missing is all that is said; who asked for nothing gets the CPU."""
    _build(monkeypatch, tmp_path, xgboost_knows=True, lightgbm_library=b"\x7fELF")
    with pytest.raises(InvalidRequestError, match=r"^device cuda: this machine shows no NVIDIA driver; auto or cpu would serve$"):
        resolve_device(Device.CUDA, TREES, tmp_path / "no-driver")
    assert resolve_device(Device.AUTO, TREES, tmp_path / "no-driver") is Device.CPU


def test_builds_that_do_not(driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that none of them can use is named by all of them, in one line; `auto` is the CPU."""
    _build(monkeypatch, tmp_path, xgboost_knows=False, lightgbm_library=NOT_ENABLED)
    message = r"^device cuda: XGBoost is built without CUDA; LightGBM is built without CUDA; auto or cpu would serve$"
    with pytest.raises(InvalidRequestError, match=message):
        resolve_device(Device.CUDA, TREES, driver)
    assert resolve_device(Device.AUTO, TREES, driver) is Device.CPU


def test_learners_that_are_not_searched(driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that knows CUDA counts where the run searches that learner, and no other of the run's can use a GPU for it."""
    _build(monkeypatch, tmp_path, xgboost_knows=True, lightgbm_library=NOT_ENABLED)
    refused = {
        ("LogisticRegression",): "LogisticRegression can't use a GPU",
        ("LogisticRegression", "LightGBM"): "LightGBM is built without CUDA",
    }
    for algorithms, reason in refused.items():
        with pytest.raises(InvalidRequestError, match=f"^device cuda: {reason}; auto or cpu would serve$"):
            resolve_device(Device.CUDA, algorithms, driver)
        assert resolve_device(Device.AUTO, algorithms, driver) is Device.CPU
    assert resolve_device(Device.CUDA, ("LogisticRegression", "XGBoostClassifier"), driver) is Device.CUDA


@pytest.mark.parametrize(("shown", "is_hidden"), [("", True), ("-1", True), (" -1,0", True), ("0", False), ("GPU-8a3f,1", False)])
def test_gpus_that_are_hidden(driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str, is_hidden: bool) -> None:
    """Where the environment shows processes no GPU, there is none."""
    _build(monkeypatch, tmp_path, xgboost_knows=True, lightgbm_library=None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert resolve_device(Device.AUTO, TREES, driver) is (Device.CPU if is_hidden else Device.CUDA)
    if is_hidden:
        with pytest.raises(InvalidRequestError, match=r"^device cuda: CUDA_VISIBLE_DEVICES shows none; auto or cpu would serve$"):
            resolve_device(Device.CUDA, TREES, driver)


def test_nothing_is_imported_for_nothing(tmp_path: Path) -> None:
    """Where there is no driver and no GPU was asked for by name, no learner is imported to find that out."""
    ask = (
        "import sys; from pathlib import Path; from bankmlops.automl.devices import resolve_device; "
        "from bankmlops.types import Device; resolve_device(Device.AUTO, ['LightGBM', 'TabMClassifier'], Path(sys.argv[1])); "
        "resolve_device(Device.CPU, ['TabMClassifier']); "
        "print({'torch', 'xgboost', 'lightgbm'} & set(sys.modules))"
    )
    words = [sys.executable, "-c", ask, str(tmp_path / "no-driver")]
    assert subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout == "set()\n"


@pytest.mark.parametrize("device", [Device.AUTO, Device.CPU])
def test_the_cpu(device: Device, capfd: pytest.CaptureFixture[str]) -> None:
    """Who names no GPU gets the CPU, in silence."""
    assert resolve_device(device, TREES) is Device.CPU
    assert capfd.readouterr() == ("", "")


def test_no_gpu(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The line says what is missing: the driver, and builds of the learners that know CUDA."""
    with pytest.raises(InvalidRequestError) as caught:
        resolve_device(Device.CUDA, TREES, tmp_path / "no-driver")
    message = str(caught.value)
    assert message.startswith("device cuda: this machine shows no NVIDIA driver; XGBoost is built without CUDA; LightGBM is")
    assert message.endswith("auto or cpu would serve")
    assert capfd.readouterr() == ("", "")


def test_a_network_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with a network says of PyTorch, too, that it can't use one."""
    monkeypatch.setattr(devices, "_torch_has_cuda", lambda: False)
    with pytest.raises(InvalidRequestError, match=r"PyTorch has no CUDA; auto or cpu would serve$"):
        resolve_device(Device.CUDA, (*TREES, "TabMClassifier"), tmp_path / "no-driver")


def test_a_gpu_that_a_network_can_use(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One learner that can use the GPU is enough, if it is among those of the run; the others stay on the CPU."""
    monkeypatch.setattr(devices, "_torch_has_cuda", lambda: True)
    for device in (Device.CUDA, Device.AUTO):
        assert resolve_device(device, (*TREES, "TabMClassifier"), driver) is Device.CUDA
    assert resolve_device(Device.CPU, (*TREES, "TabMClassifier"), driver) is Device.CPU
    assert resolve_device(Device.AUTO, TREES, driver) is Device.CPU
    learners = ("TabMClassifier", "LightGBM", "XGBoostClassifier", "RandomForest")
    assert [dict(parameters_on("cuda", learner)) for learner in learners] == [{"device": "cuda"}, {}, {}, {}]
    assert parameters_on("cpu", "TabMClassifier") == {}


def test_a_broken_pytorch_has_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its import raises, the run is told that it has no CUDA."""
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert not devices._torch_has_cuda()
