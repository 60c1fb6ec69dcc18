"""Write the rows of a day, as they come from a database, to a Parquet file in the order of their key."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from ml.adapters.sources.columns import check_names
from ml.adapters.sql.database import Batch
from ml.adapters.sql.values import as_array, common_type
from ml.errors import DataRejected

Change = Callable[[pa.Table], pa.Table]


@dataclass
class Spool:
    """Batches on this machine's disk, until all have come and the type of each column is known.

    Parameters
    ----------
    folder
        Where they are kept.
    origin
        What messages call the query.
    change
        What is done to a batch first, such as leaving out rows of other days.
    """

    folder: Path
    origin: str
    change: Change
    schemas: list[pa.Schema] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Return how many rows were kept."""
        return sum(self.lengths)

    def fill(self, batches: Generator[Batch]) -> None:
        """Keep what comes; DataRejected if a column holds what is no plain value."""
        with closing(batches):
            for batch in batches:
                self._keep(batch)

    def _keep(self, batch: Batch) -> None:
        names, rows = batch
        check_names([str(name) for name in names], self.origin)
        columns = zip(*rows, strict=True) if rows else ([] for _ in names)
        arrays = [as_array(list(values), name, self.origin) for name, values in zip(names, columns, strict=True)]
        self.keep(pa.table(arrays, names=list(names)))

    def keep(self, table: pa.Table) -> None:
        """Keep a batch that has its types already."""
        table = self.change(table)
        if table.num_rows or not self.schemas:
            parquet.write_table(table, self._part(len(self.schemas)), compression="zstd")
            self.schemas.append(table.schema)
            self.lengths.append(table.num_rows)

    def write(self, target: Path, *, key: Sequence[str], rows_at_once: int) -> None:
        """Write all rows in the order of their key; of more than ``rows_at_once``, memory holds the keys of all.

        A database gives rows in any order: without one of our own the same day would be another file each time.
        """
        names = self.schemas[0].names
        schema = pa.schema([(n, common_type([s.field(n).type for s in self.schemas], n, self.origin)) for n in names])
        order = [(name, "ascending") for name in key if name in names]
        with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
            if self.rows <= rows_at_once or not order:
                tables = self._tables(schema)
                for table in [pa.concat_tables(tables)] if order else tables:
                    writer.write_table(table.sort_by(order) if order else table)
                return
            keys = pa.concat_tables(table.select([name for name, _ in order]) for table in self._tables(schema))
            ranks = np.empty(self.rows, np.int64)
            ranks[pc.sort_indices(keys, order).to_numpy()] = np.arange(self.rows)
            del keys
            for table in self._in_order(schema, ranks, rows_at_once):
                writer.write_table(table)

    def _in_order(self, schema: pa.Schema, ranks: np.ndarray, rows_at_once: int) -> Iterator[pa.Table]:
        """Yield the rows by rank: each range of ranks is gathered in a file of its own first."""
        ranked = schema.append(pa.field("rank", pa.int64()))
        paths = [self.folder / f"range-{number}" for number in range(-(-self.rows // rows_at_once))]
        writers = [parquet.ParquetWriter(path, ranked, compression="zstd") for path in paths]
        start = 0
        for table in self._tables(schema):
            part = ranks[start : start + table.num_rows]
            start += table.num_rows
            with_ranks = table.append_column(ranked.field(len(schema)), pa.array(part))
            for number in np.unique(part // rows_at_once):
                writers[number].write_table(with_ranks.filter(pa.array(part // rows_at_once == number)))
        for writer in writers:
            writer.close()
        for path in paths:
            table = parquet.read_table(path)
            yield table.take(pc.sort_indices(table.column(len(schema)))).select(list(range(len(schema))))
            path.unlink()

    def _tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        for number in range(len(self.schemas)):
            table = parquet.read_table(self._part(number))
            try:
                yield table.cast(schema)
            except pa.ArrowInvalid as err:
                raise DataRejected(
                    f"{self.origin}: its numbers do not fit into one type ({err}); cast them in the query"
                ) from err

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number}"
