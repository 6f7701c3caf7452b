"""The stand-in looks like Bank Marketing, is the same for the same seed, and is written whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankmlops.datasets import check_for_training, columns_of, content_sha256, read_table, synthesize
from bankmlops.datasets.synthetic import CHUNK_ROWS
from bankmlops.datasets.synthetic_bank import SCHEMA, bank_rows
from bankmlops.errors import BackendUnavailableError, BankMLOpsError, InvalidRequestError

NUMBERS = ("age", "duration", "campaign", "pdays", "previous")
ECONOMY = ("emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed")


def _message(path: Path, rows: int, seed: int, kind: type[BankMLOpsError] = InvalidRequestError) -> str:
    with pytest.raises(kind) as caught:
        synthesize(path, rows, seed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(st.integers(0, 2**32), st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 2**40))
@settings(max_examples=40, deadline=None)
def test_rows_do_not_depend_on_the_pieces(seed: int, counts: list[int], start: int) -> None:
    """Pieces of any size, from any row on, are the same rows as one piece."""
    starts = start + numpy.cumsum([0, *counts])
    pieces = [bank_rows(seed, int(begin), count) for begin, count in zip(starts, counts, strict=False)]
    assert pa.concat_tables(pieces).equals(bank_rows(seed, start, sum(counts)))


def test_same_seed_same_content(tmp_path: Path) -> None:
    """CSV and Parquet of one seed have the same content, twice the same bytes, and another seed has another content."""
    for name, seed in (("a.csv", 5), ("b.csv", 5), ("c.parquet", 5), ("d.pq", 6)):
        synthesize(tmp_path / name, 700, seed)
    hashes = {name: content_sha256(read_table(tmp_path / name)) for name in ("a.csv", "c.parquet", "d.pq")}
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert hashes["a.csv"] == hashes["c.parquet"] != hashes["d.pq"]


def test_content_does_not_change_between_versions() -> None:
    """The rows of a seed are a promise: reports name the data by this hash."""
    assert content_sha256(bank_rows(42, 0, 1000)) == "b3b713ca340e516b2a6749b991c56059554b054f1c688d7d20b427c844da49fb"


def test_header_and_schema(tmp_path: Path) -> None:
    """The file has the 21 columns of the real one, in its order and with its types."""
    synthesize(tmp_path / "bank.csv", 300, 1)
    table = read_table(tmp_path / "bank.csv")
    assert table.schema == SCHEMA
    assert table.num_columns == 21
    assert (tmp_path / "bank.csv").read_text().startswith("age,job,marital,education,default,housing,loan,contact,month,")
    check_for_training(table, "y", "bank.csv")


def test_marginals_are_the_known_ones() -> None:
    """Class balance, frequent categories, medians and rare values are those published for the real table."""
    columns = columns_of(bank_rows(3, 0, 40_000))
    shares = {name: Counter(columns[name].tolist()) for name in ("y", "job", "month", "poutcome", "contact", "education")}
    assert 0.105 < shares["y"]["yes"] / 40_000 < 0.119
    assert [job for job, _ in shares["job"].most_common(3)] == ["admin.", "blue-collar", "technician"]
    assert [month for month, _ in shares["month"].most_common(4)] == ["may", "jul", "aug", "jun"]
    assert set(shares["month"]) == {"mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
    assert 0.85 < shares["poutcome"]["nonexistent"] / 40_000 < 0.875
    assert 0.62 < shares["contact"]["cellular"] / 40_000 < 0.65
    assert len(shares["education"]) == 8
    assert (numpy.median(columns["age"]), numpy.median(columns["campaign"])) == (pytest.approx(38, abs=1), 2)
    assert numpy.median(columns["duration"]) == pytest.approx(180, abs=6)
    assert 0.955 < (columns["pdays"] == 999).mean() < 0.97


def test_impossible_rows_are_not_there() -> None:
    """What hangs together in the real table does so here: contact history, loans, months and the economy."""
    columns = columns_of(bank_rows(4, 0, 30_000))
    first = columns["poutcome"] == "nonexistent"
    assert ((columns["previous"] == 0) == first).all()
    assert (columns["pdays"][first] == 999).all()
    assert (columns["pdays"][columns["poutcome"] == "success"] < 999).all()
    assert ((columns["housing"] == "unknown") == (columns["loan"] == "unknown")).all()
    economies = set(zip(columns["month"], *(columns[name] for name in ECONOMY if name != "euribor3m"), strict=True))
    assert len(economies) <= 26
    assert numpy.corrcoef(columns["euribor3m"], columns["emp.var.rate"])[0, 1] > 0.95
    assert all(columns[name].min() >= 0 for name in NUMBERS)
    assert (columns["age"].min(), columns["campaign"].min()) == (17, 1)


@pytest.mark.slow
def test_there_is_something_to_learn() -> None:
    """A simple model beats the majority and ranks well, and the length of the call tells most."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from bankmlops.features import encode_labels, fit, matrix_from_columns

    train, test = columns_of(bank_rows(1, 0, 12_000)), columns_of(bank_rows(2, 0, 12_000))
    specification = fit(train, "y")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    model.fit(matrix_from_columns(specification, train), encode_labels(specification, train["y"]))
    labels = encode_labels(specification, test["y"])
    matrix = matrix_from_columns(specification, test)
    assert model.score(matrix, labels) > max(labels.mean(), 1 - labels.mean()) + 0.01
    assert 0.9 < roc_auc_score(labels, model.predict_proba(matrix)[:, 1]) < 0.97
    assert roc_auc_score(labels, test["duration"]) > 0.75


