"""Blob storage on the wire, as Azure's clients speak it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import httpx
import pytest

from bankmlops.emulator.storage import blobs, storage_auth
from bankmlops.emulator.storage.blobs import BlobName
from bankmlops.errors import InvalidRequestError
from support.served_emulator import Served


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _names(answer: httpx.Response, tag: str = "Blob") -> list[str]:
    return [element.findtext("Name", "") for element in ElementTree.fromstring(answer.content).iter(tag)]  # noqa: S314


def test_bytes_come_back(served: Served) -> None:
    """What was put is got, with its size, type, etag and MD5, under a name with blanks, umlauts and slashes."""
    path = "/c/folder/a%20b/%C3%A4%2Bx.csv"
    put = served.blob("PUT", path, {"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": "text/csv"}, content=b"1,2\n")
    assert put.status_code == 201
    got = served.blob("GET", path)
    assert (got.status_code, got.content) == (200, b"1,2\n")
    assert got.headers["content-type"].startswith("text/csv")
    assert got.headers["content-md5"] == _md5(b"1,2\n")
    assert got.headers["etag"] == put.headers["etag"]
    head = served.blob("HEAD", path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "4", b"")
    assert _names(served.blob("GET", "/c?restype=container&comp=list")) == ["folder/a b/ä+x.csv"]


@pytest.mark.parametrize(
    ("asked", "content", "named"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
    ],
)
@pytest.mark.parametrize("header", ["x-ms-range", "Range"])
def test_ranges(served: Served, header: str, asked: str, content: bytes, named: str) -> None:
    """A range is answered with 206 and says which bytes of how many it is."""
    served.blob("PUT", "/c/digits", content=b"0123456789")
    got = served.blob("GET", "/c/digits", {header: asked, "x-ms-range-get-content-md5": "true"})
    assert (got.status_code, got.content, got.headers["content-range"]) == (206, content, named)
    assert got.headers["content-md5"] == _md5(content)


def test_a_range_beyond_the_end(served: Served) -> None:
    """It is a 416 that tells the size; of an empty blob every range is one."""
    served.blob("PUT", "/c/short", content=b"abc")
    served.blob("PUT", "/c/empty", content=b"")
    beyond = served.blob("GET", "/c/short", {"Range": "bytes=3-"})
    assert (beyond.status_code, beyond.headers["content-range"], beyond.headers["x-ms-error-code"]) == (
        416,
        "bytes */3",
        "InvalidRange",
    )
    assert served.blob("GET", "/c/empty", {"x-ms-range": "bytes=0-10"}).status_code == 416
    assert served.blob("GET", "/c/empty").content == b""


def test_a_large_blob_in_blocks(served: Served) -> None:
    """Blocks are joined in the order of the list, whatever the order in which they came, and streamed back whole."""
    first, second = b"a" * (5 << 20), b"b" * 100
    ids = [base64.b64encode(name).decode() for name in (b"block-1", b"block-2")]
    for block, content in ((ids[1], second), (ids[0], first)):
        sent = served.blob("PUT", f"/c/large?{urlencode({'comp': 'block', 'blockid': block})}", content=content)
        assert (sent.status_code, sent.headers["content-md5"]) == (201, _md5(content))
    assert served.blob("GET", "/c/large").status_code == 404
    assert _names(served.blob("GET", "/c/large?comp=blocklist"), "Block") == ids
    items = "".join(f"<Latest>{block}</Latest>" for block in ids)
    listed = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{items}</BlockList>'
    assert served.blob("PUT", "/c/large?comp=blocklist", content=listed).status_code == 201
    got = served.blob("GET", "/c/large")
    assert got.content == first + second
    assert served.blob("GET", "/c/large", {"Range": f"bytes={len(first) - 1}-{len(first)}"}).content == b"ab"


def test_a_block_that_was_never_sent(served: Served) -> None:
    """The list is refused in a word, and there is no blob."""
    answer = served.blob("PUT", "/c/none?comp=blocklist", content="<BlockList><Latest>YQ==</Latest></BlockList>")
    assert answer.status_code == 400
    assert "never sent" in answer.text
    assert served.blob("HEAD", "/c/none").status_code == 404


def test_listing_folds_and_turns_pages(served: Served) -> None:
    """A prefix selects, a delimiter folds, and markers lead through all pages without a gap or a repetition."""
    for name in ("d/1", "d/2", "d/e/3", "d/e/4", "d/z&<", "other"):
        served.blob("PUT", f"/list/{name.replace('&', '%26').replace('<', '%3C')}", content=b"x")
    folded = served.blob("GET", "/list?restype=container&comp=list&prefix=d/&delimiter=/")
    assert _names(folded) == ["d/1", "d/2", "d/z&<"]
    assert _names(folded, "BlobPrefix") == ["d/e/"]
    found, marker = [], ""
    while True:
        query = urlencode({"restype": "container", "comp": "list", "maxresults": 2, "marker": marker})
        page = served.blob("GET", f"/list?{query}")
        found += _names(page)
        marker = ElementTree.fromstring(page.content).findtext("NextMarker", "")  # noqa: S314
        if not marker:
            break
    assert found == ["d/1", "d/2", "d/e/3", "d/e/4", "d/z&<", "other"]


def test_conditions(served: Served) -> None:
    """A blob that is there is not overwritten where the client forbids it, and a changed one is not read as the old."""
    first = served.blob("PUT", "/c/once", content=b"1").headers["etag"]
    taken = served.blob("PUT", "/c/once", {"If-None-Match": "*"}, content=b"2")
    assert (taken.status_code, taken.headers["x-ms-error-code"]) == (409, "BlobAlreadyExists")
    assert served.blob("GET", "/c/once", {"If-None-Match": first}).status_code == 304
    served.blob("PUT", "/c/once", content=b"3")
    changed = served.blob("GET", "/c/once", {"If-Match": first})
    assert (changed.status_code, changed.headers["x-ms-error-code"]) == (412, "ConditionNotMet")


def test_damaged_in_transit(served: Served) -> None:
    """Bytes that do not fit their MD5 are refused, and nothing stays behind."""
    answer = served.blob("PUT", "/c/damaged", {"Content-MD5": _md5(b"other")}, content=b"bytes")
    assert answer.status_code == 400
    assert served.blob("HEAD", "/c/damaged").status_code == 404


def test_deleted_is_gone(served: Served) -> None:
    """A deleted blob is a 404 with Azure's code, and so is its deletion."""
    served.blob("PUT", "/c/gone", content=b"x")
    assert served.blob("DELETE", "/c/gone").status_code == 202
    for method in ("GET", "HEAD", "DELETE"):
        answer = served.blob(method, "/c/gone")
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (404, "BlobNotFound")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PUT", "/c/b?comp=lease", {}),
        ("GET", "/c/b?comp=tags", {}),
        ("PUT", "/c/b", {"x-ms-blob-type": "AppendBlob"}),
        ("PUT", "/c/b", {"x-ms-copy-source": "https://elsewhere"}),
    ],
)
def test_what_is_not_emulated_says_so(served: Served, method: str, path: str, headers: dict[str, str]) -> None:
    """Leases, tags, append blobs and copies are a 501, not a wrong answer."""
    assert served.blob(method, path, headers).status_code == 501


