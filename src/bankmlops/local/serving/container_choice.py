"""Whether a model is served by a container or by a process, and why.

The rule of `auto`: a container where an engine answers within 5 s and the scoring image is there, or is there within 90 s, of
which a base image that is not there may take 20 s to come. Else a process. What was asked for by name is never replaced.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from bankmlops.errors import BackendUnavailableError
from bankmlops.local.serving.container_engine import NONE, SETTING, find_engine
from bankmlops.local.serving.container_image import PATIENT, QUICK, EngineImage, ready_image
from bankmlops.types import Runtime


@dataclass(frozen=True, slots=True)
class Choice:
    """What serves: a container of `image`, or a process where that is None; and why, where nobody asked for it."""

    image: EngineImage | None = None
    reason: str = ""


def choose_runtime(asked: Runtime, environ: Mapping[str, str] = os.environ) -> Choice:
    """What `asked` comes to here. Raises `BackendUnavailableError` where a container was asked for and there can be none."""
    if asked is Runtime.PROCESS:
        return Choice()
    if asked is Runtime.CONTAINER:
        return _container(environ)
    return _whatever_is_at_hand(environ)


def _container(environ: Mapping[str, str]) -> Choice:
    engine = find_engine(environ)
    if engine is None:
        raise BackendUnavailableError(f"{_no_engine(environ)}; start Docker or Podman, or deploy with --runtime process")
    return Choice(ready_image(engine, PATIENT, environ))


def _whatever_is_at_hand(environ: Mapping[str, str]) -> Choice:
    engine = find_engine(environ)
    if engine is None:
        return Choice(reason=_no_engine(environ))
    try:
        return Choice(ready_image(engine, QUICK, environ), f"{engine} answers, and has the scoring image")
    except BackendUnavailableError as error:
        return Choice(reason=f"{engine} answers, but the scoring image is not there ({error}); --runtime container waits for it")


def _no_engine(environ: Mapping[str, str]) -> str:
    named = environ.get(SETTING, "")
    if named == NONE:
        return f"{SETTING}={NONE} forbids a container engine"
    return f"no container engine answers ({named or 'neither docker nor podman'})"
