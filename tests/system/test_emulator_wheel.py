"""The emulator installed alone: the built wheel with its extra in a fresh environment serves Microsoft's SDK."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
SECONDS = 1200
_PIN = re.compile(r"^[A-Za-z0-9][\w.\-]*==\S+", re.MULTILINE)
# What pip says where the index has not what is asked for, or can't be reached.
_UNRESOLVED = ("No matching distribution", "Could not find a version", "ResolutionImpossible", "ConnectionError", "Max retries")
CLIENT = """
import pkg_resources
from azureml.core import Workspace
print("as old notebooks ask:", pkg_resources.get_distribution("azureml-core").version)
ws = Workspace.from_config()
ws.get_default_keyvault().set_secret("one", "two")
print("logged in:", ws.get_default_datastore().name, ws.get_default_keyvault().get_secret("one"))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel, what its extra asks for in the lock's versions, and pip."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    pins = folder / "pins.txt"
    pins.write_text("\n".join(_PIN.findall((ROOT / "requirements" / "dev.txt").read_text("utf-8"))) + "\n")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    words = (python, "-m", "pip", "--quiet", "install", "--no-compile", "--constraint", pins, f"{wheel}[emulator]")
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode and any(reason in done.stderr for reason in _UNRESOLVED):
        pytest.skip(f"pip's index does not resolve the extra: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "venv"


def test_an_sdk_client_logs_in(environment: Path, tmp_path: Path) -> None:
    """Nothing else is needed: the command starts, the SDK that came along logs in, and all is gone afterwards."""
    (tmp_path / "client.py").write_text(CLIENT)
    command = environment / "bin" / "bankmlops"
    said = _run(command, "emulator", "run", "--", environment / "bin" / "python", "-W", "ignore", "client.py", folder=tmp_path)
    assert "logged in: workspaceblobstore two" in said
    assert "as old notebooks ask: 1." in said


def test_it_holds_together(environment: Path) -> None:
    """No requirement of a package is broken, and nothing of the development environment came along."""
    python = environment / "bin" / "python"
    _run(python, "-m", "pip", "check")
    _run(python, "-c", "import importlib.util as util, sys; sys.exit(any(map(util.find_spec, ('pytest', 'ruff', 'playwright'))))")


def _run(*words: object, folder: Path = ROOT) -> str:
    done = subprocess.run(list(map(str, words)), cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout
