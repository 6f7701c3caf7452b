"""A GPU that can't be used is refused in one line; what is asked of nobody falls back without a word."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bankmlops.automl import devices
from bankmlops.automl.devices import parameters_on, resolve_device
from bankmlops.errors import InvalidRequestError
from bankmlops.types import Device


@pytest.mark.parametrize("device", [Device.AUTO, Device.CPU])
def test_the_cpu(device: Device, capfd: pytest.CaptureFixture[str]) -> None:
    """Who names no GPU gets the CPU, in silence."""
    assert resolve_device(device) is Device.CPU
    assert capfd.readouterr() == ("", "")


def test_no_gpu(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The line says what is missing: the driver, and builds of the learners that know CUDA."""
    with pytest.raises(InvalidRequestError) as caught:
        resolve_device(Device.CUDA, tmp_path / "no-driver")
    message = str(caught.value)
    assert message.startswith("device cuda: this machine shows no NVIDIA driver; XGBoost is built without CUDA; LightGBM is")
    assert message.endswith("auto or cpu would serve")
    assert capfd.readouterr() == ("", "")


def test_a_gpu_and_no_build_for_it(tmp_path: Path) -> None:
    """A driver alone makes no learner use it."""
    (tmp_path / "version").write_text("NVRM version: 1")
    with pytest.raises(InvalidRequestError, match=r"^device cuda: XGBoost is built without CUDA"):
        resolve_device(Device.CUDA, tmp_path / "version")
    assert resolve_device(Device.AUTO, tmp_path / "version") is Device.CPU


def test_a_network_without_a_gpu(tmp_path: Path) -> None:
    """A run with a network says of PyTorch, too, that it can't use one."""
    with pytest.raises(InvalidRequestError, match=r"PyTorch has no CUDA; auto or cpu would serve$"):
        resolve_device(Device.CUDA, tmp_path / "no-driver", network=True)


def test_a_gpu_that_a_network_can_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One learner that can use the GPU is enough, if it is among those of the run; the others stay on the CPU."""
    (tmp_path / "version").write_text("NVRM version: 1")
    monkeypatch.setattr(devices, "_torch_has_cuda", lambda: True)
    for device in (Device.CUDA, Device.AUTO):
        assert resolve_device(device, tmp_path / "version", network=True) is Device.CUDA
    assert resolve_device(Device.CPU, tmp_path / "version", network=True) is Device.CPU
    assert resolve_device(Device.AUTO, tmp_path / "version") is Device.CPU
    learners = ("TabMClassifier", "LightGBM", "XGBoostClassifier", "RandomForest")
    assert [dict(parameters_on("cuda", learner)) for learner in learners] == [{"device": "cuda"}, {}, {}, {}]
    assert parameters_on("cpu", "TabMClassifier") == {}


def test_a_broken_pytorch_has_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its import raises, the run is told that it has no CUDA."""
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert not devices._torch_has_cuda()
