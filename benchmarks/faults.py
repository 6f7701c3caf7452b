"""What the fault tests measured, as a table: `python benchmarks/faults.py build/faults.xml --write docs/pipelines-faults.md`.

`make test-faults` writes the file, which is pytest's JUnit report with the properties that the tests recorded.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import figures

PACKAGES = ("bankmlops", "dbos", "psycopg")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+", help="a test that is in several is shown as in the last")
    parser.add_argument("--write", type=Path, help="put the table into this page's block as well")
    options = parser.parse_args()
    markdown = f"{figures.caption(figures.facts(PACKAGES), '`make test-faults`')}\n\n{_table(options.reports)}"
    print(markdown)
    if options.write:
        figures.write_block(options.write, "faults", markdown)


def _table(reports: Sequence[Path]) -> str:
    cases = [case for report in reports for case in ElementTree.parse(report).getroot().iter("testcase")]  # noqa: S314  our own
    rows = {case.get("name"): _row(case) for case in cases}
    return figures.table(("fault", "outcome", "measured", "seconds in all"), list(rows.values()))


def _row(case: ElementTree.Element) -> tuple[str, str, str, str]:
    name = case.get("name", "").removeprefix("test_").replace("_", " ")
    outcome = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "passed")
    measured = ", ".join(f"{each.get('name')} {each.get('value')}" for each in case.iter("property"))
    return name, outcome, measured, figures.number(float(case.get("time", "0")))


if __name__ == "__main__":
    main()
