"""Runs a run's script as `python script_wrapper.py SCRIPT ARGUMENT...`, and sends what it logged before the interpreter goes.

Azure's node wraps a script for the same reason: the SDK sends metrics from threads that the end of the interpreter cuts off. Only
the standard library is imported here: the script must not see a difference.
"""

from __future__ import annotations

import os
import runpy
import sys


def main() -> None:
    """Run the script as the main program; its exit code and its traceback are its own."""
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        _send_what_is_left()


def _send_what_is_left() -> None:
    if "azureml.core.run" not in sys.modules:
        return
    from azureml._history.utils.context_managers import SendRunKillSignal

    with SendRunKillSignal():
        pass


if __name__ == "__main__":
    main()
