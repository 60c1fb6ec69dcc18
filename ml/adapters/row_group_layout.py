"""Say whether a Parquet file has the very bytes that writing its rows again would give, so that a copy does."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from ml.adapters.rows import BATCH_ROWS, RowGroups, types_of


def is_written_alike(path: Path, target: Path) -> bool:
    """Return whether `RowGroups` would write a file as it is, `BATCH_ROWS` rows at a time.

    All that decides it is compared: the types, the facts in the footer, the rows of each group, how each is compressed,
    and, byte by byte, the first group, which is written to ``target`` for that.
    """
    with pq.ParquetFile(path, pre_buffer=False) as file:
        metadata, schema = file.metadata, types_of(path)
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        sizes = [group.num_rows for group in groups]
        if not groups or not file.schema_arrow.equals(schema, check_metadata=True):
            return False
        if set(sizes[:-1]) - {BATCH_ROWS} or not 0 < sizes[-1] <= BATCH_ROWS:
            return False
        with RowGroups(target, schema) as writer:
            writer.write(file.read_row_group(0))
    again = pq.read_metadata(target)
    facts = [(side.metadata, side.created_by, side.format_version) for side in (metadata, again)]
    kinds = [[group.column(number).compression for number in range(metadata.num_columns)] for group in groups]
    if facts[0] != facts[1] or any(kind != kinds[0] for kind in kinds):
        return False
    end = max(_end(groups[0].column(number)) for number in range(metadata.num_columns))
    with path.open("rb") as present, target.open("rb") as written:
        return present.read(end) == written.read(end)


def _end(chunk: pq.ColumnChunkMetaData) -> int:
    """Return where the pages of a column end."""
    first = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    return int(first + chunk.total_compressed_size)
