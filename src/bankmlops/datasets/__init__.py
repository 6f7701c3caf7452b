"""Where tables come from, and what makes one fit to register: reading, checking, freezing, and the synthetic stand-in."""

from bankmlops.datasets.checks import check_for_test, check_for_training
from bankmlops.datasets.columns import columns_of, guess_label
from bankmlops.datasets.decimals import decimal_comma_columns, decimal_points, note_decimal_commas
from bankmlops.datasets.freezing import FrozenTable, content_sha256, freeze, read_frozen
from bankmlops.datasets.reading import read_table
from bankmlops.datasets.sources import PUBLIC_SHA256, PUBLIC_URL, find_source
from bankmlops.datasets.synthetic import synthesize
from bankmlops.datasets.synthetic_stream import synthesize_stream

__all__ = [
    "PUBLIC_SHA256",
    "PUBLIC_URL",
    "FrozenTable",
    "check_for_test",
    "check_for_training",
    "columns_of",
    "content_sha256",
    "decimal_comma_columns",
    "decimal_points",
    "find_source",
    "freeze",
    "guess_label",
    "note_decimal_commas",
    "read_frozen",
    "read_table",
    "synthesize",
    "synthesize_stream",
]
