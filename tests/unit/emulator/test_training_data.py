"""A dataset's rows out of the blob store, by Microsoft's own reader."""

from __future__ import annotations

import functools
import http.server
import json
import secrets
import subprocess
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bankmlops.emulator.automl import training_data
from bankmlops.emulator.automl.training_data import dataset_file
from bankmlops.errors import InvalidRequestError, NotFoundError
from support.automl_requests import TABLE, save_dataflow, save_dataset
from support.served_emulator import Served

DELIMITED = """  - read_delimited:
      path_column: Path
      include_path_column: false
      encoding: utf8
      support_multi_line: false
      delimiter: ","
      empty_as_string: false
      partition_size: 20971520
      header: all_files_same_headers
      infer_column_types: false
"""
TYPED = DELIMITED + "  - convert_column_types:\n      - columns: age\n        column_type: int\n"


def _upload(served: Served, path: str, text: str) -> str:
    """Store a text in the default datastore, and answer the datastore's path."""
    store = served.call("GET", "/datastore/v1.0", "/default").json()
    blob = f"/{store['azureStorageSection']['containerName']}/{path}"
    assert served.blob("PUT", blob, {"x-ms-blob-type": "BlockBlob"}, content=text.encode()).status_code == 201
    return f"{served.workspace.path.lower()}/datastores/{store['name']}/paths"


def _rows(served: Served, dataset_id: str) -> pa.Table:
    with dataset_file(served.workspace, dataset_id) as path:
        table = pq.read_table(path)
    assert not path.exists()
    assert list((served.emulator.folder / "reading").iterdir()) == []
    return table


@pytest.mark.slow
def test_parquet(served: Served) -> None:
    """A Parquet file comes back as it was uploaded."""
    table = _rows(served, save_dataset(served))
    assert table.column_names == TABLE.column_names
    assert table.column("y").to_pylist() == TABLE.column("y").to_pylist()
    assert table.column("age").null_count == 1


@pytest.mark.slow
def test_many_files_and_transformations(served: Served) -> None:
    """A pattern takes all the files it fits and no other; columns get their types, others are dropped, in the SDK's own terms."""
    paths = _upload(served, "bank/1.csv", "age,job,y\n20,a,no\n30,b,yes\n")
    _upload(served, "bank/2.csv", "age,job,y\n40,a,no\n")
    _upload(served, "bank/notes.txt", "not a table")
    steps = TYPED + "  - drop_columns: job\n"
    table = _rows(served, save_dataflow(served, f"{paths}/bank/*.csv", steps))
    assert table.to_pydict() == {"age": [20, 30, 40], "y": ["no", "yes", "no"]}


@pytest.mark.slow
def test_a_part_that_is_drawn_by_chance(served: Served) -> None:
    """`random_split` gives the rows that the SDK sees for the same seed: the two parts have all rows, and no row twice."""
    paths = _upload(served, "many.csv", "age,y\n" + "".join(f"{age},no\n" for age in range(200)))
    parts = []
    for lower, upper in ((0.0, 0.7), (0.7, 1.0)):
        arguments = f"probability: {upper}\n        probability_lower_bound: {lower}\n        seed: 7\n"
        steps = TYPED + f"  - sample:\n      sampler: random_percent\n      sampler_arguments:\n        {arguments}"
        parts.append(_rows(served, save_dataflow(served, f"{paths}/many.csv", steps)).column("age").to_pylist())
    assert sorted(parts[0] + parts[1]) == list(range(200))
    assert len(parts[0]) > len(parts[1]) > 20


@pytest.mark.slow
def test_what_is_not_a_table(served: Served) -> None:
    """The reader's reason is one line."""
    paths = _upload(served, "bad.parquet", "no Parquet at all")
    dataset_id = save_dataflow(served, f"{paths}/bad.parquet")
    with pytest.raises(InvalidRequestError, match=r"can't be read as a table: [^\n]+$"):
        _rows(served, dataset_id)


@pytest.mark.slow
@pytest.mark.parametrize("crashes", [1, 2])
def test_a_reader_that_crashes(served: Served, monkeypatch: pytest.MonkeyPatch, crashes: int) -> None:
    """It is started once more; a second crash is the dataset's error."""
    run, left = training_data._run_reader, [-11] * crashes
    crashed = subprocess.CompletedProcess([], -11, "", "")
    monkeypatch.setattr(training_data, "_run_reader", lambda *words: crashed if left and left.pop() else run(*words))
    dataset_id = save_dataset(served)
    if crashes == 1:
        assert _rows(served, dataset_id).num_rows == TABLE.num_rows
    else:
        with pytest.raises(InvalidRequestError, match="died without a word, code -11"):
            _rows(served, dataset_id)


def test_a_file_that_is_lost(served: Served) -> None:
    """The error names the file."""
    paths = _upload(served, "other.csv", "a\n1\n")
    dataset_id = save_dataflow(served, f"{paths}/gone.csv", DELIMITED)
    with pytest.raises(NotFoundError, match=r"gone\.csv"):
        _rows(served, dataset_id)


