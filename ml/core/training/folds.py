"""Time-ordered cross-validation: what a training window may be tuned on, and scored by."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from ml.errors import DataRejected


@dataclass(frozen=True)
class Fold:
    """Whole days to fit on, and the newer ones right after them to score on, both in order."""

    fitted_on: tuple[date, ...]
    scored_on: tuple[date, ...]


def time_ordered(days: Collection[date], *, folds: int, longest: int) -> tuple[Fold, ...]:
    """Cut the newest days of a training part into blocks, each scored by a fit on all days before it.

    The window expands as in life (rolling origin; Tashman 2000, doi:10.1016/S0169-2070(00)00065-0);
    blocks do not overlap, and a day is never torn apart.

    Parameters
    ----------
    days
        The labelled days of the training part only, in any order; gaps count for nothing.
    folds
        How many blocks.
    longest
        Most days in a block, such as those of the holdout. With few days, blocks are as short as lets the
        first fit have at least one block's days.

    Raises
    ------
    DataRejected
        If there are fewer days than ``folds + 1``.

    Examples
    --------
    >>> june = [date(2013, 6, number) for number in range(1, 8)]
    >>> [(len(f.fitted_on), [d.day for d in f.scored_on]) for f in time_ordered(june, folds=2, longest=14)]
    [(3, [4, 5]), (5, [6, 7])]
    """
    ordered = tuple(sorted(set(days)))
    length = min(longest, len(ordered) // (folds + 1))
    if length < 1:
        raise DataRejected(
            f"{len(ordered)} training days are too few for tune.folds ({folds}): each fold needs newer days than "
            f"those it is fitted on; lengthen the window, or lower tune.folds to at most {max(len(ordered) - 1, 0)}"
        )
    starts = [len(ordered) - length * left for left in range(folds, 0, -1)]
    return tuple(Fold(fitted_on=ordered[:at], scored_on=ordered[at : at + length]) for at in starts)
