"""Take columns of an Arrow table as arrays: numbers as float64, others as different values and their places."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.core.training.coded_columns import CodedColumn


def is_number(kind: pa.DataType) -> bool:
    """Return whether `doubles` takes a type."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def is_codable(kind: pa.DataType) -> bool:
    """Return whether `coded` takes a type: one whose values pandas holds the same whatever stands beside them."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(text or is_number(kind))


def doubles(column: pa.ChunkedArray) -> np.ndarray:
    """Return numbers as float64, an array of shape (n_rows,); NaN for a null."""
    if column.type != pa.float64():
        column = column.cast(pa.float64(), safe=False)
    values: np.ndarray = column.to_numpy()
    return values


def coded(column: pa.ChunkedArray) -> CodedColumn:
    """Code a column; a null is a value like any other."""
    encoded = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    different = encoded.dictionary
    keys = different.to_pylist()
    if pa.types.is_floating(different.type):
        keys = [None if key is None or math.isnan(key) else key for key in keys]
    return CodedColumn(keys, encoded.indices.to_numpy(), different.to_pandas)
