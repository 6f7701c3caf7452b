"""The scoring image: built by the engine from the package's own files, once for each state of them.

The build has no network. The wheels of the lock, each checked against its hash, are downloaded first with this machine's pip.
`python -m bankmlops.local.serving.container_image` is `make image`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bankmlops.container.image_files import BASE_IMAGE, LOCK, image_name, write_context
from bankmlops.errors import BackendUnavailableError, BankMLOpsError
from bankmlops.local.serving.container_engine import ContainerEngine, find_engine, last_line, run_bounded

BASE_SETTING = "BANKMLOPS_BASE_IMAGE"
PULL_SECONDS = 20.0
QUICK_SECONDS = 90.0
PATIENT_SECONDS = 900.0
_WHEELHOUSE = "wheelhouse"


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds may pass until the image is there: for the base image's download, and in all."""

    pull: float
    total: float


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image, and the engine that has it."""

    engine: ContainerEngine
    name: str


QUICK = Patience(PULL_SECONDS, QUICK_SECONDS)
PATIENT = Patience(PATIENT_SECONDS, PATIENT_SECONDS)


def ready_image(engine: ContainerEngine, patience: Patience, environ: Mapping[str, str] = os.environ) -> EngineImage:
    """The scoring image; it is built where it is not there yet. Raises `BackendUnavailableError` with what was at fault."""
    image = image_name()
    if not engine.has_image(image):
        build_image(engine, image, environ.get(BASE_SETTING) or BASE_IMAGE, patience)
    return EngineImage(engine, image)


def build_image(engine: ContainerEngine, image: str, base: str, patience: Patience) -> None:
    """Build the image on `base`, which is pulled where it is not there. Raises `BackendUnavailableError`."""
    deadline = time.monotonic() + patience.total
    if not engine.has_image(base):
        engine("pull", "--quiet", base, seconds=min(patience.pull, patience.total))
    with tempfile.TemporaryDirectory(prefix="bankmlops-image-") as name:
        context = Path(name)
        write_context(context)
        download_wheels(context, deadline - time.monotonic())
        _buildable(engine)(*_build_words(engine, image, base, context), seconds=max(1.0, deadline - time.monotonic()))


def download_wheels(context: Path, seconds: float) -> None:
    """Fill the context's wheelhouse with what its lock names. Raises `BackendUnavailableError`."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--require-hashes", "--only-binary", ":all:", "--python-version", "3.11", "--no-deps"),
        *("--requirement", str(context / LOCK), "--dest", str(context / _WHEELHOUSE)),
    ]
    try:
        output = run_bounded(command, max(1.0, seconds))
    except TimeoutError:
        raise BackendUnavailableError(f"the scoring image's packages were not downloaded within {seconds:.0f} s") from None
    if output.code != 0:
        complaint = last_line(output.complained) or f"exit code {output.code}"
        raise BackendUnavailableError(f"the scoring image's packages can't be downloaded: {complaint}")
    for wheel in (context / _WHEELHOUSE).iterdir():
        wheel.chmod(0o644)


def _build_words(engine: ContainerEngine, image: str, base: str, context: Path) -> list[str]:
    formats = ["--format", "docker"] if engine.command == "podman" else []  # its own format has no HEALTHCHECK
    return [
        *("build", "--quiet", *formats, "--network", "none", "--build-arg", f"BASE_IMAGE={base}"),
        *("--build-arg", f"PIP_INSTALL_ARGS=--no-index --find-links=/tmp/{_WHEELHOUSE}", "--tag", image, str(context)),
    ]


def _buildable(engine: ContainerEngine) -> ContainerEngine:
    """The engine, told to build by itself where its client has no buildx."""
    try:
        engine("buildx", "version")
    except BackendUnavailableError:
        return replace(engine, environment={**engine.environment, "DOCKER_BUILDKIT": "0"})
    return engine


def main() -> int:
    """Build the image and print its name; 1 and one line on stderr where it can't be."""
    parser = argparse.ArgumentParser(
        prog="python -m bankmlops.local.serving.container_image", description="Build the scoring image."
    )
    parser.add_argument("--base-image", default=BASE_IMAGE, help=f"an image with Python 3.11: {BASE_IMAGE}, if left out")
    parser.add_argument("--tag", help="what it is called: a digest of its files, if left out")
    arguments = parser.parse_args()
    try:
        engine = find_engine()
        if engine is None:
            raise BackendUnavailableError("no container engine answers; start Docker or Podman")
        image = arguments.tag or image_name()
        build_image(engine, image, arguments.base_image, PATIENT)
    except BankMLOpsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{image}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
