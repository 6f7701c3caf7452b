"""One ACI service's container: Microsoft's own inference server, alone on a socket that the emulator opened for it.

`azmlinfsrv` binds every interface, so its WSGI app is run by gunicorn (as it does itself) on a loopback socket handed over as a
file descriptor. The user's `score.py` and what it unpickles run in this process alone, which ends when the emulator does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
WORKER_TIMEOUT_SECONDS = 300
_MAXIMUM_WORKERS = 64


def main() -> None:
    """Serve on the inherited socket: arguments are its file descriptor and the parent's process id."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    end_with_parent(parent)
    # Ctrl-C in the emulator's terminal reaches its children too: the emulator ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve(descriptor)


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process when the parent's starting thread ends; go at once if it has gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _serve(descriptor: int) -> None:
    from azureml_inference_server_http.constants import PACKAGE_ROOT  # type: ignore[import-untyped]
    from azureml_inference_server_http.log_config import load_logging_config  # type: ignore[import-untyped]
    from gunicorn.app.wsgiapp import WSGIApplication  # type: ignore[import-untyped]

    load_logging_config(PACKAGE_ROOT)
    sys.argv = ["azmlinfsrv", "--bind", f"fd://{descriptor}", "--workers", _workers(), "--timeout", str(WORKER_TIMEOUT_SECONDS)]
    sys.argv += ["--no-control-socket", "--access-logfile", "-", "--error-logfile", "/dev/null"]
    sys.argv += ["azureml_inference_server_http.server.entry:app"]
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]").run()


def _workers() -> str:
    """As many as the deployment's `WORKER_COUNT` says, as in Azure's container."""
    given = os.environ.get("WORKER_COUNT", "")
    return str(min(max(1, int(given)), _MAXIMUM_WORKERS)) if given.isdecimal() else "1"


if __name__ == "__main__":
    main()
