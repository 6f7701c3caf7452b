"""A file of labels that came back gives each label as it is written, or as training reads it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bankmlops.datasets.outcomes import read_outcomes, read_written_outcomes
from bankmlops.types import Outcome


@pytest.mark.parametrize(
    ("written", "read"), [("01", "1"), ("true", "True"), ("1.0", "1"), ("2026-01-31", "2026-01-31"), ("yes", "yes"), ("", "")]
)
def test_labels_of_a_csv_file(tmp_path: Path, written: str, read: str) -> None:
    """Alone in their column 01 and true are a number and a truth to training; both spellings can be had."""
    file = tmp_path / "labels.csv"
    file.write_text(f"request_id,label\na,{written}\nb,{written}\n")
    assert read_written_outcomes(file) == [Outcome("a", written), Outcome("b", written)]
    assert read_outcomes(file) == [Outcome("a", read), Outcome("b", read)]


def test_labels_of_a_parquet_file(tmp_path: Path) -> None:
    """Parquet has types, and no spelling of a number."""
    pq.write_table(pa.table({"request_id": ["a"], "y": [1], "row": [3]}), tmp_path / "labels.parquet")
    assert read_written_outcomes(tmp_path / "labels.parquet") == [Outcome("a", "1", 3)]
