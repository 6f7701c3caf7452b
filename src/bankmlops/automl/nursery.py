"""The process from which trial processes are forked: it has imported the learners once, and holds the table in memory.

`python -m bankmlops.automl.nursery FOLDER [network]` reads `matrix.npy`, `labels.npy` and `folds.npy` there, then a JSON command
a line on stdin: `{"fit": {...}}` forks a process for the task, `{"kill": NAME}` ends one. It says `{"ended": NAME}` on stdout
when a task's process has ended, whatever became of it: the result is on disk or it is not; and `{"disk": ERRNO}` where the disk
refused it. When stdin closes it ends, and so do its children, also where it is killed itself.

It must never start a thread or a parallel loop of its own: a fork copies one thread alone, and OpenMP's pool would be missing.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import sys
from pathlib import Path
from typing import Any

from bankmlops.automl.algorithms import NETWORK
from bankmlops.automl.network.library import preload_network
from bankmlops.automl.tasks import DISK_REFUSALS, FitTask, perform

_PR_SET_PDEATHSIG = 1
_CHUNK = 1 << 16


def main() -> None:
    """Serve until stdin closes."""
    _end_with_parent()
    nursery = Nursery(Path(sys.argv[1]))
    if sys.argv[2:] == ["network"]:
        preload_network()  # before the first trial: while it goes on nothing else is begun, ended or told
    nursery.serve()


class Nursery:
    """The table, and the processes that work on it."""

    def __init__(self, folder: Path) -> None:
        import numpy

        import_learners()
        self._folder = folder
        self._matrix = numpy.load(folder / "matrix.npy", mmap_mode="r")
        self._labels = numpy.load(folder / "labels.npy")
        self._folds = numpy.load(folder / "folds.npy")
        self._selector = selectors.DefaultSelector()
        self._names: dict[int, tuple[str, int]] = {}  # the pidfd of each process: its task's name, its process id

    def serve(self) -> None:
        """Obey commands and report ends."""
        self._say({"ready": True})
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        pending = b""
        while True:
            for key, _ in self._selector.select():
                if key.fd != sys.stdin.fileno():
                    self._reap(key.fd)
                    continue
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    self._kill_all()
                    return
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))

    def _obey(self, command: dict[str, Any]) -> None:
        if "fit" in command:
            self._fork(command["fit"])
            return
        for name, pid in self._names.values():
            if name == command["kill"]:
                os.kill(pid, signal.SIGKILL)

    def _fork(self, task: dict[str, Any]) -> None:
        if task["algorithm"] == NETWORK.name:
            preload_network()  # once, and not in each child; it starts no thread
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._work(task, parent)
        pidfd = os.pidfd_open(pid)
        self._names[pidfd] = (task["name"], pid)
        self._selector.register(pidfd, selectors.EVENT_READ)

    def _work(self, task: dict[str, Any], parent: int) -> None:
        """The forked process' life; it never returns."""
        code = 1
        try:
            _end_with_parent()
            if os.getppid() != parent:  # it died before we asked to be told
                os._exit(1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            perform(self._folder, FitTask(**task), self._matrix, self._labels, self._folds)
            code = 0
        except OSError as error:
            code = error.errno if error.errno in DISK_REFUSALS else 1
            print(f"{task['name']}: {error}", file=sys.stderr)  # noqa: T201
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _reap(self, pidfd: int) -> None:
        name, pid = self._names.pop(pidfd)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._say({"disk": code} if code in DISK_REFUSALS else {"ended": name})

    def _kill_all(self) -> None:
        for _, pid in self._names.values():
            os.kill(pid, signal.SIGKILL)

    def _say(self, message: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def import_learners() -> None:
    """Import what fits take seconds to import, so that it is not the first fit that takes them."""
    import joblib  # noqa: F401
    import sklearn.ensemble
    import sklearn.linear_model
    import sklearn.pipeline
    import sklearn.preprocessing  # noqa: F401
    import xgboost  # noqa: F401

    import bankmlops.automl.fitting  # noqa: F401
    from bankmlops.automl.lightgbm_library import load_lightgbm

    load_lightgbm()


def _end_with_parent() -> None:
    """Linux: have the kernel kill this process when the one that started it dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    main()
