"""Reads one dataset as Azure ML would, by Microsoft's own reader, and writes it as Parquet.

A process of its own: the native reader keeps threads and looks at its surroundings (proxy, home) once, when it is first used.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Read a dataflow's YAML from stdin and write its rows to the file of the argument; a failure is one line on stderr."""
    dataflow, target = sys.stdin.read(), Path(sys.argv[1])
    try:
        _read(dataflow, target)
    except Exception as error:  # the native reader's errors share no base class, and the parent wants one line
        sys.exit(_one_line(error))


def _one_line(error: Exception) -> str:
    """What the native reader means for a person stands after "Error Message:", before a bar."""
    text = " ".join(str(error).split())
    return text.rpartition("Error Message:")[2].partition("|")[0].strip()[:1000] or type(error).__name__


def _read(dataflow: str, target: Path) -> None:
    from azureml.dataprep.api.engineless_dataflow import EnginelessDataflow
    from azureml.dataprep.rslex import PyRsDataflow

    frame = EnginelessDataflow(PyRsDataflow(dataflow)).to_pandas_dataframe(on_error="null", out_of_range_datetime="null")
    frame.to_parquet(target, index=False)


if __name__ == "__main__":
    main()
