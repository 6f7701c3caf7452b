"""A frozen table is there whole or not at all, and its name depends on its content alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.datasets import columns_of, content_sha256, freeze, freezing, guess_label, read_frozen, read_table
from bankmlops.datasets.profile import profile_of
from bankmlops.errors import BackendUnavailableError, ConflictError, InvalidRequestError

TABLE = pa.table(
    {
        "n": pa.array([1, 2, None, 4], pa.int64()),
        "x": pa.array([0.5, None, 1.5, 2.5]),
        "b": pa.array([True, False, True, False]),
        "t": pa.array(["a", "b", None, "b"]),
    }
)
_ROW = st.tuples(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.one_of(st.none(), st.floats(allow_nan=False)),
    st.one_of(st.none(), st.booleans()),
    st.one_of(st.none(), st.text(max_size=4)),
)


def _of(rows: list[tuple[object, ...]]) -> pa.Table:
    columns = [[row[index] for row in rows] for index in range(4)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, TABLE.schema, strict=True)]
    return pa.table(arrays, schema=TABLE.schema)


@given(st.lists(_ROW, max_size=20), st.data())
@settings(max_examples=40, deadline=None)
def test_hash_does_not_depend_on_chunks(rows: list[tuple[object, ...]], data: st.DataObject) -> None:
    """However a table is cut into chunks and slices, its content hash is the same."""
    table = _of(rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    pieces = [table.slice(start, end - start) for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    assert content_sha256(pa.concat_tables(pieces)) == content_sha256(table)


@given(st.lists(_ROW, max_size=8), st.lists(_ROW, max_size=8))
@settings(max_examples=40, deadline=None)
def test_hash_tells_contents_apart(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> None:
    """Two tables have the same hash exactly where each value is the same; 0.0 and -0.0 are not."""
    same = repr(one) == repr(other)
    assert (content_sha256(_of(one)) == content_sha256(_of(other))) is same


def test_hash_depends_on_names_types_and_order() -> None:
    """Another name, another type, another order and text that moves across a border are other contents."""
    tables = [
        pa.table({"a": [1, 2], "b": ["x", "yz"]}),
        pa.table({"a": [1, 2], "c": ["x", "yz"]}),
        pa.table({"a": [1.0, 2.0], "b": ["x", "yz"]}),
        pa.table({"b": ["x", "yz"], "a": [1, 2]}),
        pa.table({"a": [1, 2], "b": ["xy", "z"]}),
        pa.table({"a": [2, 1], "b": ["x", "yz"]}),
    ]
    assert len({content_sha256(table) for table in tables}) == len(tables)


def test_frozen_table_is_complete(tmp_path: Path) -> None:
    """The folder holds the same content as Parquet, a schema and a profile, closed to others."""
    frozen = freeze(TABLE, tmp_path / "versions" / "one")
    assert read_frozen(frozen.folder) == frozen
    assert (frozen.rows, frozen.columns) == (4, ("n", "x", "b", "t"))
    assert content_sha256(read_table(frozen.data)) == frozen.sha256 == content_sha256(TABLE)
    assert json.loads((frozen.folder / "profile.json").read_text())["rows"] == 4
    assert frozen.folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in frozen.folder.parent.iterdir()] == ["one"]


def test_same_content_twice(tmp_path: Path) -> None:
    """The same content again, from other chunks, is the version that is there, untouched."""
    first = freeze(TABLE, tmp_path / "one")
    before = first.data.stat().st_mtime_ns
    assert freeze(pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]), tmp_path / "one") == first
    assert first.data.stat().st_mtime_ns == before


def test_other_content_in_the_same_place(tmp_path: Path) -> None:
    """A frozen folder is never overwritten."""
    first = freeze(TABLE, tmp_path / "one")
    with pytest.raises(ConflictError, match="holds other content already"):
        freeze(TABLE.slice(1), tmp_path / "one")
    assert content_sha256(read_table(first.data)) == first.sha256


def test_faster_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another process puts the same content in place meanwhile, that is the version."""

    def overtaken(table: pa.Table) -> object:
        monkeypatch.undo()
        freeze(TABLE, tmp_path / "one")
        return profile_of(table)

    monkeypatch.setattr(freezing, "profile_of", overtaken)
    frozen = freeze(TABLE, tmp_path / "one")
    assert frozen.sha256 == content_sha256(TABLE)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_error_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error or Ctrl-C between two files leaves neither the folder nor a temporary one."""

    def interrupted(table: pa.Table) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(freezing, "profile_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        freeze(TABLE, tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_killed_process_leaves_no_version(tmp_path: Path) -> None:
    """A process that is killed between two files leaves no folder that looks like a version, and the next one succeeds."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "import pyarrow as pa\n"
        "from bankmlops.datasets import freeze, freezing\n"
        "freezing.profile_of = lambda table: os.kill(os.getpid(), signal.SIGKILL)\n"
        "freeze(pa.table({'a': [1, 2]}), Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "one")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "one").exists()
    assert freeze(TABLE, tmp_path / "one").rows == 4


