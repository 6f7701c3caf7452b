"""What the environment says of the user's own proxy, whether or not an emulator's variables have been set over it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
NO_PROXY_VARIABLES = ("no_proxy", "NO_PROXY")
# What the variables held before `bankmlops emulator env` set them: an emulator that starts in such a shell must not use itself.
KEPT_PROXY = "BANKMLOPS_EMULATOR_UPSTREAM"
KEPT_NO_PROXY = "BANKMLOPS_EMULATOR_NO_PROXY"


def original_proxy(environ: Mapping[str, str]) -> str:
    """The user's own proxy, or nothing."""
    if KEPT_PROXY in environ:
        return environ[KEPT_PROXY]
    return next((environ[name] for name in PROXY_VARIABLES if environ.get(name)), "")


def original_exceptions(environ: Mapping[str, str]) -> str:
    """The user's own NO_PROXY, or nothing."""
    if KEPT_NO_PROXY in environ:
        return environ[KEPT_NO_PROXY]
    return next((environ[name] for name in NO_PROXY_VARIABLES if environ.get(name)), "")


def leads_to_emulator(environ: Mapping[str, str]) -> bool:
    """Whether Azure's names lead to an emulator here: `bankmlops emulator env` was evaluated, and its proxy still counts."""
    proxy = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    return KEPT_PROXY in environ and proxy.startswith("http://127.0.0.1:")


def bypasses(host: str, exceptions: tuple[str, ...]) -> bool:
    """Whether NO_PROXY's entries (`*`, a name, which stands for all under it, an address or a network) take in this host."""
    name = host.lower().strip("[]").rstrip(".")
    return any(_covers(entry.lower(), name) for entry in exceptions)


def _covers(entry: str, name: str) -> bool:
    if entry == "*":
        return True
    bare = entry.removeprefix("*").lstrip(".")
    if name == bare or name.endswith(f".{bare}"):
        return True
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
