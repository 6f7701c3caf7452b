"""What the libraries log is kept from a person's terminal; this package's own warnings are not."""

from __future__ import annotations

import logging
import sys
import warnings

from bankmlops.cli.text import one_line


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        line = one_line(self.format(record))
        sys.stderr.write(f"{record.levelname.lower()}: {line}\n")


def configure(*, debug: bool) -> None:
    """Warnings of ours and errors of anybody's go to stderr, a line each; with `debug` everything does."""
    root = logging.getLogger()
    if debug:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        return
    warnings.simplefilter("ignore")
    handler = _Lines()
    handler.addFilter(lambda record: record.levelno >= logging.ERROR or record.name.partition(".")[0] == "bankmlops")
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
