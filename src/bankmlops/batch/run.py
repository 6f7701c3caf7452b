"""Scores files from end to end: a thread for each core, a few chunks in memory, and each kept on disk as soon as it is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from bankmlops.batch.cutting import CHUNK_BYTES
from bankmlops.batch.parts import Parts, open_parts
from bankmlops.batch.reading import CHUNK_ROWS, Chunk, chunks, input_files
from bankmlops.batch.scoring import ChunkScorer
from bankmlops.datasets.reading import PARQUET_SUFFIXES
from bankmlops.datasets.whole_files import write_errors
from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.bundle import Bundle

FORMAT = 1
OnProgress = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What was written. `rejections` is None where no row was rejected; `resumed` rows were read by an earlier attempt."""

    output: Path
    rows: int
    rejected: int
    rejections: Path | None
    resumed: int


def score_files(
    bundle: Bundle, source: Path, output: Path, *, proba: bool = False, on_progress: OnProgress | None = None
) -> BatchResult:
    """Score every row of a CSV or Parquet file, or of a folder of them, into the Parquet file `output`.

    Its columns are `file`, `row` (from 0 in that file), `prediction`, and with `proba` a float32 `probability_CLASS` each. Rows
    that can't be scored are a JSON object a line in `OUTPUT.rejected.jsonl`, with the reason. A run that was ended goes on
    when it is called again with the same input, model and options, and the result is the same. `on_progress` is called with the
    rows read so far and the fraction of the input that they are.

    Raises `InvalidRequestError`, `ConflictError` while another process writes the output, and `BackendUnavailableError` for what
    a disk refuses.
    """
    files = input_files(source)
    _check_output(files, output)
    scorer = ChunkScorer(bundle, proba=proba)
    rejections = output.with_name(f"{output.name}.rejected.jsonl")
    with write_errors(output), open_parts(output, _job(bundle, files, proba)) as parts:
        done = parts.done()
        _score_chunks(scorer, parts, done, chunks(files, bundle.specification), _Progress(on_progress))
        totals = parts.assemble(scorer.schema, [path.name for path in files], rejections)
    return BatchResult(output, totals.rows, totals.rejected, rejections if totals.rejected else None, sum(done.values()))


class _Progress:
    """Adds up what the chunks say."""

    def __init__(self, tell: OnProgress | None) -> None:
        self._tell = tell
        self._rows = 0
        self._fraction = 0.0

    def add(self, rows: int, share: float) -> None:
        self._rows += rows
        self._fraction += share
        if self._tell:
            self._tell(self._rows, min(self._fraction, 1.0))


def _check_output(files: Sequence[Path], output: Path) -> None:
    if output.suffix.lower() not in PARQUET_SUFFIXES:
        raise InvalidRequestError(f"{output}: the output is a Parquet file; a name that ends in .parquet would serve")
    if output.is_dir():
        raise InvalidRequestError(f"{output}: a folder; the name of a file would serve")
    if output.resolve() in {path.resolve() for path in files}:
        raise InvalidRequestError(f"{output}: it is part of the input; choose another place for the output")


def _job(bundle: Bundle, files: Sequence[Path], proba: bool) -> Mapping[str, Any]:
    """What has to be the same for the parts of an earlier attempt to serve."""
    stats = [(path.resolve(), path.stat()) for path in files]
    return {
        "format": FORMAT,
        "chunk": [CHUNK_BYTES, CHUNK_ROWS],
        "model": sha256(bundle.model + bundle.specification.to_json().encode()).hexdigest(),
        "threshold": bundle.threshold,
        "probabilities": proba,
        "files": [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats],
    }


def _score_chunks(
    scorer: ChunkScorer, parts: Parts, done: Mapping[int, int], found: Iterator[Chunk], progress: _Progress
) -> None:
    """No more chunks are read than threads can take, and one."""
    cores = len(os.sched_getaffinity(0))
    running: set[Future[tuple[int, float]]] = set()
    with ThreadPoolExecutor(cores, thread_name_prefix="batch") as pool:
        try:
            for chunk in found:
                if chunk.number in done:
                    progress.add(done[chunk.number], chunk.share)
                    continue
                running.add(pool.submit(_carry_out, scorer, parts, chunk))
                del chunk  # or it is in memory until the next one is there
                if len(running) > cores:
                    running = _collected(running, progress)
            while running:
                running = _collected(running, progress)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _collected(running: set[Future[tuple[int, float]]], progress: _Progress) -> set[Future[tuple[int, float]]]:
    """Wait for the first, raise what went wrong in it, and answer those that still run."""
    ended, still = wait(running, return_when=FIRST_COMPLETED)
    for future in ended:
        progress.add(*future.result())
    return still


def _carry_out(scorer: ChunkScorer, parts: Parts, chunk: Chunk) -> tuple[int, float]:
    rows = chunk.load()
    try:
        answers, rejections = scorer.score(rows)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{chunk.path}: {error}") from error
    parts.put(chunk.number, chunk.file, rows.count, answers, rejections)
    return rows.count, chunk.share