def test_chunks_and_progress(tmp_path: Path) -> None:
    """A table of more than one chunk is written in order, and each chunk is told."""
    told: list[tuple[int, int]] = []
    rows = CHUNK_ROWS + 10
    synthesize(tmp_path / "bank.parquet", rows, 8, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(CHUNK_ROWS, rows), (rows, rows)]
    assert read_table(tmp_path / "bank.parquet").slice(CHUNK_ROWS - 5).equals(bank_rows(8, CHUNK_ROWS - 5, 15))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """A million rows more take next to no memory more."""
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from bankmlops.datasets import synthesize\n"
        "for rows in (300_000, 1_300_000):\n"
        "    synthesize(Path(sys.argv[1]), rows, 1)\n"
        # VmHWM, since ru_maxrss counts what the process that forked this one had.
        "    print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "bank.csv")], capture_output=True, text=True, check=True)
    few, many = map(int, done.stdout.split())
    assert many < 512
    assert many < few + 64


@pytest.mark.parametrize("rows", [0, -1])
def test_no_rows(tmp_path: Path, rows: int) -> None:
    """Fewer than one row is refused, and no file is made."""
    assert _message(tmp_path / "bank.csv", rows, 1) == f"rows {rows}: there is nothing to write; 1 or more would serve"
    assert list(tmp_path.iterdir()) == []


def test_negative_seed(tmp_path: Path) -> None:
    """A negative seed is refused with what would serve."""
    assert _message(tmp_path / "bank.csv", 10, -1) == "seed -1: negative; 0 or more would serve"


@pytest.mark.parametrize("name", ["bank.xlsx", "bank", "csv"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    """A name that tells no format is refused with those that do."""
    message = _message(tmp_path / name, 10, 1)
    assert str(tmp_path / name) in message
    assert message.endswith(".csv, .parquet, .pq would serve")


def test_folder_in_the_way(tmp_path: Path) -> None:
    """A folder of that name is left alone."""
    (tmp_path / "bank.csv").mkdir()
    assert "is there already and is no file" in _message(tmp_path / "bank.csv", 10, 1)
    assert (tmp_path / "bank.csv").is_dir()


def test_folder_that_can_not_be_written(tmp_path: Path) -> None:
    """A folder that can't be is one line that says so."""
    (tmp_path / "file").write_text("x")
    message = _message(tmp_path / "file" / "bank.csv", 10, 1, BackendUnavailableError)
    assert "can't be written (Not a directory); free space or choose a writable folder" in message
    assert "can't be written" in _message(tmp_path / f"{'long' * 100}.csv", 10, 1, BackendUnavailableError)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_full_disk(tmp_path: Path, suffix: str) -> None:
    """A disk that takes no more is one line; the file that was there stays, and nothing half-written does."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from bankmlops.datasets import synthesize\n"
        "from bankmlops.errors import BackendUnavailableError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    synthesize(Path(sys.argv[1]), 300_000, 1)\n"
        "except BackendUnavailableError as error:\n"
        "    print(error)\n"
    )
    path = tmp_path / f"bank.{suffix}"
    path.write_text("what was there")
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{path}: can't be written ("), done.stderr
    assert done.stdout.count("\n") == 1
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_interruption_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    """Ctrl-C between two chunks leaves no file."""

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / f"bank.{suffix}", 500, 1, on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []
