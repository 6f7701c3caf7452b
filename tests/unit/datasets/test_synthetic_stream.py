"""A generated stream: the same for the same seed, in the order of time, its labels late, and its world changed."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from bankmlops.datasets import columns_of, read_table, synthesize_stream
from bankmlops.datasets import synthetic_stream as made
from bankmlops.datasets.synthetic_bank import bank_rows
from bankmlops.errors import InvalidRequestError
from bankmlops.online.stream import Stream, read_stream
from bankmlops.types import StreamDrift


def _stream(folder: Path, drift: StreamDrift, rows: int = 6000, delay: float = 100.0) -> Stream:
    synthesize_stream(folder / "s.csv", folder / "s.labels.csv", rows, 3, drift, delay)
    return read_stream(folder / "s.csv", folder / "s.labels.csv")


def _ranks(stream: Stream, rows: slice) -> float:
    """How well the length of a call tells a yes: the area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(stream.labels[rows] == "yes", stream.columns["duration"][rows]))


def test_the_ordinary_world_is_the_stand_in(tmp_path: Path) -> None:
    """Without drift the rows are those of the table of this seed, and each has its label."""
    stream = _stream(tmp_path, StreamDrift.NONE, 500)
    known = columns_of(bank_rows(3, 0, 500))
    assert list(stream.columns) == [name for name in known if name != "y"]
    assert all((stream.take(slice(None))[name] == known[name]).all() for name in known)


def test_pieces_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the pieces in which it is written, and in whichever format, it is the same stream."""
    whole = _stream(tmp_path, StreamDrift.GRADUAL, 1000)
    monkeypatch.setattr(made, "CHUNK_ROWS", 70)
    assert _stream(tmp_path, StreamDrift.GRADUAL, 1000).fingerprint(1000) == whole.fingerprint(1000)
    synthesize_stream(tmp_path / "s.parquet", tmp_path / "l.parquet", 1000, 3, StreamDrift.GRADUAL, 100.0)
    assert read_stream(tmp_path / "s.parquet", tmp_path / "l.parquet").fingerprint(1000) == whole.fingerprint(1000)


def test_labels_are_late(tmp_path: Path) -> None:
    """Labels are in the order of their arrival, about as late as was asked for, and never before their rows."""
    stream = _stream(tmp_path, StreamDrift.SUDDEN)
    arrived = columns_of(read_table(tmp_path / "s.labels.csv"))["time"].tolist()
    late = (stream.arrivals - stream.times) / 60_000
    assert arrived == sorted(arrived)
    assert len(arrived) == stream.rows
    assert 90 < late.mean() < 110
    assert (late.min(), late.max()) == (pytest.approx(0, abs=1), pytest.approx(500, abs=1))


@pytest.mark.parametrize(
    ("drift", "changed", "ordinary"),
    [
        (StreamDrift.SUDDEN, slice(3000, 6000), slice(0, 3000)),
        (StreamDrift.GRADUAL, slice(4000, 6000), slice(0, 2000)),
        (StreamDrift.RECURRING, slice(4600, 6000), slice(3100, 4400)),
    ],
)
def test_the_world_changes(tmp_path: Path, drift: StreamDrift, changed: slice, ordinary: slice) -> None:
    """Where it has changed, other months are frequent, and long calls mean no rather than yes."""
    stream = _stream(tmp_path, drift)
    assert _ranks(stream, ordinary) > 0.7
    assert _ranks(stream, changed) < 0.3
    rates = stream.columns["euribor3m"]
    assert numpy.median(rates[ordinary]) > 4
    assert numpy.median(rates[changed]) < 2


@pytest.mark.parametrize(
    ("labels", "delay", "message"),
    [("s.csv", 1.0, "can't be one file"), ("l.csv", -1.0, "label delay -1"), ("l.csv", 1e9, "from 0 to 100,000")],
)
def test_what_can_not_be_made(tmp_path: Path, labels: str, delay: float, message: str) -> None:
    """It is refused in one line, and no file is made."""
    with pytest.raises(InvalidRequestError, match=message):
        synthesize_stream(tmp_path / "s.csv", tmp_path / labels, 10, 1, StreamDrift.NONE, delay)
    assert list(tmp_path.iterdir()) == []
