"""What a client asked and got, written down without a secret."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bankmlops.emulator.web import recorder
from bankmlops.emulator.web.recorder import Record
from bankmlops.emulator.web.redaction import redacted_body, redacted_headers, redacted_path, redacted_query, redacted_text
from support.command_line import CommandLine

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl"
# Asks as the SDK does: for a token by both grants, the workspace, a secret, a signed URL, keys, and a route that is not there.
CLIENT = """
import json, os, urllib.parse, urllib.request as u
def call(url, body=None, method=None, **headers):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = u.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
    try:
        return json.loads(u.urlopen(request, timeout=30).read() or b"{}")
    except u.HTTPError as error:
        return {"status": error.code}
token = call(os.environ["MSI_ENDPOINT"] + "?resource=https://management.azure.com/")["access_token"]
form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": os.environ["AZURE_CLIENT_SECRET"]}
login = "https://login.microsoftonline.com/a-tenant/oauth2/v2.0/token"
call(login, urllib.parse.urlencode(form).encode(), **{"Content-Type": "application/x-www-form-urlencoded"})
workspace = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
signed = {"Authorization": "Bearer " + token}
call("https://management.azure.com" + workspace, **signed)
base = os.environ["MSI_ENDPOINT"].split("/msi/")[0]
call(base + "/credential/v2.0" + workspace + "/secrets", {"name": "password", "value": "correct horse"}, "PUT", **signed)
store = call(base + "/datastore/v1.0" + workspace + "/default", **signed)
call(base + "/content/v2.0" + workspace + "/snapshots/getblob", {"FileNames": ["a.txt"]}, **signed)
call(base + "/history/v1.0" + workspace + "/no-such-thing", **signed)
open("known.json", "w").write(json.dumps([token, os.environ["AZURE_CLIENT_SECRET"], store["azureStorageSection"]["accountKey"]]))
raise SystemExit(7)
"""


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line.end_processes()


@pytest.mark.slow
def test_a_client_is_recorded(command_line: CommandLine) -> None:
    """The exchanges are there with paths, statuses and shapes, and without one of the secrets; the exit code is the command's."""
    done = command_line("emulator", "record", "--to", "record.jsonl", "--", sys.executable, "-c", CLIENT)
    assert done.returncode == 7, done.stderr
    assert "not emulated, asked 1 times: GET /history/v1.0{WS}/no-such-thing" in done.stderr
    file = command_line.folder / "record.jsonl"
    text = file.read_text("utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for secret in (*json.loads((command_line.folder / "known.json").read_text()), "correct horse"):
        assert secret not in text
    assert "sig=(redacted)" in text
    entries = [json.loads(line) for line in text.splitlines()]
    hosts = {entry["host"] for entry in entries if "emulated" in entry}
    assert hosts == {"login.microsoftonline.com", "management.azure.com"}
    by_path = {entry["path"].rpartition("/")[2]: entry for entry in entries if "path" in entry}
    assert (by_path["no-such-thing"]["status"], by_path["no-such-thing"]["known"]) == (501, False)
    assert by_path["secrets"]["request"]["body"] == {"name": "password", "value": "(redacted)"}
    assert by_path["default"]["response"]["body"]["azureStorageSection"]["accountKey"] == "(redacted)"
    assert by_path["default"]["request"]["headers"]["authorization"] == "Bearer (redacted)"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (
            "https://a.blob.core.windows.net/c/b?sv=1&sig=abc%2Bdef&se=2",
            "https://a.blob.core.windows.net/c/b?sv=1&sig=(redacted)&se=2",
        ),
        ("https://a.blob.core.windows.net/c/b?sig=abc&amp;se=2", "https://a.blob.core.windows.net/c/b?sig=(redacted)&amp;se=2"),
        ("AccountName=a;AccountKey=abc==;EndpointSuffix=core", "AccountName=a;AccountKey=(redacted);EndpointSuffix=core"),
        (f"it said {TOKEN}.", "it said (redacted)."),
        ("http://127.0.0.1:1/msi/abc/token", "http://127.0.0.1:1/msi/.../token"),
        ("an ordinary text", "an ordinary text"),
    ],
)
def test_texts(text: str, redacted: str) -> None:
    """Signatures, account keys and tokens are known by their form, wherever they stand."""
    assert redacted_text(text) == redacted


@pytest.mark.parametrize(
    ("document", "redacted"),
    [
        ({"primaryKey": "a", "secondaryKey": "b"}, {"primaryKey": "(redacted)", "secondaryKey": "(redacted)"}),
        ({"keys": ["a"], "keyType": "Primary"}, {"keys": ["a"], "keyType": "Primary"}),
        ({"metricKey": {"name": "AUC"}}, {"metricKey": {"name": "AUC"}}),
        (
            {"environmentVariables": {"TOKEN": "a", "COLOUR": "b"}},
            {"environmentVariables": {"TOKEN": "(redacted)", "COLOUR": "(redacted)"}},
        ),
        ({"token": None, "name": "x"}, {"token": None, "name": "x"}),
        ([{"clientSecret": "a"}], [{"clientSecret": "(redacted)"}]),
    ],
)
def test_documents(document: Any, redacted: Any) -> None:
    """Members with the name of a secret are hidden at any depth; the shape stays."""
    assert redacted_body(json.dumps(document).encode(), "application/json", "/a") == redacted


def test_headers_queries_and_paths() -> None:
    """Credentials in headers, signatures in queries and the secret in a path are hidden; names and schemes are seen."""
    headers = [(b"Authorization", b"SharedKey account:abc"), (b"Cookie", b"a=b"), (b"x-ms-version", b"2019-12-12")]
    assert redacted_headers(headers) == {
        "authorization": "SharedKey (redacted)",
        "cookie": "(redacted)",
        "x-ms-version": "2019-12-12",
    }
    assert redacted_query("sig=a&comp=list&code=b") == {"sig": "(redacted)", "comp": "list", "code": "(redacted)"}
    assert redacted_path("/msi/secret/token") == "/msi/.../token"


def test_other_bodies() -> None:
    """A form keeps its harmless fields; bytes are told by their number; what claims to be JSON and is not is not shown."""
    form = redacted_body(b"grant_type=client_credentials&client_secret=a", "application/x-www-form-urlencoded", "/a")
    assert form == "grant_type=client_credentials&client_secret=(redacted)"
    assert redacted_body(b"\x00\x01", "application/octet-stream", "/a") == "(2 bytes of application/octet-stream)"
    assert redacted_body(b"{secret", "application/json", "/a") == "(7 bytes that are not JSON)"


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full record says so once, and grows no more; a secret that is known is hidden wherever it stands."""
    monkeypatch.setattr(recorder, "MAX_FILE_BYTES", 100)
    record = Record(tmp_path / "record", ["hush"])
    for _ in range(10):
        record.write({"a": "hush" * 10})
    record.close()
    lines = (tmp_path / "record").read_text().splitlines()
    assert len(lines) == 2
    assert "hush" not in lines[0]
    assert "cut" in lines[1]
