"""Gather the distinct values of each column of a table that is read batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

MOST = 4096
"""Of a column with more distinct values none are held."""
BITS = {pa.float16(): pa.int16(), pa.float32(): pa.int32(), pa.float64(): pa.int64()}
"""Floating-point numbers are compared by their bits: 0.0 and -0.0 are written in two ways."""


class DistinctValues:
    """The distinct values, a null among them, of those columns that have few; memory holds `MOST` of each."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._held: dict[str, pa.Array | None] = dict.fromkeys(schema.names)

    @property
    def columns(self) -> Sequence[str]:
        """Return the columns whose distinct values are held."""
        return list(self._held)

    def add(self, batch: pa.Table) -> dict[str, pa.Table]:
        """Add the rows of a batch.

        Returns
        -------
        dict of Table
            Of each column that turned out to have many values: all that it had so far, this batch included. It is not
            held any more, nor looked at in later batches.
        """
        given_up: dict[str, pa.Table] = {}
        for name in self.columns:
            held, column = self._held[name], batch[name]
            values = _distinct(column)
            if values is not None and held is not None:
                values = _distinct(pa.chunked_array([held, values]))
            if values is None or len(values) > MOST:
                given_up[name] = pa.table({name: column if values is None else values}, schema=self._schema_of(name))
                del self._held[name]
            else:
                self._held[name] = values
        return given_up

    def join(self, other: DistinctValues) -> dict[str, pa.Table]:
        """Add the distinct values of other rows of the same table.

        Returns
        -------
        dict of Table
            Of each column that has many values, in these rows, the other ones or both together: those that were held
            of it. It is not held any more.
        """
        given_up: dict[str, pa.Table] = {}
        for name in self.schema.names:
            both = [values for side in (self, other) if (values := side._held.get(name)) is not None]
            values = _distinct(pa.chunked_array(both)) if both else None
            if name in self._held and name in other._held and (values is None or len(values) <= MOST):
                self._held[name] = values
                continue
            self._held.pop(name, None)
            if values is not None:
                given_up[name] = pa.table({name: values}, schema=self._schema_of(name))
        return given_up

    def table(self, column: str) -> pa.Table:
        """Return the distinct values of a column as a table of it alone, with its own type."""
        return pa.table({column: self._held[column]}, schema=self._schema_of(column))

    def _schema_of(self, column: str) -> pa.Schema:
        return pa.schema([self.schema.field(column)])


def _distinct(column: pa.ChunkedArray) -> pa.Array | None:
    """Return each different value once; None if values of this type cannot be compared."""
    bits = BITS.get(column.type)
    try:
        if bits is None:
            return pc.unique(column)
        return pc.unique(pa.chunked_array([chunk.view(bits) for chunk in column.chunks], bits)).view(column.type)
    except pa.ArrowNotImplementedError:
        return None
