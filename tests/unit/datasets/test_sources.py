"""The data is found in the documented order, and a download is whole and right or is not there."""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bankmlops.datasets import PUBLIC_SHA256, PUBLIC_URL, content_sha256, find_source, read_table, sources
from bankmlops.datasets.sources import FILE_NAME, download
from bankmlops.datasets.synthetic_bank import bank_rows
from bankmlops.errors import BackendUnavailableError, InvalidRequestError

CONTENT = b"age,y\n" + b"30,no\n" * 30_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Files(BaseHTTPRequestHandler):
    """Serves the file, or fails as the path says."""

    def do_GET(self) -> None:
        if self.path == "/absent":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
            return
        self.send_response(200)
        if self.path != "/unmeasured":
            self.send_header("Content-Length", str(len(CONTENT) + (self.path == "/cut")))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a real server on the loopback."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Files) as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where nobody listens: its port is bound, so that nobody else takes it."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/file"


def _table(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("age,y\n30,no\n")
    return path


def test_public_file_is_pinned() -> None:
    """The public address is https, its sum is a whole SHA-256, and data/README.md tells both."""
    readme = (Path(__file__).parents[3] / "data" / "README.md").read_text(encoding="utf-8")
    assert PUBLIC_URL.startswith("https://")
    assert len(bytes.fromhex(PUBLIC_SHA256)) == 32
    assert f"`{PUBLIC_URL}`" in readme
    assert f"`{PUBLIC_SHA256}`" in readme


def test_option_comes_first(tmp_path: Path) -> None:
    """What --data names wins over the environment and the cache."""
    named, other = _table(tmp_path / "named.csv"), _table(tmp_path / "other.csv")
    source = find_source(named, {"BANKMLOPS_DATA": str(other)}, tmp_path / "cache")
    assert (source.path, source.synthetic, source.description) == (named, False, "named by --data")


def test_environment_comes_second(tmp_path: Path) -> None:
    """BANKMLOPS_DATA wins over the cache, and may be a file."""
    named = _table(tmp_path / "named.csv")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / FILE_NAME).write_bytes(CONTENT)
    source = find_source(None, {"BANKMLOPS_DATA": str(named)}, cache, sha256=SHA256)
    assert (source.path, source.description) == (named, "named by BANKMLOPS_DATA")


def test_folder_with_the_public_file(tmp_path: Path) -> None:
    """Of a folder, the public file's name is taken, whatever lies beside it."""
    public = _table(tmp_path / FILE_NAME)
    _table(tmp_path / "another.csv")
    assert find_source(None, {"BANKMLOPS_DATA": str(tmp_path)}, tmp_path / "cache").path == public


def test_folder_with_one_table(tmp_path: Path) -> None:
    """Of a folder with one table, that is taken; a README is none."""
    table = _table(tmp_path / "mine.parquet")
    (tmp_path / "README.md").write_text("about")
    assert find_source(tmp_path, {}, tmp_path / "cache").path == table


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path from the home folder is found."""
    monkeypatch.setenv("HOME", str(tmp_path))
    table = _table(tmp_path / "mine.csv")
    assert find_source(Path("~/mine.csv"), {}, tmp_path / "cache").path == table


@pytest.mark.parametrize("option", ["--data", "BANKMLOPS_DATA"])
def test_named_but_not_there(tmp_path: Path, option: str) -> None:
    """What was named and isn't there is an error, and nothing else is taken for it."""
    path = tmp_path / "absent.csv"
    data, environ = (path, {}) if option == "--data" else (None, {option: str(path)})
    with pytest.raises(InvalidRequestError) as caught:
        find_source(data, environ, tmp_path / "cache")
    assert str(caught.value) == f"{option} {path}: no such file or folder; a CSV or Parquet file would serve"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("names", "found"), [([], "no CSV or Parquet file"), (["a.csv", "b.pq"], "2 tables (a.csv, b.pq)")])
