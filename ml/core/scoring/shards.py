"""Cut a day into shards that several workers score at once, and hold what came back against the cut.

Rows are scored in batches of ``batch_rows``, counted from the first row of the day, and a shard is whole
batches: how many shards there are changes no batch, and so no bit of any prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_SHARDS = 1000
"""Airflow maps a task over no more than 1,024 values as it is delivered; larger days get larger shards."""


@dataclass(frozen=True, order=True)
class Rows:
    """So many consecutive rows, counted from 0."""

    first: int
    count: int

    @property
    def end(self) -> int:
        """Return the row behind the last."""
        return self.first + self.count

    def __str__(self) -> str:
        return f"rows {self.first:,} to {self.end - 1:,}" if self.count else f"no rows from {self.first:,} on"


def cut(rows: int, *, rows_per_shard: int, batch_rows: int) -> tuple[Rows, ...]:
    """Cut ``rows`` rows into shards of about ``rows_per_shard``, each but the last of whole batches.

    Returns
    -------
    tuple of Rows
        At least one, which is empty if there are no rows; at most `MOST_SHARDS`.

    Examples
    --------
    >>> [str(shard) for shard in cut(2500, rows_per_shard=900, batch_rows=500)]
    ['rows 0 to 999', 'rows 1,000 to 1,999', 'rows 2,000 to 2,499']
    """
    wanted = max(rows_per_shard, -(-rows // MOST_SHARDS))
    size = batch_rows * max(1, -(-wanted // batch_rows))
    return tuple(Rows(first, min(size, rows - first)) for first in range(0, max(rows, 1), size))


def inconsistency(wanted: Sequence[Rows], scored: Sequence[Rows]) -> str:
    """Return which shards are missing, came twice or belong to another cut; empty if the set is whole.

    Examples
    --------
    >>> inconsistency(cut(2500, rows_per_shard=900, batch_rows=500), [Rows(0, 1000), Rows(2000, 500)])
    'shard 2 of 3 (rows 1,000 to 1,999) is missing'
    """
    problems = [
        f"shard {number} of {len(wanted)} ({shard}) {'is missing' if not times else f'came {times} times'}"
        for number, shard in enumerate(wanted, start=1)
        if (times := list(scored).count(shard)) != 1
    ]
    problems += [f"{shard} are of another cut" for shard in sorted(set(scored) - set(wanted))]
    return "; ".join(problems)
