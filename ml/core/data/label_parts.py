"""Judge the labels of each part of a day: a feed of one carrier, one shop, one hour may break while the rest is right.

A part is what the gate's slices cut out of the rows. Its labels are in doubt

- if all of them are **the same**, by more than chance even if as many had been so as on the day of the past on which
  most were. Of classes it is the odds beside the rest of the day that are compared with the past, so that a day on
  which everything is on time accuses no part; of numbers the share of the commonest one;
- if they **order** the part's rows the other way round than predictions do, by more than chance and more than on any
  day before.

Both go on until somebody repairs the feed, so that no later day confirms them. What was declared of true days in doubt
is shared between the parts (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit
from scipy.stats import norm as normal

from ml.core import predictions
from ml.core.data.label_days import association, class_counts, shares
from ml.core.data.lasting_doubts import PARTLY, QUARTER_DAYS, contradicts
from ml.core.gate.slices import cut
from ml.records import LabelDay, LabelPart
from ml.settings import Labels, Task

FEWEST_ROWS = 10
"""Parts of fewer labelled rows, or with fewer outside of them, say nothing."""
MOST_PARTS = 100
"""So many parts of a day are looked at, the largest."""
NAMED = 3
"""So many parts are named in a sentence."""


def label_parts(
    columns: pd.DataFrame, terms: Sequence[str], target: np.ndarray, predicted: ArrayLike | None, task: Task
) -> dict[str, LabelPart]:
    """Sum up the labels of each part of a day.

    Parameters
    ----------
    columns : DataFrame of shape (n_rows, n_columns)
        What the parts are cut by; not modified.
    terms
        Columns and conditions, as of the gate's slices. One that this day cannot be cut by is left out.
    target : array of shape (n_rows,)
        Labels as numbers, see `ml.core.data.label_days.label_day`; NaN where there is none.
    predicted : array or None
        What was predicted of the same rows, see `ml.core.predictions`; None if nothing was.

    Returns
    -------
    dict
        By the part's name; empty where all labels are the same, since that is known of the day.
    """
    labelled = np.isfinite(target)
    if not labelled.any() or bool((target[labelled] == target[labelled][0]).all()):
        return {}
    values = None if predicted is None else predictions.array(predicted)
    parts = [(name, held & labelled) for name, held in _cut(columns, terms)]
    large = [(name, held) for name, held in parts if FEWEST_ROWS <= held.sum() <= labelled.sum() - FEWEST_ROWS]
    largest = sorted(large, key=lambda part: (-int(part[1].sum()), part[0]))[:MOST_PARTS]
    return {
        name: LabelPart(
            rows=int(held.sum()),
            counts=_counts(target[held], task),
            order=_order(held, target, values, task),
        )
        for name, held in largest
    }


def part_doubts(today: LabelDay, past: Sequence[LabelDay], *, labels: Labels, task: Task) -> tuple[str, ...]:
    """Return in which parts the labels of a day cannot be what happened; empty if in none.

    Parameters
    ----------
    past
        Days before it whose labels were let in. A part that came on fewer than ``labels.min_recent_days`` of them is
        not judged.
    """
    usual_rows = float(np.median([other.rows for other in past]))
    parts = {name: _Past(name, past, labels.min_recent_days) for name in today.parts}
    parts = {name: before for name, before in parts.items() if before.days}
    if not parts or today.rows < PARTLY * usual_rows:
        return ()
    chance = labels.doubtful_days_per_quarter / QUARTER_DAYS / (len(today.level) + 1) / len(parts)
    most = float(normal.isf(chance))
    doubts = []
    for name, before in parts.items():
        part = today.parts[name]
        if max(part.counts) == part.rows and _highest_share(today, part, before, task) ** part.rows < chance:
            doubts.append(_same_in_words(name, part, before, task))
        elif part.order is not None and contradicts(part.order, before.orders, most, labels):
            doubts.append(_turned_in_words(name, part, before))
    more = [f"{len(doubts) - NAMED} more parts are in doubt"] if len(doubts) > NAMED else []
    return (*doubts[:NAMED], *more)


class _Past:
    """A part on the days before that have it; none if these are fewer than ``least``."""

    def __init__(self, name: str, past: Sequence[LabelDay], least: int) -> None:
        days = [(other, other.parts[name]) for other in past if name in other.parts]
        self.days = days if len(days) >= least else []

    @property
    def orders(self) -> list[float]:
        """Return the order of the days of which it is known."""
        return [part.order for _, part in self.days if part.order is not None]

    def shares(self, number: int) -> list[float]:
        """Return which share of the part's rows were of a class on each day."""
        return [part.counts[number] / part.rows for _, part in self.days]


def _cut(columns: pd.DataFrame, terms: Iterable[str]) -> Iterable[tuple[str, np.ndarray]]:
    for term in terms:
        try:
            yield from list(cut(columns, [term]))
        except KeyError:
            continue


def _counts(labels: np.ndarray, task: Task) -> tuple[int, ...]:
    """Return how many rows are of each class; of a number how many have the commonest one."""
    if task.kind == "regression":
        return (int(np.unique(labels, return_counts=True)[1].max()),)
    return class_counts(labels, task)


def _order(held: np.ndarray, target: np.ndarray, predicted: np.ndarray | None, task: Task) -> float | None:
    """Return by how many standard errors predictions order the labels of a part; None where that is not known."""
    if predicted is None:
        return None
    values = predicted[:, None] if predicted.ndim == 1 else predicted
    held = held & np.isfinite(values).all(axis=1)
    if held.sum() < FEWEST_ROWS:
        return None
    strength, error = association(shares(target[held], task), values[held], task.kind == "regression")
    return None if strength is None or not error else round(strength / error, 3)


def _highest_share(today: LabelDay, part: LabelPart, before: _Past, task: Task) -> float:
    """Return the largest share of the part's only label that its past lets expect today."""
    if task.kind == "regression":
        return max((other.counts[0] + 0.5) / (other.rows + 1) for _, other in before.days)
    number = int(np.argmax(part.counts))
    beside = [_odds(other.counts, number) - _odds(_rest(day, other), number) for day, other in before.days]
    return float(expit(_odds(_rest(today, part), number) + max(beside)))


def _rest(day: LabelDay, part: LabelPart) -> tuple[int, ...]:
    """Count the classes outside of a part."""
    return tuple(whole - inside for whole, inside in zip(day.counts, part.counts, strict=True))


def _odds(counts: Sequence[int], number: int) -> float:
    """Return the log odds of a class, half a row of either kind added."""
    return float(np.log((counts[number] + 0.5) / (sum(counts) - counts[number] + 0.5)))


def _same_in_words(name: str, part: LabelPart, before: _Past, task: Task) -> str:
    days = f"{len(before.days)} earlier days"
    number = int(np.argmax(part.counts))
    usual = before.shares(number)
    if task.kind == "regression":
        return f"all {part.rows} labels where {name} are the same, as at most {max(usual):.0%} of them were in {days}"
    label = task.classes[number] if task.classes else number
    return (
        f"all {part.rows} labels where {name} are {label}, where {min(usual):.0%} to {max(usual):.0%} of them were in "
        f"{days}; is their feed dead?"
    )


def _turned_in_words(name: str, part: LabelPart, before: _Past) -> str:
    return (
        f"labels contradict the predictions where {name}: their order is {-(part.order or 0.0):.1f} standard errors "
        f"below none, where {np.median(before.orders):.1f} above is usual; are they inverted there?"
    )
