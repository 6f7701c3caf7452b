"""Registered tables: immutable versions named by content, or nothing at all."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from bankmlops.errors import ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.datasets import Datasets
from bankmlops.local.workspace import LocalWorkspace
from bankmlops.types import DataSource


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(LocalWorkspace(tmp_path / "workspace"))


def _table(folder: Path, name: str = "bank.csv", offset: int = 0) -> DataSource:
    rows = [
        f"{20 + offset + number % 50},{('student', 'retired')[number % 2]},{('no', 'yes')[number % 3 == 0]}"
        for number in range(60)
    ]
    path = folder / name
    path.write_text("\n".join(["age,job,y", *rows]) + "\n")
    return DataSource(path)


def _stored(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "workspace" / "datasets").glob("*"))


def test_register(datasets: Datasets, tmp_path: Path) -> None:
    """A version is a prefix of the content's hash, holds every value, and is found by name."""
    dataset = datasets.register("bank", _table(tmp_path), "y")
    assert (dataset.rows, dataset.columns, dataset.label_column, dataset.synthetic) == (60, ("age", "job", "y"), "y", False)
    assert dataset.version == dataset.sha256[:12]
    assert datasets.get("bank") == datasets.get("bank", dataset.version) == dataset
    assert datasets.list() == (dataset,)
    columns = datasets.read(dataset)
    assert columns["age"].dtype == numpy.int64
    assert list(columns["job"][:2]) == ["student", "retired"]
    assert _stored(tmp_path) == [dataset.sha256]


def test_decimal_commas_are_said(datasets: Datasets, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Which columns were read with a decimal comma is said: a list of two numbers looks like one."""
    lines = [f"{number},5;{number % 4},{number % 3};{('no', 'yes')[number % 2]}" for number in range(60)]
    (tmp_path / "german.csv").write_text("\n".join(["amount;pair;y", *lines]) + "\n")
    dataset = datasets.register("german", DataSource(tmp_path / "german.csv"), "y")
    assert datasets.read(dataset)["amount"][:2].tolist() == [0.5, 1.5]
    assert "german.csv: read as numbers with a decimal comma: amount, pair; " in caplog.text
    caplog.clear()
    datasets.register("bank", _table(tmp_path), "y")
    assert not caplog.text


def test_the_same_content_is_the_same_version(datasets: Datasets, tmp_path: Path) -> None:
    """Whatever file it comes in, equal content makes no new version; under another name it is stored once."""
    first = datasets.register("bank", _table(tmp_path), "y")
    assert datasets.register("bank", _table(tmp_path, "copy.csv"), "y") == first
    other = datasets.register("other", _table(tmp_path), "y")
    assert other.sha256 == first.sha256
    assert _stored(tmp_path) == [first.sha256]


def test_the_newest_version(datasets: Datasets, tmp_path: Path) -> None:
    """Without a version the newest is meant; the older one stays as it was."""
    first = datasets.register("bank", _table(tmp_path), "y")
    second = datasets.register("bank", _table(tmp_path, "later.csv", offset=1), "y")
    assert first.version != second.version
    assert datasets.get("bank") == second
    assert datasets.list() == (second,)
    assert datasets.read(first)["age"][0] == 20
    assert datasets.read(second)["age"][0] == 21


def test_another_label_is_a_conflict(datasets: Datasets, tmp_path: Path) -> None:
    """The same content under the same name with another label is refused."""
    datasets.register("bank", _table(tmp_path), "y")
    with pytest.raises(ConflictError, match=r"'bank'.*'y'.*'job'"):
        datasets.register("bank", _table(tmp_path), "job")


@pytest.mark.parametrize(("name", "label"), [("bank", "deposit"), ("no/name", "y"), ("", "y")])
def test_a_refusal_leaves_nothing(datasets: Datasets, tmp_path: Path, name: str, label: str) -> None:
    """What can't serve is not registered, and no file of it stays."""
    with pytest.raises(InvalidRequestError):
        datasets.register(name, _table(tmp_path), label)
    assert datasets.list() == ()
    assert _stored(tmp_path) == []


def test_a_failure_half_way_leaves_nothing(datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses while the version is written leaves no version and no file."""
    import pyarrow.parquet

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    with pytest.raises(Exception, match="No space left"):
        datasets.register("bank", _table(tmp_path), "y")
    assert datasets.list() == ()
    assert _stored(tmp_path) == []


@pytest.mark.parametrize(("name", "version"), [("nobody", None), ("bank", "999")])
def test_not_there(datasets: Datasets, tmp_path: Path, name: str, version: str | None) -> None:
    """An unknown name or version is named."""
    datasets.register("bank", _table(tmp_path), "y")
    with pytest.raises(NotFoundError, match=version or name):
        datasets.get(name, version)


def test_a_damaged_version_is_refused(datasets: Datasets, tmp_path: Path) -> None:
    """A file that somebody else wrote over is one line that names it."""
    dataset = datasets.register("bank", _table(tmp_path), "y")
    datasets.parquet(dataset).write_bytes(b"no parquet")
    with pytest.raises(InvalidRequestError, match=r"data\.parquet is damaged"):
        datasets.read(dataset)
