"""Read the bytes of a day's file as a table: Parquet, CSV or JSON lines.

Nothing is repaired on the way in. What cannot be read whole is refused, and what can be read is
left as it is for the data contract to judge, with one exception: ``day`` becomes ISO text.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ml.adapters.sources.columns import WRITE_AGAIN, as_iso_text, check_names
from ml.adapters.sources.csv_tables import read_csv
from ml.adapters.sources.json_tables import read_json
from ml.adapters.sources.parquet_tables import read_parquet
from ml.adapters.sources.patterns import TableFormat
from ml.adapters.sources.unpacked import check_csv
from ml.errors import EmptyDelivery


def read_table(
    content: bytes,
    table_format: TableFormat,
    *,
    origin: str,
    types: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """Read a whole file's bytes.

    Parameters
    ----------
    content
        The file, as it was at its source.
    origin
        The path or URL that the bytes came from, without secrets: messages name it.
    types
        What is known of the columns of a CSV file, and of the dates and instants of JSON lines, see
        `ml.core.data.schema`; a column with a value that is not of its type is read as if nothing were known of it.
    limit
        The most bytes that the table may take once unpacked; None for any number.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        With a plain row index; possibly of no rows. ``day``, if there, is ISO text.

    Raises
    ------
    DataRejected
        If the file is empty, is not of its format, is damaged, is too large, or has a column of lists or the like.
    """
    if not content.strip():
        raise EmptyDelivery(f"{origin} is empty ({len(content)} bytes); {WRITE_AGAIN}")
    if table_format == "csv":
        if limit is not None:
            check_csv(content, limit=limit, origin=origin)
        table = read_csv(content, origin, types or {})
    elif table_format == "json":
        table = read_json(content, origin, types or {}, limit)
    else:
        table = read_parquet(content, origin, limit)
    check_names([str(name) for name in table.columns], origin)
    if "day" in table.columns:
        table["day"] = as_iso_text(table["day"], origin)
    return table