def test_without_credentials(served: Served) -> None:
    """A call that says nothing about itself is a 401, one with a stranger's token a 403, one on a stranger's account too."""
    host = {"Host": f"{served.workspace.account}.blob.core.windows.net"}
    anonymous = served.client.get("/c/b", headers=host)
    assert (anonymous.status_code, anonymous.headers["x-ms-error-code"]) == (401, "NoAuthenticationInformation")
    assert served.blob("GET", "/c/b", {"Authorization": "Bearer x.y.z"}).status_code == 403
    assert served.blob("GET", "/c/b", {"Host": "somebody.blob.core.windows.net"}).status_code == 403


def test_a_signed_url(served: Served) -> None:
    """It opens its blob for what it permits alone; changed in any part it opens nothing."""
    served.blob("PUT", "/c/ab%20c", content=b"signed")
    name = BlobName(served.workspace.account, "c", "ab c")
    parts = urlsplit(storage_auth.signed_url(name, served.workspace.account_key, "r"))
    host = {"Host": parts.netloc}

    def status(method: str, path: str) -> int:
        return served.client.request(method, path, headers=host).status_code

    assert served.client.get(f"{parts.path}?{parts.query}", headers=host).content == b"signed"
    assert status("PUT", f"{parts.path}?{parts.query}") == 403
    assert status("GET", f"/c/other?{parts.query}") == 403
    assert status("GET", f"{parts.path}?{parts.query.replace('sp=r', 'sp=rcw')}") == 403


