"""What a log has gained since it was last read, though its oldest lines may have gone."""

from __future__ import annotations

from collections.abc import Sequence


def new_lines(before: Sequence[str], after: Sequence[str]) -> Sequence[str]:
    """The lines of `after` that follow the end of `before`; all of them where the two share nothing."""
    kept = len(before)
    for gone in range(kept + 1):
        if before[gone:] == after[: kept - gone]:
            return after[kept - gone :]
    return after
