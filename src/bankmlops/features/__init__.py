"""One fitted specification turns rows into the float32 matrix, the same in training and in scoring. Needs numpy alone."""

from bankmlops.features.fit import fit
from bankmlops.features.rows import matrix_from_rows
from bankmlops.features.specification import FORMAT, ColumnKind, ColumnSpecification, FeatureSpecification
from bankmlops.features.text import text_of
from bankmlops.features.transform import encode_labels, matrix_from_columns

__all__ = [
    "FORMAT",
    "ColumnKind",
    "ColumnSpecification",
    "FeatureSpecification",
    "encode_labels",
    "fit",
    "matrix_from_columns",
    "matrix_from_rows",
    "text_of",
]