@pytest.mark.parametrize(
    "dataflow",
    [
        "{",
        json.dumps({"meta": {}}),
        *(json.dumps({"meta": {"RsDataflow": each}}) for each in ("paths: []", "paths: a", "paths: [{}]", "paths: [[a]]")),
    ],
)
def test_a_dataflow_that_is_not_understood(served: Served, dataflow: str) -> None:
    """It is refused in words."""
    body = {"datasetType": "tabular", "dataflowJson": dataflow}
    dataset_id = served.call("POST", "/dataset/v1.0", "/saveddatasets", json=body).json()["id"]
    with pytest.raises(InvalidRequestError, match="dataflow"):
        _rows(served, dataset_id)


def test_a_dataflow_of_many_paths(served: Served) -> None:
    """More paths than one would write down are refused."""
    paths = "".join(f"  - file: /{number}.csv\n" for number in range(1001))
    with pytest.raises(InvalidRequestError, match="names 1001 paths; name 1000 at most, or a pattern"):
        _rows(served, _save(served, f"paths:\n{paths}"))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a web server with a table."""
    (tmp_path / "bank.csv").write_text("age,y\n20,no\n30,yes\n")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_file_of_the_web(served: Served, web: str) -> None:
    """What lies at a web address is read from there."""
    table = _rows(served, save_dataflow(served, f"{web}/bank.csv?token=1", TYPED, ""))
    assert table.to_pydict() == {"age": [20, 30], "y": ["no", "yes"]}


@pytest.mark.parametrize(("is_there", "reason"), [(True, "status 404"), (False, "ConnectError")])
def test_a_file_that_the_web_has_not(served: Served, web: str, is_there: bool, reason: str) -> None:
    """The error names the address, without the secrets in it, and the reason."""
    secret = secrets.token_hex(8)
    address = (web if is_there else "http://127.0.0.1:1").replace("//", f"//user:{secret}@")
    with pytest.raises(NotFoundError, match=r"/gone\.csv is not the emulator's, and can't be read") as caught:
        _rows(served, save_dataflow(served, f"{address}/gone.csv?sig={secret}", TYPED, ""))
    assert str(caught.value).endswith(f"can't be read: {reason}")
    assert secret not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("bound", "value", "reason"),
    [("MAX_DOWNLOAD_BYTES", 30, "have more than 30 bytes"), ("DOWNLOAD_SECONDS", -1.0, "took longer than -1 s")],
)
def test_files_of_the_web_that_are_too_much(
    served: Served, web: str, monkeypatch: pytest.MonkeyPatch, bound: str, value: float, reason: str
) -> None:
    """The bounds are those of the whole dataset: two files of 21 bytes have more than 30."""
    monkeypatch.setattr(training_data, bound, value)
    paths = "".join(f"  - file: '{web}/bank.csv?sig=secret'\n" for _ in range(2))
    with pytest.raises(InvalidRequestError, match=f"/bank.csv can't be read: the dataset's downloads {reason}; upload"):
        _rows(served, _save(served, f"paths:\n{paths}"))


def _own_address(served: Served) -> str:
    store = served.call("GET", "/datastore/v1.0", "/default").json()["azureStorageSection"]
    return f"https://{store['accountName']}.blob.core.windows.net/{store['containerName']}"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["a%20b/bank.csv?sig=1", "a%20b/*.csv"])
def test_an_address_of_an_own_account(served: Served, path: str) -> None:
    """A file of the emulator's own storage is read by its web address, signed or not, and not from the web."""
    _upload(served, "a b/bank.csv", "age,y\n20,no\n")
    table = _rows(served, save_dataflow(served, f"{_own_address(served)}/{path}", TYPED, ""))
    assert table.to_pydict() == {"age": [20], "y": ["no"]}


def test_an_address_that_an_own_account_has_not(served: Served) -> None:
    """The error names the path and the container."""
    address = _own_address(served)
    with pytest.raises(NotFoundError, match=r"file gone\.csv is not in container"):
        _rows(served, save_dataflow(served, f"{address}/gone.csv?sig=1", TYPED, ""))


def _save(served: Served, yaml: str) -> str:
    body = {"datasetType": "tabular", "dataflowJson": json.dumps({"meta": {"RsDataflow": yaml}})}
    return str(served.call("POST", "/dataset/v1.0", "/saveddatasets", json=body).json()["id"])


def test_a_place_that_is_no_blob_storage(served: Served) -> None:
    """A path elsewhere is refused, so that the reader never leaves the emulator's own files."""
    yaml = f'paths:\n  - pattern: "file:///etc/passwd"\ntransformations:\n{DELIMITED}'
    body = {"datasetType": "tabular", "dataflowJson": json.dumps({"meta": {"RsDataflow": yaml}})}
    dataset_id = served.call("POST", "/dataset/v1.0", "/saveddatasets", json=body).json()["id"]
    with pytest.raises(InvalidRequestError, match="file:///etc/passwd is not in blob storage"):
        _rows(served, dataset_id)
