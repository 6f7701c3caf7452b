"""What is known of well-known tables, and can't be seen in their numbers: told in the guardrails of whoever trains on one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownLate:
    """A column whose value is not there yet when a prediction would be of use."""

    column: str
    fact: str
    advice: str


@dataclass(frozen=True, slots=True)
class KnownTable:
    """A table that is recognised by `columns`, all of which it has."""

    name: str
    columns: frozenset[str]
    known_late: tuple[KnownLate, ...]


BANK_MARKETING = KnownTable(
    name="Bank Marketing (UCI)",
    columns=frozenset(
        {"age", "job", "marital", "education", "default", "housing", "loan", "contact", "month", "duration"}
        | {"campaign", "pdays", "previous", "poutcome"}
    ),
    known_late=(
        KnownLate(
            column="duration",
            fact="The length of a call is not known before the call, and after it so is the outcome: 0 seconds is a no.",
            advice="Use duration to compare models; leave it out of a model that chooses whom to call.",
        ),
    ),
)

KNOWN_TABLES = (BANK_MARKETING,)


def recognise(columns: Iterable[str]) -> KnownTable | None:
    """The known table that has these columns, if there is one."""
    names = set(columns)
    return next((table for table in KNOWN_TABLES if table.columns <= names), None)
