"""What a run has done so far, on disk: a folder beside the output with a file for each chunk, and what they were made from.

A chunk counts when its file bears its name, which is the last thing that happens to it; so whatever ends a run, the next one
goes on. The folder is gone when the output is whole.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bankmlops.batch.reading import Rejection
from bankmlops.datasets.whole_files import make_folder, whole_file
from bankmlops.errors import ConflictError

_COUNT, _FILE = b"bankmlops.rows", b"bankmlops.file"


@dataclass(frozen=True, slots=True)
class Totals:
    """What the output holds."""

    rows: int
    rejected: int


class Parts:
    """The chunks of one output. Only one process at a time has them: see `open_parts`."""

    def __init__(self, output: Path, folder: Path) -> None:
        self._output = output
        self._folder = folder

    def done(self) -> Mapping[int, int]:
        """The chunks that are whole, and how many rows of the input each stands for."""
        found = {}
        for path in self._folder.glob("chunk-*.arrow"):
            try:
                with pa.memory_map(str(path)) as source:
                    found[int(path.stem.partition("-")[2])] = int(pa.ipc.open_file(source).schema.metadata[_COUNT])
            except (pa.ArrowException, KeyError, TypeError):  # cut short by a machine that went down: it is done anew
                path.unlink()
        return found

    def put(self, number: int, file: int, count: int, answers: pa.Table, rejections: Sequence[Rejection]) -> None:
        """Keep a chunk's answers; rows count from its first, and `count` rows of the input's file `file` were in it."""
        with whole_file(self._folder / f"chunk-{number:08d}.jsonl") as partial:
            partial.write_text("".join(json.dumps(asdict(each)) + "\n" for each in rejections), encoding="utf-8")
        answers = answers.replace_schema_metadata({_COUNT: str(count), _FILE: str(file)})
        with (
            whole_file(self._folder / f"chunk-{number:08d}.arrow") as partial,
            pa.ipc.new_file(partial, answers.schema) as writer,
        ):
            writer.write_table(answers.combine_chunks())

    def assemble(self, schema: pa.Schema, files: Sequence[str], rejected: Path) -> Totals:
        """Write the output and the side file, whole or not at all, and forget the chunks.

        Each chunk is a row group. `file` tells which of `files` a row is from; `row` counts from 0 in it.
        """
        rows = faults = 0
        with whole_file(self._output) as partial, whole_file(rejected) as side:
            labelled = pa.schema([pa.field("file", pa.dictionary(pa.int32(), pa.string())), *schema])
            with _writer(partial, labelled) as writer, side.open("w") as lines:
                for path, answers, index, first in self._in_order():
                    writer.write_table(_placed(answers, labelled, files, index, first))
                    rows += answers.num_rows
                    faults += _append(path.with_suffix(".jsonl"), lines, files[index], first)
        shutil.rmtree(self._folder, ignore_errors=True)
        if not faults:
            rejected.unlink(missing_ok=True)
        return Totals(rows, faults)

    def _in_order(self) -> Iterator[tuple[Path, pa.Table, int, int]]:
        """Each chunk's file, answers, place among the input's files, and the number of its first row in that."""
        last, first = -1, 0
        for path in sorted(self._folder.glob("chunk-*.arrow")):
            with pa.OSFile(str(path)) as source:
                answers = pa.ipc.open_file(source).read_all()
            index = int(answers.schema.metadata[_FILE])
            first = first if index == last else 0
            yield path, answers, index, first
            last, first = index, first + int(answers.schema.metadata[_COUNT])


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Row numbers go up by one, so they are written as differences."""
    return pq.ParquetWriter(
        path,
        schema,
        use_dictionary=["file", "prediction"],
        column_encoding={"row": "DELTA_BINARY_PACKED"},
        compression="zstd",
    )


def _placed(answers: pa.Table, schema: pa.Schema, files: Sequence[str], index: int, first: int) -> pa.Table:
    indices = pa.array(numpy.full(answers.num_rows, index, dtype=numpy.int32))
    named = pa.DictionaryArray.from_arrays(indices, pa.array(files, pa.string()))
    numbers = pc.add(answers.column("row"), first)
    return pa.table([named, numbers, *answers.columns[1:]], schema=schema)


def _append(rejections: Path, lines: Any, file: str, first: int) -> int:
    """Copy a chunk's rejections with their place in the input; answers how many."""
    count = 0
    with rejections.open(encoding="utf-8") as source:
        for count, line in enumerate(source, start=1):  # noqa: B007  # the last one is the answer
            rejection = json.loads(line)
            lines.write(json.dumps({"file": file, **rejection, "row": rejection["row"] + first}, ensure_ascii=False) + "\n")
    return count


@contextmanager
def open_parts(output: Path, job: Mapping[str, Any]) -> Iterator[Parts]:
    """The parts of an earlier attempt at the very same `job`, or none. Those of another job are thrown away.

    Raises `ConflictError` while another process has them, and `OSError`.
    """
    folder = output.with_name(f".{output.name}.parts")
    make_folder(folder.parent)
    with _lock(output.with_name(f".{output.name}.lock"), output):
        if _read(folder / "job.json") != job:
            shutil.rmtree(folder, ignore_errors=True)
            make_folder(folder)
            with whole_file(folder / "job.json") as partial:
                partial.write_text(json.dumps(job, indent=1), encoding="utf-8")
        yield Parts(output, folder)


@contextmanager
def _lock(path: Path, output: Path) -> Iterator[None]:
    """Held by this process until the end, however that comes."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"{output}: another process is writing it; wait for that, or name another output") from None
        yield
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
