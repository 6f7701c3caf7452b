"""Whole files are scored in order and in chunks; whatever ends a run, the next one goes on and the result is the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bankmlops.batch import BatchResult, reading, score_files
from bankmlops.batch.cutting import cut, describe
from bankmlops.batch.reading import Rows
from bankmlops.batch.scoring import SLICE_CELLS, ChunkScorer, slice_rows
from bankmlops.datasets import read_table
from bankmlops.errors import ConflictError, InvalidRequestError
from bankmlops.features import ColumnKind
from bankmlops.scoring.bundle import Bundle, load_bundle
from bankmlops.scoring.model import Scorer
from support.bundles import specification, write_bundle

ROWS = 500
AGES = [18 + number * 7 % 60 for number in range(ROWS)]
JOBS = [("student", "retired", 'some, "other"\njob')[number % 3] for number in range(ROWS)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(tmp_path_factory.mktemp("bundle") / "bundle"))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """About twenty chunks where there would be one."""
    monkeypatch.setattr(reading, "cut", partial(cut, chunk_bytes=700))
    monkeypatch.setattr(reading, "CHUNK_ROWS", 25)


def _csv(path: Path, ages: list[Any] = AGES, jobs: list[str] = JOBS) -> Path:
    lines = [
        f'{age},"{job.replace(chr(34), chr(34) * 2)}",c{number}\n'
        for number, (age, job) in enumerate(zip(ages, jobs, strict=True))
    ]
    path.write_text("age,job,id\n" + "".join(lines), encoding="utf-8")
    return path


def _parquet(path: Path) -> Path:
    pq.write_table(pa.table({"job": JOBS, "id": AGES, "age": AGES}), path, row_group_size=110)
    return path


def _expected() -> list[str]:
    return ["yes" if age >= 40 else "no" for age in AGES]


@pytest.mark.parametrize("write", [_csv, _parquet])
@pytest.mark.usefixtures("small_chunks")
def test_every_row_in_order(bundle: Bundle, tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """Each row has its number, the label and the probabilities that the service gives it, and nothing else is left."""
    seen: list[tuple[int, float]] = []
    output = tmp_path / "out" / "scored.parquet"
    source = write(tmp_path / "rows")
    result = score_files(bundle, source, output, proba=True, on_progress=lambda *told: seen.append(told))
    table = pq.read_table(output)
    assert result == BatchResult(output, ROWS, 0, None, 0)
    assert table.column("row").to_pylist() == list(range(ROWS))
    assert table.column("prediction").to_pylist() == _expected()
    assert set(table.column("file").to_pylist()) == {"rows"}
    body = json.dumps({"Inputs": {"data": [{"age": AGES[7], "job": JOBS[7]}]}, "GlobalParameters": {"method": "predict_proba"}})
    (served,) = Scorer(bundle, 10).score(body.encode()).result
    assert [table.column(f"probability_{name}")[7].as_py() for name in ("no", "yes")] == served
    assert len(seen) > 15
    assert seen[-1][0] == ROWS
    assert seen[-1][1] == pytest.approx(1.0)
    assert [path.name for path in output.parent.iterdir()] == ["scored.parquet"]


def test_chunks_of_any_size_are_the_same_rows(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a file is cut, no record is: quoted line ends, marks and delimiters stay in their field."""
    described = describe(_csv(tmp_path / "rows.csv"))
    whole = (tmp_path / "rows.csv").read_bytes()[described.start :]
    for size in (1, 7, 40, 1000, 10**6):
        parts = list(cut(described, size))
        assert b"".join(parts) == whole
        assert all(part.count(b'"') % 2 == 0 for part in parts)
    monkeypatch.setattr(reading, "cut", partial(cut, chunk_bytes=40))
    score_files(bundle, tmp_path / "rows.csv", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").column("prediction").to_pylist() == _expected()


@pytest.mark.usefixtures("small_chunks")
def test_bad_rows_go_to_the_side_file(bundle: Bundle, tmp_path: Path) -> None:
    """Rows that can't be scored are left out, each with its place and a reason; the others keep their numbers."""
    lines = _csv(tmp_path / "rows.csv", jobs=["student"] * ROWS).read_text().splitlines(keepends=True)
    lines[1 + 3] = "old,student,x\n"
    lines[1 + 200] = "30,student\n"
    lines[1 + 300] = ",student,x\n"
    lines[1 + 301] = "3.5,student,x\n"
    (tmp_path / "rows.csv").write_text("".join(lines))
    result = score_files(bundle, tmp_path / "rows.csv", tmp_path / "out.parquet")
    assert (result.rows, result.rejected) == (ROWS - 4, 4)
    assert result.rejections == tmp_path / "out.parquet.rejected.jsonl"
    found = [json.loads(line) for line in result.rejections.read_text().splitlines()]
    assert [(each["file"], each["row"], each["column"]) for each in found] == [
        ("rows.csv", 3, "age"),
        ("rows.csv", 200, ""),
        ("rows.csv", 300, "age"),
        ("rows.csv", 301, "age"),
    ]
    assert [each["reason"] for each in found] == [
        "'old' where a whole number would serve",
        "2 fields where the header has 3",
        "null where a whole number would serve",
        "3.5 where a whole number would serve",
    ]
    numbers = pq.read_table(tmp_path / "out.parquet").column("row").to_pylist()
    assert numbers == [number for number in range(ROWS) if number not in (3, 200, 300, 301)]


def test_a_later_run_without_bad_rows_takes_the_side_file_away(bundle: Bundle, tmp_path: Path) -> None:
    """The side file is of the output that it stands beside."""
    _csv(tmp_path / "rows.csv", ages=["x", *AGES[1:]])
    assert score_files(bundle, tmp_path / "rows.csv", tmp_path / "out.parquet").rejected == 1
    _csv(tmp_path / "rows.csv")
    assert score_files(bundle, tmp_path / "rows.csv", tmp_path / "out.parquet").rejected == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "rows.csv"]