def test_folder_that_does_not_say_which(tmp_path: Path, names: list[str], found: str) -> None:
    """A folder without a table, or with several, is named with what it holds."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in names:
        _table(folder / name)
    with pytest.raises(InvalidRequestError) as caught:
        find_source(folder, {}, tmp_path / "cache")
    assert str(caught.value) == f"--data {folder}: {found}; name one file, or a folder that holds {FILE_NAME}"


@pytest.mark.parametrize("name", ["~no-such-user-here/data.csv", f"/{'long' * 100}/data.csv"])
def test_names_that_can_not_be(tmp_path: Path, name: str) -> None:
    """The home of nobody and a name too long are one line."""
    with pytest.raises((InvalidRequestError, BackendUnavailableError)) as caught:
        find_source(Path(name), {}, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_cache_comes_third(tmp_path: Path, unreachable: str) -> None:
    """The cached file is used without the network where its sum is right."""
    (tmp_path / FILE_NAME).write_bytes(CONTENT)
    source = find_source(None, {}, tmp_path, url=unreachable, sha256=SHA256)
    assert (source.path, source.synthetic, source.description) == (tmp_path / FILE_NAME, False, "the cached public file")


def test_download_comes_fourth(tmp_path: Path, server: str) -> None:
    """The public file is downloaded into the cache, with progress, and is found there the next time."""
    told: list[tuple[int, int]] = []
    cache = tmp_path / "new" / "cache"
    source = find_source(
        None, {}, cache, url=f"{server}/file", sha256=SHA256, on_progress=lambda done, total: told.append((done, total))
    )
    assert (source.path.read_bytes(), source.synthetic) == (CONTENT, False)
    assert source.description == "downloaded from its public address"
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in cache.iterdir()] == [FILE_NAME]
    assert find_source(None, {}, cache, url=f"{server}/absent", sha256=SHA256).description == "the cached public file"


def test_damaged_cache_is_downloaded_again(tmp_path: Path, server: str, caplog: pytest.LogCaptureFixture) -> None:
    """A cached file whose sum is wrong is announced and replaced."""
    (tmp_path / FILE_NAME).write_bytes(CONTENT[:-1])
    source = find_source(None, {}, tmp_path, url=f"{server}/file", sha256=SHA256)
    assert source.path.read_bytes() == CONTENT
    assert "its SHA-256 is not that of the public file" in caplog.text


@pytest.mark.parametrize("path", ["moved", "unmeasured"])
def test_redirect_and_unknown_length(tmp_path: Path, server: str, path: str) -> None:
    """A redirect is followed, and a length that isn't told is no hindrance."""
    download(f"{server}/{path}", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "sha256", "reason"),
    [
        ("file", "0" * 64, f"the download has SHA-256 {SHA256} where {'0' * 64} was expected"),
        ("absent", SHA256, "not downloaded (Not Found)"),
        ("cut", SHA256, f"not downloaded (it ended after {len(CONTENT)} of {len(CONTENT) + 1} bytes)"),
    ],
)
def test_download_that_is_not_right(tmp_path: Path, server: str, path: str, sha256: str, reason: str) -> None:
    """A wrong sum, an absent file and a cut one are one line each, what was there stays, and nothing partial is left."""
    (tmp_path / "file").write_text("what was there")
    with pytest.raises(BackendUnavailableError) as caught:
        download(f"{server}/{path}", tmp_path / "file", sha256)
    assert str(caught.value) == f"{server}/{path}: {reason}"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "what was there"


@pytest.mark.parametrize("path", ["file", "unmeasured"])
def test_download_that_is_too_large(tmp_path: Path, server: str, path: str) -> None:
    """A download ends at the maximum, whether its length was told or not."""
    with pytest.raises(BackendUnavailableError, match="more than 1000 bytes"):
        download(f"{server}/{path}", tmp_path / "file", SHA256, maximum_bytes=1000)
    assert list(tmp_path.iterdir()) == []


def test_server_that_is_too_slow(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that is not done in time ends."""
    monkeypatch.setattr(sources, "DOWNLOAD_SECONDS", 0.0)
    with pytest.raises(BackendUnavailableError, match="not done within 0 s"):
        download(f"{server}/file", tmp_path / "file", SHA256)
    assert list(tmp_path.iterdir()) == []


def test_only_http_is_fetched(tmp_path: Path) -> None:
    """An address that is a local file is not read."""
    with pytest.raises(BackendUnavailableError, match="an http or https address would serve"):
        download(_table(tmp_path / "secret.csv").as_uri(), tmp_path / "file", SHA256)
    assert not (tmp_path / "file").exists()


def test_interrupted_download_leaves_nothing(tmp_path: Path, server: str) -> None:
    """Ctrl-C during the download leaves no file."""

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(f"{server}/file", tmp_path / "file", SHA256, on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_stand_in_comes_last_and_loudly(tmp_path: Path, unreachable: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing is reached, the stand-in is made, marked and announced, and is the same the next time."""
    source = find_source(None, {}, tmp_path, url=unreachable, sha256=SHA256)
    assert source.synthetic
    assert source.description == "generated: 32950 rows, seed 42"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(unreachable in line and "Connection refused" in line for line in warnings)
    assert any(line.startswith("SYNTHETIC DATA") for line in warnings)
    assert content_sha256(read_table(source.path)) == content_sha256(bank_rows(42, 0, 32_950))
    assert find_source(None, {}, tmp_path, url=unreachable, sha256=SHA256) == source


def test_offline_asks_nobody(tmp_path: Path, server: str) -> None:
    """BANKMLOPS_OFFLINE=1 makes the stand-in although the file could be downloaded."""
    source = find_source(None, {"BANKMLOPS_OFFLINE": "1"}, tmp_path, url=f"{server}/file", sha256=SHA256)
    assert source.synthetic
    assert not (tmp_path / FILE_NAME).exists()


def test_cache_that_can_not_be_written(tmp_path: Path, server: str) -> None:
    """A cache that can't be is one line about the cache."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(BackendUnavailableError) as caught:
        find_source(None, {}, tmp_path / "file" / "cache", url=f"{server}/file", sha256=SHA256)
    assert "can't be written (Not a directory)" in str(caught.value)
    assert str(tmp_path / "file" / "cache") in str(caught.value)
