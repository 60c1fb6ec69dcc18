"""Divide requested rows between the champion and a challenger, by a hash of their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ml.adapters.request_parts import SHADOW, SHADOW_VERSION
from ml.adapters.rows import in_salted_share
from ml.core.predictions import parted
from ml.serving import request_rows
from ml.settings import Settings, Task, TrafficSplit

if TYPE_CHECKING:
    from ml.serving.asked import Serving

ARMS = ("champion", "challenger")


@dataclass(frozen=True)
class Contest:
    """A challenger that was loaded and tried, and the keys that it answers.

    Attributes
    ----------
    share
        The share of keys that it answers; 0 in shadow, where it is asked for every row and answers none.
    """

    challenger: Serving
    share: float
    key: tuple[str, ...]

    @property
    def version(self) -> int:
        """Return the challenger's version."""
        return self.challenger.served.version

    def takes(self, table: pa.Table) -> np.ndarray:
        """Return whether each row goes to the challenger: by its key and the version alone, whichever process asks."""
        return in_salted_share(table, self.key, self.share, salt=f"challenger {self.version}")

    def can_answer(self, rows: request_rows.Rows, days: Sequence[str]) -> bool:
        """Return whether rows are of days, and have the columns, that the challenger can answer for.

        It is asked before rows are divided, so that both arms have the same kind of rows.
        """
        served = self.challenger.served
        wanted = set(served.needed) - {request_rows.DAY}
        new = all(day > served.known_until.isoformat() for day in days)
        return new and all(wanted <= row.keys() for row in rows)


def share_of(settings: Settings) -> float | None:
    """Return the share of keys that a challenger is to answer, 0 in shadow; None if it is not to be asked at all."""
    traffic = settings.serving.traffic
    if isinstance(traffic, TrafficSplit):
        return traffic.challenger
    return 0.0 if traffic == "shadow" else None


def shadow_columns(version: int, predictions: np.ndarray, task: Task) -> dict[str, pa.Array]:
    """Return what a version predicted in shadow as columns of the request log."""
    columns = {f"{SHADOW}{name}": pa.array(values, pa.float64()) for name, values in parted(predictions, task).items()}
    return {SHADOW_VERSION: pa.array(np.full(len(predictions), version, dtype=np.int64)), **columns}
