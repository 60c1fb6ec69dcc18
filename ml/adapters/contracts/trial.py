"""Try a contract out: which clean days would it reject, and which planted errors does it find."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ml.adapters.contracts import Contracts, Screened
from ml.core.data.contracts import DayProfile
from ml.core.data.planted_errors import SHARES, PlantedError

ENOUGH = 0.5
"""An error is contained too if so many of the rows that it hit are quarantined, and the day goes on without them."""


@dataclass(frozen=True)
class DayTrial:
    """What a contract says of a day as it came; ``broken`` are the expectations that rejected it, in words."""

    day: date
    rows: int
    quarantined: int
    rejected: bool
    broken: tuple[str, ...]


@dataclass(frozen=True)
class ErrorTrial:
    """What a contract does about one planted error of one day."""

    day: date
    kind: str
    columns: tuple[str, ...]
    share: float
    rejected: bool
    quarantined_share: float

    @property
    def contained(self) -> bool:
        """Return whether the day was rejected, or most of the bad rows were kept out."""
        return self.rejected or self.quarantined_share >= ENOUGH


def profiles_of(days: Mapping[date, pd.DataFrame]) -> list[DayProfile]:
    """Return what later days are compared with."""
    return [
        DayProfile(day, len(frame), {str(column): int(n) for column, n in frame.isna().sum().items()})
        for day, frame in days.items()
    ]


@dataclass(frozen=True, eq=False)
class Trial:
    """A contract, the days that it is tried on, and their past.

    Parameters
    ----------
    profiles
        Of all days: of each the days before it count as its recent past.
    known_keys
        Of labels: the keys of the inputs of a day.
    """

    contracts: Contracts
    asset: str
    days: Mapping[date, pd.DataFrame]
    profiles: Sequence[DayProfile]
    known_keys: Mapping[date, pd.DataFrame] | None = None

    def screen(self, day: date, frame: pd.DataFrame, columns: Collection[str] | None = None) -> Screened:
        """Return what the contract says of a frame, as if it had come on ``day``; None looks at all columns."""
        parameters = {"day": day.isoformat(), **self.contracts.baselines(self.asset, self.profiles, day=day)}
        keys = None if self.known_keys is None else self.known_keys.get(day)
        contracts = self.contracts if columns is None else self.contracts.about(self.asset, columns)
        return contracts.screen(self.asset, frame, parameters=parameters, known_keys=keys)

    def clean_days(self) -> Iterator[DayTrial]:
        """Yield what becomes of each day as it came."""
        for day, frame in self.days.items():
            screened = self.screen(day, frame)
            words = tuple(dict.fromkeys(failure.message for failure in screened.failures)) if screened.rejected else ()
            yield DayTrial(day, len(frame), len(screened.quarantined), screened.rejected, words)

    def planted(
        self, errors: Iterable[PlantedError], days: Iterable[date], shares: Sequence[float] = SHARES
    ) -> Iterator[ErrorTrial]:
        """Yield what becomes of each error, in each share of the rows of each of some days.

        Only what is asked of the columns with the error is asked again: the days should be ones that are accepted.
        """
        errors = list(errors)
        for day in days:
            frame = self.days[day].reset_index(drop=True)
            for error in errors:
                for share in shares:
                    seed = zlib.crc32(f"{day} {error.kind} {error.columns} {share}".encode())
                    changed, hit = error.plant(frame, share, seed)
                    if not hit.any():
                        continue
                    screened = self.screen(day, changed, error.columns)
                    bad = {position for failure in screened.failures for position in failure.positions}
                    caught = float(np.isin(np.flatnonzero(hit), list(bad)).mean())
                    yield ErrorTrial(day, error.kind, error.columns, share, screened.rejected, caught)


def rejections_by_expectation(trials: Iterable[DayTrial]) -> dict[str, int]:
    """Count how many days each expectation would have rejected, the most frequent first."""
    return dict(Counter(words for trial in trials for words in trial.broken).most_common())


def found_by_kind(trials: Iterable[ErrorTrial]) -> list[dict[str, Any]]:
    """Return by kind and share how many errors were tried, and what part of them was rejected or contained."""
    groups: dict[tuple[str, float], list[ErrorTrial]] = {}
    for trial in trials:
        groups.setdefault((trial.kind, trial.share), []).append(trial)
    return [
        {
            "kind": kind,
            "share": share,
            "errors": len(group),
            "rejected": float(np.mean([trial.rejected for trial in group])),
            "contained": float(np.mean([trial.contained for trial in group])),
        }
        for (kind, share), group in groups.items()
    ]


def missed(trials: Iterable[ErrorTrial], least_share: float = 0.2) -> list[str]:
    """Return which errors were contained in no trial with at least such a share of the rows, in words."""
    contained: dict[str, bool] = {}
    for trial in (trial for trial in trials if trial.share >= least_share):
        words = f"{trial.kind} of {', '.join(trial.columns)}"
        contained[words] = contained.get(words, False) or trial.contained
    return [words for words, is_contained in contained.items() if not is_contained]
