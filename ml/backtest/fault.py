"""What a fault is: one thing that goes wrong with data, from a day on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

Reader = Callable[[str, re.Match[str], date, date | None], "Fault"]
"""Makes a fault of its text, of what matched in it, and of its first and last day."""
Change = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
"""Gives the affected rows as they arrive, from the true ones and those of the days before."""
FeedChange = Callable[[pd.Series, np.random.Generator], pd.Series]
"""Gives the labels of a day as they arrive, from the true ones."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong from ``first_day`` on, until ``last_day`` (None: for ever).

    ``kind`` is the entry of `ml.backtest.faults.CATALOGUE`; ``columns`` those that it falsifies (empty: whole rows or
    the outcome). ``outcome`` is by how much the target is multiplied; ``where`` the condition under which it is,
    or a ``feed`` falsifies labels (None: everywhere).
    """

    text: str
    kind: str
    columns: tuple[str, ...]
    first_day: date
    last_day: date | None
    change: Change | None = None
    outcome: float | None = None
    feed: FeedChange | None = None
    where: str | None = None

    @property
    def on_labels(self) -> bool:
        """Return whether it changes labels, and not what is recorded of the inputs."""
        return self.outcome is not None or self.feed is not None
