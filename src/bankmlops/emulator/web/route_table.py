"""The documentation's table of what is emulated, made from the routes: `python -m bankmlops.emulator.web.route_table PAGE`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bankmlops.emulator import app
from bankmlops.emulator.storage import blob
from bankmlops.emulator.web.routing import Route, Router
from bankmlops.emulator.web.wire import WS
from bankmlops.errors import InvalidRequestError

BEGIN = "<!-- routes: made by `python -m bankmlops.emulator.web.route_table docs/emulator.md` -->"
END = "<!-- /routes -->"


def route_table() -> str:
    """Markdown: a heading and a table for each service, in the order in which the application has them."""
    routers: Sequence[Router] = (*app.OPEN, *app.PROTECTED, blob.router)
    sections: dict[str, list[str]] = {}
    for router in routers:
        for route in _documented(router):
            sections.setdefault(_service(route), []).extend(_rows(route))
    return "\n\n".join(_section(title, rows) for title, rows in sections.items() if rows)


def with_table(page: str) -> str:
    """The page with its table made anew. Raises `InvalidRequestError` where it has no place for one."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InvalidRequestError(f"the page has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{route_table()}\n\n{END}{after}"


def _documented(router: Router) -> Iterator[Route]:
    yield from (route for route in router.routes if route.documented)


def _service(route: Route) -> str:
    """The first words of the docstring of the module that answers."""
    module = inspect.getmodule(route.endpoint)
    text = " ".join((inspect.getdoc(module) or "").split())
    return re.split(r"[:,]|\. | on the wire", text)[0].strip(". ")


def _rows(route: Route) -> list[str]:
    path = route.path.replace(WS, "{WS}")
    what = " ".join((inspect.getdoc(route.endpoint) or "").split()).replace("|", "\\|")
    return [f"| {method} | `{path}` | {what} |" for method in route.methods]


def _section(title: str, rows: Sequence[str]) -> str:
    return "\n".join([f"### {title}", "", "| method | path | answer |", "| --- | --- | --- |", *rows])


def main() -> None:
    """Make the table of a page anew."""
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
