"""The documentation says what the emulator knows, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest

from bankmlops.emulator.web.route_table import route_table, with_table
from bankmlops.errors import InvalidRequestError
from support.served_emulator import Served

PAGE = Path(__file__).parents[3] / "docs" / "emulator.md"


def test_the_page_is_up_to_date() -> None:
    """The table of docs/emulator.md is the one that the routes make."""
    page = PAGE.read_text("utf-8")
    assert with_table(page) == page, "python -m bankmlops.emulator.web.route_table docs/emulator.md"


def test_every_listed_route_is_known(served: Served) -> None:
    """What the table lists is served: no route of it falls through to the 501 of the unknown."""
    rows = [line.split(" | ") for line in route_table().splitlines() if line.startswith(("| GET ", "| POST "))]
    assert len(rows) > 80
    for method, path, _ in (row[:3] for row in rows):
        if path.startswith("`/{container}"):
            continue
        concrete = path.strip("`").replace("{WS}", served.workspace.path).replace("{", "").replace("}", "").replace(":path", "")
        answer = served.client.request(method.strip("| "), concrete)
        assert answer.status_code != 501, concrete


def test_a_page_without_a_place() -> None:
    """It is refused, rather than written over."""
    with pytest.raises(InvalidRequestError):
        with_table("# A page")
