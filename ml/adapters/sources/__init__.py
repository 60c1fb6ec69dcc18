"""Where a day's rows come from, behind one small protocol."""

from __future__ import annotations

from datetime import date
from typing import Protocol

import pandas as pd

ASSETS = ("inputs", "labels")


class Source(Protocol):
    """Give the two tables of a day, each in the form in which the team has it."""

    def inputs(self, day: date) -> pd.DataFrame:
        """Read what is known on ``day`` when it is scored, one row per thing to predict.

        Raises
        ------
        MissingArtifact
            If the source has nothing for that day.
        DataRejected
            If what it has cannot be read as a table.
        Unavailable
            If the source does not answer.
        """
        ...

    def labels(self, day: date) -> pd.DataFrame:
        """Read the key and target of ``day``'s rows; raises as `inputs` does."""
        ...
