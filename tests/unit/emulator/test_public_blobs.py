"""Public blobs of other storage accounts, out of a folder of the user's own."""

from __future__ import annotations

from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from bankmlops.emulator.automl.training_data import dataset_file
from bankmlops.emulator.server import is_emulated
from bankmlops.emulator.storage import public_blobs
from bankmlops.errors import BankMLOpsError
from support.automl_requests import save_dataflow
from support.served_emulator import Served

DELIMITED = "  - read_delimited:\n      encoding: utf8\n      delimiter: ','\n      header: all_files_same_headers\n"
TEXT = "age,y\n20,no\n30,yes\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = tmp_path / "public" / "samples" / "data" / "a folder" / "bank.csv"
    file.parent.mkdir(parents=True)
    file.write_text(TEXT)
    return tmp_path / "public"


def _ask(served: Served, method: str, path: str, **options: object) -> httpx.Response:
    return served.client.request(method, path, headers={"Host": "samples.blob.core.windows.net"}, **options)


def test_anybody_reads_and_nobody_writes(served: Served, folder: Path) -> None:
    """Without credentials a blob, a part of it and its size are there; nothing is written, taken away or made up."""
    assert public_blobs.publish(served.emulator, folder) == 1
    assert _ask(served, "GET", "/data/a%20folder/bank.csv").text == TEXT
    assert _ask(served, "HEAD", "/data/a%20folder/bank.csv").headers["Content-Length"] == str(len(TEXT))
    assert "a folder/bank.csv" in _ask(served, "GET", "/data?restype=container&comp=list").text
    assert _ask(served, "GET", "/data/other.csv").status_code == 404
    assert _ask(served, "PUT", "/data/a%20folder/bank.csv", content=b"x").status_code == 401
    assert _ask(served, "DELETE", "/data/a%20folder/bank.csv").status_code == 401
    assert _ask(served, "GET", "/data/a%20folder/bank.csv").text == TEXT


def test_its_account_leads_here(served: Served, folder: Path) -> None:
    """The proxy takes an account of the folder for the emulator's, and no other."""
    public_blobs.publish(served.emulator, folder)
    assert is_emulated(served.emulator, "samples.blob.core.windows.net")
    assert not is_emulated(served.emulator, "others.blob.core.windows.net")


@pytest.mark.slow
def test_what_is_published_anew(served: Served, folder: Path) -> None:
    """A dataset on a public address is the file as it was published last."""
    public_blobs.publish(served.emulator, folder)
    (folder / "samples" / "data" / "a folder" / "bank.csv").write_text(TEXT + "40,no\n")
    public_blobs.publish(served.emulator, folder)
    address = "wasbs://data@samples.blob.core.windows.net/a folder/bank.csv"
    with dataset_file(served.workspace, save_dataflow(served, address, DELIMITED, "")) as path:
        assert pq.read_table(path).column("age").to_pylist() == [20, 30, 40]


def test_what_is_no_longer_public(served: Served, folder: Path) -> None:
    """Only what was published last is there: a file that was taken out of the folder is gone, and so is an account."""
    public_blobs.publish(served.emulator, folder)
    (folder / "samples" / "data" / "a folder" / "bank.csv").rename(folder / "samples" / "data" / "other.csv")
    public_blobs.publish(served.emulator, folder)
    assert _ask(served, "GET", "/data/a%20folder/bank.csv").status_code == 404
    assert _ask(served, "GET", "/data/other.csv").text == TEXT
    served.emulator.remove_public_accounts()
    assert not is_emulated(served.emulator, "samples.blob.core.windows.net")
    assert served.emulator.blobs.find("samples", "data") == []


@pytest.mark.parametrize("path", ["bank.csv", "samples/bank.csv", "No-Account/data/bank.csv"])
def test_a_file_that_is_no_blob(served: Served, tmp_path: Path, path: str) -> None:
    """A file whose place means no blob is one line that says which place would."""
    file = tmp_path / "public" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    with pytest.raises(BankMLOpsError, match=f"{path} is at no blob's place; that is ACCOUNT/CONTAINER/PATH"):
        public_blobs.publish(served.emulator, tmp_path / "public")


def test_what_can_not_be_published(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a folder that is not there, nor one of too many files or bytes, nor an account that is the emulator's own."""
    with pytest.raises(BankMLOpsError, match="there is no such folder"):
        public_blobs.publish(served.emulator, tmp_path / "none")
    own = tmp_path / "public" / served.workspace.account / "data" / "bank.csv"
    own.parent.mkdir(parents=True)
    own.write_text("x")
    with pytest.raises(BankMLOpsError, match="an account of the emulator's own"):
        public_blobs.publish(served.emulator, tmp_path / "public")
    monkeypatch.setattr(public_blobs, "MAX_BYTES", 0)
    with pytest.raises(BankMLOpsError, match="1 bytes; at most 0"):
        public_blobs.publish(served.emulator, tmp_path / "public")
    monkeypatch.setattr(public_blobs, "MAX_FILES", 0)
    with pytest.raises(BankMLOpsError, match="1 files; at most 0"):
        public_blobs.publish(served.emulator, tmp_path / "public")
