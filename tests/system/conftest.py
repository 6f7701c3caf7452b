"""A container engine and the scoring image, for the tests that need them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankmlops.container.image_files import image_name
from support.engine import Engine

ROOT = Path(__file__).parents[2]
BASE, IMAGE = "bankmlops-test-base:3.11", "bankmlops-test-scoring:latest"


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that runs, or one that is started for these tests and ended with them; without one they fail."""
    folder = tmp_path_factory.mktemp("engine")
    done = subprocess.run([ROOT / "docker" / "engine-up", folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(done.stderr.strip())
    named = {"DOCKER_HOST": done.stdout.strip(), "PYTHON": sys.executable, "BANKMLOPS_CONTAINER_ENGINE": "docker"}
    engine = Engine({**os.environ, **named}, folder, ROOT / "docker" / "engine-up")
    yield engine
    engine.end()


@pytest.fixture(scope="session")
def base(engine: Engine) -> Iterator[str]:
    """A base image made of this machine's Python, as where none can be pulled."""
    engine.script(ROOT / "docker" / "python-base", BASE)
    yield BASE
    engine("rmi", "--force", BASE)


@pytest.fixture(scope="session")
def image(engine: Engine, base: str) -> Iterator[str]:
    """The image, built anew; a deployment finds it under the name of its content."""
    words = ("-m", "bankmlops.local.serving.container_image", "--base-image", base)
    assert engine.script(sys.executable, *words, "--tag", IMAGE) == IMAGE
    found_before = engine("images", "--quiet", image_name())
    if not found_before:
        engine("tag", IMAGE, image_name())
    yield IMAGE
    engine("rmi", "--force", IMAGE, *([] if found_before else [image_name()]))
