"""The config.json that `Workspace.from_config()` looks for: which one it would find, and one lent where it would find none."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bankmlops.emulator.instance import SUBSCRIPTION_ID

RESOURCE_GROUP = "emulator"
WORKSPACE_NAME = "emulator"
SUBSCRIPTION_VARIABLES = ("AZUREML_ARM_SUBSCRIPTION", "AZURE_SUBSCRIPTION_ID", "SUBSCRIPTION_ID")
_NOTE = "lent by `bankmlops emulator run` for as long as its command runs"
_MAX_BYTES = 64 * 1024
# The SDK's own order, `azureml.core.Workspace.from_config`. The last but one is out of use, and so the least in anybody's way.
_FOLDERS = (".azureml", "aml_config", "")
_LENT = Path("aml_config") / "config.json"
_TRIES = 100


def workspace_config() -> dict[str, str]:
    """The workspace of an emulator, as a config.json; any other names serve as well, as workspaces of their own."""
    return {"subscription_id": SUBSCRIPTION_ID, "resource_group": RESOURCE_GROUP, "workspace_name": WORKSPACE_NAME}


def find_workspace_file(folder: Path) -> Path | None:
    """The file that the SDK would take, from this folder or one above it."""
    for inner in _FOLDERS:
        for place in (folder, *folder.parents):
            file = place / inner / "config.json"
            if file.is_file():
                return file
    return None


def named_subscriptions(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """The subscriptions that a script here is likely to ask for: the config.json's and the environment's."""
    file = find_workspace_file(folder)
    named = [
        str(_read(file).get("subscription_id") or "") if file else "",
        *(environ.get(name, "") for name in SUBSCRIPTION_VARIABLES),
    ]
    return list(dict.fromkeys(filter(None, named)))


@contextmanager
def lent_workspace_file(folder: Path) -> Iterator[Path | None]:
    """Where the SDK would find no config.json, lend one in `folder`/aml_config for the time of the block, and answer its path.

    Commands that run at the same time in one folder share it, and the last takes it away. A read-only folder does without.
    """
    lent = folder / _LENT
    found = find_workspace_file(folder)
    handle = _borrow(lent) if found in (None, lent) else None
    try:
        yield lent if handle else None
    finally:
        if handle is not None:
            _give_back(handle, lent)


def _read(file: Path) -> dict[str, object]:
    try:
        document = json.loads(file.read_text("utf-8-sig")[:_MAX_BYTES])
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _borrow(lent: Path) -> IO[bytes] | None:
    """The file, held under a shared lock; None where it can't be made, or is somebody's own."""
    for _ in range(_TRIES):
        try:
            _place(lent)
            handle = lent.open("rb")
        except (FileNotFoundError, FileExistsError):
            continue  # another command took it away in between
        except OSError:
            return None
        fcntl.flock(handle, fcntl.LOCK_SH)
        if _is_same(handle, lent):
            return handle if _read(lent).get("note") == _NOTE else None
        handle.close()  # another command took it away before it was locked
    return None


def _place(lent: Path) -> None:
    """Put the file there whole, unless there is one."""
    lent.parent.mkdir(exist_ok=True)
    unfinished = lent.with_name(f".{lent.name}.{secrets.token_hex(4)}")
    unfinished.write_text(json.dumps({**workspace_config(), "note": _NOTE}, indent=2), "utf-8")
    try:
        with suppress(FileExistsError):
            lent.hardlink_to(unfinished)
    finally:
        unfinished.unlink(missing_ok=True)


def _is_same(handle: IO[bytes], path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    return False


def _give_back(handle: IO[bytes], lent: Path) -> None:
    with handle, suppress(OSError):  # BlockingIOError: another command still uses it; or somebody took it away
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_same(handle, lent):
            lent.unlink()
            lent.parent.rmdir()
