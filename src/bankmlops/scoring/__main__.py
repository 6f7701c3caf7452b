"""`python -m bankmlops.scoring --service-dir DIR`: the command that starts the service, in a container or as a process."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

from bankmlops.errors import BankMLOpsError
from bankmlops.scoring.no_pickles import refuse_pickles
from bankmlops.scoring.supervisor import serve
from bankmlops.scoring.worker import Folders


def main() -> int:
    """Serve until told to stop; 0 after an orderly end, 1 with one line on stderr where the service can't start."""
    parser = argparse.ArgumentParser(prog="python -m bankmlops.scoring", description="Serve a model's bundle over HTTP.")
    parser.add_argument("--service-dir", type=Path, required=True, help="holds service.json and the folder model/")
    parser.add_argument("--model-dir", type=Path, help="the model's bundle: model/ of the service folder, if left out")
    parser.add_argument("--state-dir", type=Path, help="where it writes its files: the service folder, if left out")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, which ready.json names")
    arguments = parser.parse_args()
    _log_to_stderr()
    refuse_pickles()
    try:
        serve(_folders(arguments), arguments.host, arguments.port)
    except BankMLOpsError as error:
        sys.stderr.write(f"ERROR {error}\n")
        return 1
    return 0


def _log_to_stderr() -> None:
    """With times as the request log has them, UTC with its Z: who reads the log may live in another zone."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _folders(arguments: argparse.Namespace) -> Folders:
    service: Path = arguments.service_dir
    return Folders(service, arguments.model_dir or service / "model", arguments.state_dir or service)


if __name__ == "__main__":
    sys.exit(main())
