"""LightGBM's OpenMP library, on a machine that has none."""

from __future__ import annotations

import subprocess
import sys

import pytest

_WITHOUT_THE_SYSTEM_S = """
import ctypes
from pathlib import Path

from bankmlops.automl import lightgbm_library

lightgbm_library._provide_openmp()
provided = ctypes.CDLL("libgomp.so.1")
import lightgbm
import numpy

rows = numpy.arange(100)
model = lightgbm.LGBMClassifier(n_estimators=2, n_jobs=2, verbose=-1).fit(rows.reshape(-1, 1), rows // 50)
assert model.predict([[99]]) == [1]
loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libgomp.so.1" in line}
print(loaded, "memfd:libgomp.so.1" in Path("/proc/self/maps").read_text())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only LightGBM's wheels for Linux look for the system's library")
@pytest.mark.slow
def test_the_bundled_library_serves() -> None:
    """Once it is provided, LightGBM trains on it, and the system's own is not looked for."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT_THE_SYSTEM_S], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["set()", "True"]
