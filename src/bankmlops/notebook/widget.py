"""The widget behind a live run: what it shows is made in Python and put into its place by the module `widget.js`."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets


class RunWidget(anywidget.AnyWidget):
    """Shows the HTML of a run; whatever is not the page's own in it was escaped where it was made."""

    _esm = Path(__file__).with_name("widget.js").read_text(encoding="utf-8")
    html = traitlets.Unicode("").tag(sync=True)