def _stop_after(count: int) -> Callable[[int, float], None]:
    calls = []

    def tell(rows: int, fraction: float) -> None:
        calls.append(rows)
        if len(calls) == count:
            raise KeyboardInterrupt

    return tell


@pytest.mark.parametrize("write", [_csv, _parquet])
@pytest.mark.usefixtures("small_chunks")
def test_an_ended_run_goes_on(bundle: Bundle, tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """What was done before Ctrl-C is not done again, and the output is the very bytes that an undisturbed run writes."""
    source = write(tmp_path / "rows")
    score_files(bundle, source, tmp_path / "whole" / "out.parquet")
    output = tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        score_files(bundle, source, output, on_progress=_stop_after(5))
    assert not output.exists()
    result = score_files(bundle, source, output)
    assert 100 < result.resumed < ROWS
    assert output.read_bytes() == (tmp_path / "whole" / "out.parquet").read_bytes()


@pytest.mark.parametrize("change", ["input", "options"])
@pytest.mark.usefixtures("small_chunks")
def test_another_job_starts_anew(bundle: Bundle, tmp_path: Path, change: str) -> None:
    """Parts that were made of another input, or with other options, are no parts of this run."""
    source, output = _csv(tmp_path / "rows.csv"), tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        score_files(bundle, source, output, on_progress=_stop_after(5))
    if change == "input":
        os.utime(source, ns=(1, 1))
    assert score_files(bundle, source, output, proba=change == "options").resumed == 0
    assert pq.read_table(output).num_rows == ROWS


@pytest.mark.usefixtures("small_chunks")
def test_a_part_that_was_cut_short(bundle: Bundle, tmp_path: Path) -> None:
    """A part that a machine's crash left unreadable is done again."""
    source, output = _csv(tmp_path / "rows.csv"), tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        score_files(bundle, source, output, on_progress=_stop_after(5))
    first = min((tmp_path / ".out.parquet.parts").glob("chunk-*.arrow"))
    first.write_bytes(first.read_bytes()[:100])
    assert 0 < score_files(bundle, source, output).resumed < ROWS
    assert pq.read_table(output).column("prediction").to_pylist() == _expected()


def test_two_writers(bundle: Bundle, tmp_path: Path) -> None:
    """While a run writes an output, another that would is refused at once."""
    source, output = _csv(tmp_path / "rows.csv"), tmp_path / "out.parquet"
    refused = []

    def tell(rows: int, fraction: float) -> None:
        with pytest.raises(ConflictError) as error:
            score_files(bundle, source, output)
        refused.append(str(error.value))

    score_files(bundle, source, output, on_progress=tell)
    assert refused == [f"{output}: another process is writing it; wait for that, or name another output"]


def test_a_folder(bundle: Bundle, tmp_path: Path) -> None:
    """The files of a folder follow one another by name, each with row numbers of its own; other files are left alone."""
    folder = tmp_path / "in"
    folder.mkdir()
    _parquet(folder / "b.parquet")
    _csv(folder / "a.csv", AGES[:10], JOBS[:10])
    (folder / "readme.md").write_text("no table")
    score_files(bundle, folder, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column("file").to_pylist() == ["a.csv"] * 10 + ["b.parquet"] * ROWS
    assert table.column("row").to_pylist() == [*range(10), *range(ROWS)]
    assert table.column("prediction").to_pylist() == _expected()[:10] + _expected()


@pytest.mark.parametrize("content", ["age,job\n", "age,job", "\ufeffage,job\n\n\n"])
def test_no_rows(bundle: Bundle, tmp_path: Path, content: str) -> None:
    """A header without rows is an output without rows."""
    (tmp_path / "rows.csv").write_text(content, encoding="utf-8")
    score_files(bundle, tmp_path / "rows.csv", tmp_path / "out.parquet", proba=True)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.num_rows == 0
    assert table.column_names == ["file", "row", "prediction", "probability_no", "probability_yes"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "no header"),
        (b"age,id\n1,2\n", "the model's column 'job' is missing; the file's columns are age, id"),
        (b"age,job,age\n", "the column name 'age' is there more than once"),
        ("age,job\n30,student\n".encode("utf-16"), "utf-16 text can't be scored in chunks"),
        (b"PAR1 and nothing more", "not a readable Parquet file"),
        (b'age,job\n30,"student\n' + b"x" * 2000, "is a quotation mark not closed?"),
    ],
)
def test_input_that_can_not_serve(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, line: str
) -> None:
    """The line names the file and what is wrong with it, and no output is left."""
    monkeypatch.setattr("bankmlops.batch.cutting.MAXIMUM_RECORD_BYTES", 1000)
    monkeypatch.setattr(reading, "cut", partial(cut, chunk_bytes=500))
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(InvalidRequestError) as error:
        score_files(bundle, tmp_path / "rows.csv", tmp_path / "out.parquet")
    assert str(error.value).startswith(f"{tmp_path / 'rows.csv'}")
    assert line in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.parquet").exists()