def test_a_signed_url_expires(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its hours it opens nothing."""
    served.blob("PUT", "/c/old", content=b"x")
    monkeypatch.setattr(storage_auth, "SAS_HOURS", -1)
    parts = urlsplit(storage_auth.signed_url(BlobName(served.workspace.account, "c", "old"), served.workspace.account_key, "r"))
    assert served.client.get(f"{parts.path}?{parts.query}", headers={"Host": parts.netloc}).status_code == 403


def test_a_shared_key(served: Served) -> None:
    """A request that is signed with the account's key, as Microsoft's reference has it, is let in; a stale signature is not."""
    account, key = served.workspace.account, served.workspace.account_key
    date = format_datetime(datetime.now(UTC), usegmt=True)
    lines = ["PUT", "", "", "5", "", "text/plain", "", "", "", "", "", "", f"x-ms-blob-type:BlockBlob\nx-ms-date:{date}"]
    to_sign = "\n".join([*lines, f"/{account}/c/key%20d\ntimeout:30"])
    signature = base64.b64encode(hmac.new(base64.b64decode(key), to_sign.encode(), hashlib.sha256).digest()).decode()
    headers = {
        "Authorization": f"SharedKey {account}:{signature}",
        "Content-Type": "text/plain",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-date": date,
    }
    assert served.blob("PUT", "/c/key%20d?timeout=30", headers, content=b"hello").status_code == 201
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert served.blob("PUT", "/c/key%20d?timeout=30", {**headers, "x-ms-date": later}, content=b"hello").status_code == 403


def test_a_blob_is_replaced_while_it_is_read(served: Served) -> None:
    """Each reader gets one version whole, however often the blob is replaced meanwhile."""
    versions = [bytes([byte]) * 50_000 for byte in b"abc"]
    served.blob("PUT", "/c/busy", content=versions[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for version in versions:
                served.blob("PUT", "/c/busy", content=version)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(60):
            got = served.blob("GET", "/c/busy")
            assert got.status_code == 200
            assert got.content in versions
    finally:
        stop.set()
        writer.join()


def test_a_file_that_does_not_fit_leaves_nothing(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has arrived of a file that can't become a blob is taken away, and the blob of that name stays as it was."""
    name = BlobName(served.workspace.account, "c", "a")
    served.emulator.blobs.put(name, b"x")
    before = set((served.emulator.folder / "blobs").iterdir())
    (tmp_path / "file").write_bytes(b"xy")
    monkeypatch.setattr(blobs, "MAX_BLOB_BYTES", 1)
    with pytest.raises(InvalidRequestError, match="1 bytes at most"):
        served.emulator.blobs.put_file(name, tmp_path / "file")
    assert set((served.emulator.folder / "blobs").iterdir()) == before
    blob = served.emulator.blobs.get(name)
    assert blob is not None
    assert blob.path.read_bytes() == b"x"