@pytest.mark.slow
def test_full_disk(tmp_path: Path) -> None:
    """A disk that takes no more is one line, and nothing is left on it."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "import numpy, pyarrow as pa\n"
        "from bankmlops.datasets import freeze\n"
        "from bankmlops.errors import BackendUnavailableError\n"
        "table = pa.table({'x': numpy.random.default_rng(1).random(50_000)})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    freeze(table, Path(sys.argv[1]))\n"
        "except BackendUnavailableError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "one")], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{tmp_path / 'one'}: can't be written ("), done.stderr
    assert done.stdout.endswith("free space or choose a writable folder\n")
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_place_that_can_not_be_written(tmp_path: Path, place: str) -> None:
    """A place that is a file, or below one, is named in one line."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(BackendUnavailableError) as caught:
        freeze(TABLE, tmp_path / place)
    assert str(caught.value).startswith(f"{tmp_path / place}: can't be written (Not a directory)")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("schema", ["", "[]", "{}", '{"columns": [1]}'])
def test_folder_that_is_no_frozen_table(tmp_path: Path, schema: str) -> None:
    """A folder with something else in it is said to be no frozen table."""
    (tmp_path / "schema.json").write_text(schema)
    with pytest.raises(InvalidRequestError, match="not a frozen table"):
        read_frozen(tmp_path)


def test_profile() -> None:
    """The profile counts what is missing and distinct, and describes numbers (finite ones) and frequent texts."""
    table = TABLE.append_column("i", pa.array([1.0, float("inf"), 3.0, None]))
    profile = {column["name"]: column for column in profile_of(table)["columns"]}
    assert (profile["n"]["missing"], profile["n"]["minimum"], profile["n"]["quantiles"]["0.5"]) == (1, 1.0, 2.0)
    assert profile["t"]["frequent"] == {"b": 2, "a": 1}
    assert profile["b"]["frequent"] == {"False": 2, "True": 2}
    assert profile["i"]["maximum"] == 3.0
    json.dumps(profile, allow_nan=False)


def test_profile_of_a_column_of_nothing() -> None:
    """Columns without a value have a profile too."""
    profile = profile_of(pa.table({"x": pa.array([None], pa.float64()), "t": pa.array([None], pa.string())}))
    assert [column["missing"] for column in profile["columns"]] == [1, 1]


def test_columns_as_arrays() -> None:
    """Numbers are numbers with NaN for missing, whole booleans are booleans, and the rest is text and None."""
    columns = columns_of(TABLE.append_column("gap", pa.array([True, None, False, True])))
    assert [columns[name].dtype.kind for name in ("n", "x", "b", "t", "gap")] == ["f", "f", "b", "O", "O"]
    assert numpy.isnan(columns["n"][2])
    assert columns["t"].tolist() == ["a", "b", None, "b"]
    assert columns["gap"].tolist() == ["True", None, "False", "True"]


def test_columns_of_many_chunks() -> None:
    """A table in chunks gives the arrays of the whole."""
    pieces = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1, 2), TABLE.slice(3)])
    assert {name: array.tolist() for name, array in columns_of(pieces).items() if name in "bt"} == {
        "b": [True, False, True, False],
        "t": ["a", "b", None, "b"],
    }


@pytest.mark.parametrize(("names", "label"), [(["a", "y", "b"], "y"), (["a", "b"], "b"), ([], None)])
def test_guessed_label(names: list[str], label: str | None) -> None:
    """The label that nobody named is `y`, otherwise the last column."""
    assert guess_label(names) == label


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    """A folder that is there and empty takes the content."""
    (tmp_path / "one").mkdir()
    assert pq.read_table(freeze(TABLE, tmp_path / "one").data).num_rows == 4