def test_a_column_of_the_wrong_type(bundle: Bundle, tmp_path: Path) -> None:
    """The file is named as well as the column."""
    pq.write_table(pa.table({"age": [True], "job": ["student"]}), tmp_path / "rows.parquet")
    with pytest.raises(InvalidRequestError, match=r"rows\.parquet: column 'age': bool where numbers would serve"):
        score_files(bundle, tmp_path / "rows.parquet", tmp_path / "out.parquet")


@pytest.mark.parametrize("output", ["out.csv", "rows.parquet", "folder.parquet"])
def test_an_output_that_can_not_serve(bundle: Bundle, tmp_path: Path, output: str) -> None:
    """The output is a Parquet file, and none of the input."""
    (tmp_path / "folder.parquet").mkdir()
    _parquet(tmp_path / "rows.parquet")
    with pytest.raises(InvalidRequestError, match=r"would serve|choose another place"):
        score_files(bundle, tmp_path / "rows.parquet", tmp_path / output)


@pytest.mark.slow
def test_kill_9(bundle: Bundle, tmp_path: Path) -> None:
    """A run that is killed outright leaves no output; the next goes on, and writes what an undisturbed run does."""
    source, output = _csv(tmp_path / "rows.csv"), tmp_path / "out.parquet"
    folder = write_bundle(tmp_path / "bundle")
    program = f"""
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from bankmlops.batch import reading, score_files
from bankmlops.scoring.bundle import load_bundle
reading.cut = partial(reading.cut, chunk_bytes=700)
bundle = load_bundle(Path({str(folder)!r}))
score_files(bundle, Path({str(source)!r}), Path({str(output)!r}), on_progress=lambda *_: time.sleep(0.5))
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 60
    while len(list((tmp_path / ".out.parquet.parts").glob("chunk-*.arrow"))) < 4:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert not output.exists()
    subprocess.run([sys.executable, "-c", program.replace("time.sleep(0.5)", "None")], check=True, timeout=120)
    undisturbed = program.replace("time.sleep(0.5)", "None").replace(str(output), str(tmp_path / "whole.parquet"))
    subprocess.run([sys.executable, "-c", undisturbed], check=True, timeout=120)
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not list(tmp_path.glob(".*"))


def _with_fractions(folder: Path) -> Bundle:
    """The bundle of a model that was trained on ages with fractions."""
    trained = specification()
    columns = tuple(replace(each, kind=ColumnKind.NUMBER) if each.name == "age" else each for each in trained.columns)
    return load_bundle(write_bundle(folder, replace(trained, columns=columns)))


@pytest.mark.usefixtures("small_chunks")
def test_decimal_commas(tmp_path: Path) -> None:
    """The whole file decides, also where a chunk has none: 1.040 is 1,040 beside them. A bad value costs its own row."""
    bundle = _with_fractions(tmp_path / "bundle")
    ages = ["1.040", *("39,5" if number % 2 else "40,5" for number in range(300)), "old", *["1.040"] * 200]
    path = tmp_path / "rows.csv"
    path.write_text("sep=;\nage;job;id\n" + "".join(f"{age};a, b;{number}\n" for number, age in enumerate(ages)))
    result = score_files(bundle, path, tmp_path / "scored.parquet")
    answers = pq.read_table(tmp_path / "scored.parquet").column("prediction").to_pylist()
    assert (result.rows, result.rejected) == (501, 1)
    assert answers == ["yes", *["yes", "no"] * 150, *["yes"] * 200]


@pytest.mark.usefixtures("small_chunks")
def test_points_beside_commas(tmp_path: Path) -> None:
    """A column with decimal points has no decimal commas: a value that has one is refused, and the others mean what they say."""
    bundle = _with_fractions(tmp_path / "bundle")
    path = tmp_path / "rows.csv"
    path.write_text("age;job\n" + "1.040;student\n" * 100 + "40,5;student\n" + "50.5;student\n")
    result = score_files(bundle, path, tmp_path / "scored.parquet")
    answers = pq.read_table(tmp_path / "scored.parquet").column("prediction").to_pylist()
    assert (result.rejected, answers) == (1, [*["no"] * 100, "yes"])


@pytest.mark.usefixtures("small_chunks")
def test_a_decimal_comma_in_the_last_row(tmp_path: Path) -> None:
    """It says what every point before it is, as in training: no beginning of a file, and no chunk, can tell that."""
    bundle = _with_fractions(tmp_path / "bundle")
    path = tmp_path / "rows.csv"
    path.write_text("age;job\n" + "1.040;student\n" * 300 + "39,5;student\n")
    score_files(bundle, path, tmp_path / "scored.parquet")
    answers = pq.read_table(tmp_path / "scored.parquet").column("prediction").to_pylist()
    assert read_table(path).column("age").to_pylist() == [*[1040.0] * 300, 39.5]
    assert answers == [*["yes"] * 300, "no"]


def test_a_wide_model_in_little_memory(tmp_path: Path) -> None:
    """A slice of the matrix has 4,096 rows at usual widths, and never more than so many cells."""
    assert [slice_rows(width) for width in (1, 64, 256, 257, 8192, 2**21)] == [4096, 4096, 4096, 4080, 128, 1]
    age, job = specification().columns
    wide = replace(specification(), columns=(age, replace(job, categories=(*job.categories, *map(str, range(8000))))))
    scorer = ChunkScorer(load_bundle(write_bundle(tmp_path / "bundle", wide)), proba=False)
    rows = Rows({"age": pa.array(AGES * 10), "job": pa.array(["student"] * ROWS * 10)}, ROWS * 10, numpy.arange(ROWS * 10))
    tracemalloc.start()
    answers, _ = scorer.score(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answers.column("prediction").to_pylist() == _expected() * 10
    assert peak < 2 * SLICE_CELLS * numpy.float32().nbytes
