"""The bounds that service.json may set: known names, positive numbers, and a line for anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring.limits import Limits
from bankmlops.scoring.service import read_service
from support.bundles import write_service


def test_defaults_and_overlay() -> None:
    """What is not set stays as it is."""
    assert Limits.read({}) == Limits()
    assert Limits.read({"rows": 5, "linger_seconds": 1}) == Limits(rows=5, linger_seconds=1)


def test_the_guide_names_what_fits() -> None:
    """docs/scoring.md says how many bytes and rows a request may have."""
    guide = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text(encoding="utf-8")
    assert f"{Limits().body_bytes // 2**20} MiB (`body_bytes`) or {Limits().rows:,} rows (`rows`)" in guide


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "limits must be an object"),
        ({"row": 1}, "row is not one of .*rows"),
        ({"rows": 0}, "rows must be a positive whole number"),
        ({"rows": 1.5}, "rows must be a positive whole number"),
        ({"rows": True}, "rows must be a positive whole number"),
        ({"rows": "5"}, "rows must be a positive whole number"),
        ({"head_seconds": -1}, "head_seconds must be a positive number"),
        ({"head_seconds": float("nan")}, "head_seconds must be a positive number"),
        ({"keep_alive_seconds": float("inf")}, "keep_alive_seconds must be a positive number"),
    ],
)
def test_bad_limits(document: object, message: str) -> None:
    """A limit that can't serve is named, with what would serve."""
    with pytest.raises(InvalidRequestError, match=message):
        Limits.read(document)


@given(
    st.dictionaries(st.sampled_from(list(Limits.__slots__)) | st.text(), st.none() | st.booleans() | st.floats() | st.integers())
)
def test_any_limits(document: dict[str, object]) -> None:
    """Any object is taken over or refused."""
    try:
        limits = Limits.read(document)
    except InvalidRequestError:
        return
    assert {name: getattr(limits, name) for name in document} == document


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limits": {"rows": -1}}, "limits: rows"),
        ({"name": 1.5}, "name must be a text"),
        ({"auth_enabled": "yes"}, "auth_enabled must be true or false"),
        ({"app_insights": 1}, "app_insights must be true or false"),
        ({"secondary_key": None}, "secondary_key must be a text"),
        ({"primary_key_sha256": "z" * 64}, "primary_key_sha256 must be 64 hexadecimal digits"),
    ],
)
def test_bad_service_file(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    """A field of service.json that can't serve is named; a key never is."""
    write_service(tmp_path, **settings)
    with pytest.raises(InvalidRequestError, match=message):
        read_service(tmp_path / "service.json")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"name": ' + b" " * 2**20 + b'"x"}'])
def test_no_service_file(tmp_path: Path, content: bytes) -> None:
    """A file that is no JSON object, or too long, is one line that names it."""
    (tmp_path / "service.json").write_bytes(content)
    with pytest.raises(InvalidRequestError, match=r"service\.json is not"):
        read_service(tmp_path / "service.json")
