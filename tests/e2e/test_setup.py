"""Setting up: the Python that can't serve, the wheel, and what a commit must not hold."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_a_python_that_cannot_serve(tmp_path: Path) -> None:
    """An old Python gets one line that says which versions do, and nothing is made."""
    python = tmp_path / "python2.7"
    python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 2.7.18\nexit 1\n')
    python.chmod(0o755)
    done = subprocess.run(
        [ROOT / "requirements" / "install.sh", python, tmp_path / "venv", "local"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Python 2.7.18 can't serve" in done.stderr
    assert "3.11" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
def test_the_wheel_has_the_command(tmp_path: Path) -> None:
    """The built wheel, put on the path alone, has every room, the typed marker and the command."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    site = tmp_path / "site"
    assert (site / "bankmlops" / "py.typed").exists()
    container = site / "bankmlops" / "container"
    for packaged, source in (("scoring.Dockerfile", "docker/scoring.Dockerfile"), ("scoring.txt", "requirements/scoring.txt")):
        assert (container / packaged).read_text() == (ROOT / source).read_text()
    assert (container / "templates" / "deployment.yaml").exists()
    assert "bankmlops = bankmlops.cli:main" in next(site.glob("*.dist-info/entry_points.txt")).read_text()
    program = (
        "import sys, bankmlops.cli as cli; assert cli.__file__.startswith(sys.path[0]); sys.argv[1:] = ['--help']; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {program}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "pipelines" in done.stdout


def test_the_guides_install_what_can_be_had() -> None:
    """Until there is a release each guide and notebook installs the wheel that `make dist` makes, with extras that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").rglob("*.ipynb")]
    installs = [
        each for page in pages for each in re.findall(r"pip install '([^'\n]*bankmlops[^'\n]*)'", page.read_text("utf-8"))
    ]
    assert len(installs) >= 6
    for each in installs:
        found = re.fullmatch(r"(?:\.\./)?dist/bankmlops-(.+)-py3-none-any\.whl\[(.+)\]", each)
        assert found, each
        assert found[1] == project["version"]
        assert set(found[2].split(",")) <= set(project["optional-dependencies"]), each


def test_every_locked_package_has_a_hash() -> None:
    """Each lock pins and hashes each package, and names no index."""
    for name in ("scoring", "local", "azure", "dev", "azure-ai-ml"):
        lock = (ROOT / "requirements" / f"{name}.txt").read_text()
        pins = re.findall(r"^[a-z0-9][^\n]*", lock, re.MULTILINE)
        assert pins
        for pin in re.split(r"\n(?=[a-z0-9])", lock.strip()):
            assert "==" in pin
            assert "--hash=sha256:" in pin, pin.splitlines()[0]
        assert "://" not in lock


def test_locks_agree() -> None:
    """The small locks are cut from the one that holds everything."""
    pins = {name: _pins(name) for name in ("scoring", "local", "azure", "dev")}
    for name in ("scoring", "local", "azure"):
        assert pins[name].items() <= pins["dev"].items()


def _pins(name: str) -> dict[str, str]:
    lock = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock, re.MULTILINE))
