"""Read the labelled rows of a training window from a file, some whole days after the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.adapters.rows import BATCH_ROWS, RowGroups, batches, keys_in_sample, types_of
from ml.core.scoring.shards import Rows

ROWS_AT_ONCE = 131_072
"""Frames have at least so many rows where there are more: a frame has a price of its own."""


@dataclass(frozen=True)
class WindowRows:
    """The rows of a Parquet file with a column ``day``, whose days follow one another; ``part`` is which of them."""

    path: Path
    part: Rows | None = None

    def frames(
        self, columns: Sequence[str] | None = None, *, rows_at_once: int = ROWS_AT_ONCE
    ) -> Iterator[pd.DataFrame]:
        """Yield frames of whole days: memory holds about ``rows_at_once`` rows, and a day.

        Parameters
        ----------
        columns
            Those to read, ``day`` among them; None means all.
        """
        held: list[pd.DataFrame] = []
        for batch in batches(self.path, BATCH_ROWS, columns=columns, part=self.part):
            frame: pd.DataFrame = batch.to_pandas()
            if sum(map(len, held)) >= rows_at_once:
                ends = _rows_of_day(frame, held[-1]["day"].iloc[-1])
                if ends < len(frame):  # a day begins: what is held is whole days
                    yield pd.concat([*held, frame.iloc[:ends]], ignore_index=True)
                    held, frame = [], frame.iloc[ends:]
            held.append(frame)
        if held:
            yield pd.concat(held, ignore_index=True)

    def day_counts(self) -> dict[str, int]:
        """Return how many rows each day has, in the order of the file."""
        counts: dict[str, int] = {}
        for batch in batches(self.path, BATCH_ROWS, columns=["day"], part=self.part):
            days, of_day = np.unique(batch["day"].to_numpy(zero_copy_only=False), return_counts=True)
            for day, number in zip(days, of_day, strict=True):
                counts[str(day)] = counts.get(str(day), 0) + int(number)
        return counts


def copy_days(path: Path, target: Path, days: Collection[str]) -> None:
    """Copy the rows of some days (ISO) of a Parquet file, in their order, one batch after the other."""
    wanted = pa.array(sorted(days), pa.string())
    with RowGroups(target, types_of(path)) as writer:
        for batch in batches(path, BATCH_ROWS):
            writer.write(batch.filter(pc.is_in(batch["day"].cast(pa.string()), value_set=wanted)))


def _rows_of_day(frame: pd.DataFrame, day: str) -> int:
    """Return how many rows a frame begins with that are of a day."""
    other = (frame["day"] != day).to_numpy()
    return int(other.argmax()) if other.any() else len(frame)


def sampled_by_key(frame: pd.DataFrame, key: Sequence[str], share: float) -> pd.DataFrame:
    """Return the rows whose keys fall into a share of all keys; the frame itself if it is 1 or more."""
    return frame if share >= 1 else frame.loc[keys_in_sample(frame, key, share)]
