"""Numbers with a decimal comma, and perhaps points between thousands: which columns hold them, and the same with points.

Where commas divide the fields there are none. Elsewhere a column is judged as a whole: 1.234 means one thing in a column of
decimal commas and another in a column of decimal points. English thousands (1,234) look like a decimal comma as well: they are
taken for one where semicolons divide the fields, which is how a country with decimal commas writes, and prove nothing elsewhere.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

_EXPONENT = r"(?:[eE][+-]?\d+)?"
_NUMBER = rf"^[ \t]*-?(?:(?:0|[1-9]\d*|[1-9]\d{{0,2}}(?:\.\d{{3}})+)(?:,\d+)?|,\d+){_EXPONENT}[ \t]*$"
_WITH_POINT = rf"^[ \t]*-?(?:\d+\.\d*|\.\d+){_EXPONENT}[ \t]*$"
_THOUSANDS = r"^[ \t]*-?[1-9]\d{0,2},\d{3}[ \t]*$"
_METADATA = b"bankmlops.decimal_comma"

Texts: TypeAlias = Any  # of Arrow's: an array of texts, or a chunked one
logger = logging.getLogger("bankmlops")


def decimal_points(texts: Sequence[str | None], delimiter: str) -> list[str | None]:
    """The values of one column that is to hold numbers, 1.234,5 as 1234.5, where the column has decimal commas.

    All else stays as it is: a column that shows no decimal comma, or decimal points too, and values that are no numbers.
    """
    array = pa.array(texts, pa.string())
    return list(with_points(array).to_pylist()) if shows_comma(array, delimiter) and not shows_point(array) else list(texts)


def shows_comma(texts: Texts, delimiter: str) -> bool:
    """Whether one of the texts is a number with a decimal comma, in a file whose fields `delimiter` divides."""
    if delimiter == ",":
        return False
    candidates = texts.filter(pc.match_substring(texts, ","))
    found = _match(candidates, _NUMBER)
    if delimiter != ";":
        found = pc.and_not(found, _match(candidates, _THOUSANDS))
    return bool(pc.any(found).as_py())


def shows_point(texts: Texts) -> bool:
    """Whether one of the texts is a number that it can be with a decimal point alone, such as 12.5."""
    candidates = texts.filter(pc.match_substring(texts, "."))
    return bool(pc.any(pc.and_not(_match(candidates, _WITH_POINT), _match(candidates, _NUMBER))).as_py())


def with_points(texts: Texts) -> Texts:
    """The texts of a column of decimal commas, with decimal points; what is no number stays as it is."""
    plain = pc.replace_substring(pc.replace_substring(pc.utf8_trim_whitespace(texts), ".", ""), ",", ".")
    return pc.if_else(_match(texts, _NUMBER), plain, texts)


def with_numbers(table: pa.Table, delimiter: str, texts: Sequence[str] = ()) -> pa.Table:
    """The table as it was read, but for each column of texts that are all numbers with decimal commas: float64.

    The columns named in `texts` stay as they are. `decimal_comma_columns` answers which were changed.
    """
    found = [
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if pa.types.is_string(column.type) and name not in texts and _has_decimal_commas(column, delimiter)
    ]
    for name in found:
        place = table.column_names.index(name)
        table = table.set_column(place, name, with_points(table.column(place)).cast(pa.float64()))
    return table.replace_schema_metadata({_METADATA: json.dumps([name.strip() for name in found])}) if found else table


def decimal_comma_columns(table: pa.Table) -> tuple[str, ...]:
    """The columns whose numbers had a decimal comma in the file that the table was read from."""
    return tuple(json.loads((table.schema.metadata or {}).get(_METADATA, b"[]")))


def note_decimal_commas(table: pa.Table, path: Path) -> None:
    """Say, where there are any, which columns were read with a decimal comma: it may have been meant otherwise."""
    names = decimal_comma_columns(table)
    if names:
        logger.warning(
            "%s: read as numbers with a decimal comma: %s; where that isn't meant, a Parquet file keeps texts as they are",
            path,
            ", ".join(names),
        )


def _has_decimal_commas(column: pa.ChunkedArray, delimiter: str) -> bool:
    first = next((chunk.drop_null()[:1] for chunk in column.chunks if chunk.null_count < len(chunk)), None)
    if first is None or not pc.all(_match(first, _NUMBER)).as_py():  # one value spares most columns the look at all
        return False
    return shows_comma(column, delimiter) and bool(pc.all(_match(column, _NUMBER)).as_py())


def _match(texts: Texts, pattern: str) -> Texts:
    return pc.match_substring_regex(texts, pattern)
