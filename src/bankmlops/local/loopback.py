"""How this machine's own servers are called: plain HTTP, past any proxy, and no certificate authorities are read for it."""

from __future__ import annotations

import ssl
from typing import TypedDict


class Options(TypedDict):
    """What an httpx client is made with."""

    trust_env: bool
    verify: ssl.SSLContext


OPTIONS: Options = {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
