"""Azure ML's operationalizing flow on this machine, and the same flow on Azure."""

import os

# Official builds of ONNX Runtime send usage events to their maker and keep an identifier in the home folder. Only this variable,
# set before its first import in a process, keeps them from it; a value that somebody set stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: the look-up costs more than a light command's other imports together."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("bankmlops")
    except PackageNotFoundError:  # a source tree that nobody installed
        return "0.0.0"
