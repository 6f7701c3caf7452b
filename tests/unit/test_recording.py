"""The recorded walk shows what a terminal showed: the end of each command, and a live display as it was in the middle."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
BAR = "\r\x1b[2K⠋ AutoML ━━━━ 40% trial {} 0:0{} left"
SHOWN = (
    "the label is 'y'\r\n\x1b[?25l"
    + BAR.format("1", 9)
    + BAR.format("2, best accuracy 0.9105", 4)
    + "\r\x1b[2K⠋ AutoML ━━━━ 90% exporting LightGBM finishing"
    + "\r\x1b[2K\x1b[?25h\r\x1b[2Kstatus  Completed\r\n"
)


@pytest.fixture(scope="module")
def record() -> ModuleType:
    specification = importlib.util.spec_from_file_location("record", ROOT / "docs" / "record.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # A dataclass looks its module up while it is made.
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "record", module)
        specification.loader.exec_module(module)
    return module


def test_the_end(record: ModuleType) -> None:
    """A live display that was taken away is not in the picture, what was printed is."""
    assert record.settle(SHOWN) == "the label is 'y'\nstatus  Completed"


def test_the_middle(record: ModuleType) -> None:
    """The live display is shown with a best score and a time left."""
    assert record.live(SHOWN) == "⠋ AutoML ━━━━ 40% trial 2, best accuracy 0.9105 0:04 left"
    with pytest.raises(SystemExit, match="no time left"):
        record.live("AutoML: trial 1\r\n")


def test_the_picture_needs_no_network(record: ModuleType) -> None:
    """A picture shows command and screen, and names no address to be fetched."""
    picture = record.draw(record.SCENES[0], "every row")
    assert "every&#160;row" in picture
    assert not re.findall(r"url\(.?https?:", picture)


def test_each_scene_is_on_the_page(record: ModuleType) -> None:
    """The page has the command, the description and the pictures of each scene."""
    page = record.page()
    for scene in record.SCENES:
        assert f"```sh\n{scene.command}\n```" in page
        assert scene.description in page
        assert f"(walkthrough/{scene.name}.svg)" in page
        assert (f"(walkthrough/{scene.name}-running.svg)" in page) is bool(scene.in_the_middle)
