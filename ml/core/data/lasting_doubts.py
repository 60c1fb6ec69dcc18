"""Find what is wrong with the labels of a day that no later day can put right: in which order, unit or day they are.

Each shows a feed that sends something else than what happened, and goes on doing so: later days of the same feed agree
with it. What was declared of true days in doubt is shared between all that is looked at (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from scipy.stats import norm as normal

from ml.records import LabelDay
from ml.settings import Labels, Task

QUARTER_DAYS = 91
ORDERED_ERRORS = 2.0
"""Labels order rows as predictions do if their association is so many standard errors above none."""
PARTLY = 0.5
"""Labels of fewer rows than this share of the usual ones trickle in: the first to come are special, and their level is
not judged, unless all are the same."""
OTHER_UNIT = 5.0
"""Labels that spread by so many times more, or less, than on any day before are in another unit."""
FEWEST_ROWS = 10
"""What fewer numbers spread by says nothing of their unit."""


def lasting_doubts(today: LabelDay, past: Sequence[LabelDay], *, labels: Labels, task: Task) -> tuple[str, ...]:
    """Return what is wrong with the labels of a day that later days cannot confirm; empty if nothing is.

    Parameters
    ----------
    past
        Days before it whose labels were let in, with rows each.
    """
    doubts = (
        _order_doubt(today, past, labels),
        _swapped_doubt(today, past, labels, task),
        _unit_doubt(today, past, task),
        _repeated_doubt(today, past, labels),
    )
    return tuple(doubt for doubt in doubts if doubt)


def _order_limit(today: LabelDay, labels: Labels) -> float:
    """Return from how many standard errors below none on labels are ordered the other way round.

    All rows and each two classes share what the order has.
    """
    looks = (len(today.level) + 1) * (1 + len(today.pair_orders))
    return float(normal.isf(labels.doubtful_days_per_quarter / QUARTER_DAYS / looks))


def _order_doubt(today: LabelDay, past: Sequence[LabelDay], labels: Labels) -> str:
    """Say that labels and predictions order rows the other way round; empty if they do not."""
    most = _order_limit(today, labels)
    order = _order(today)
    if order is None or not contradicts(order, [_order(other) for other in past], most, labels):
        return ""
    usual = np.median([other.association for other in past if other.association is not None])
    return (
        f"labels contradict the predictions: the association is {today.association:+.2f}, where {usual:+.2f} is usual "
        f"({-order:.1f} standard errors below none, limit {most:.1f}); are they inverted?"
    )


def _swapped_doubt(today: LabelDay, past: Sequence[LabelDay], labels: Labels, task: Task) -> str:
    """Say of which two classes the rows are ordered the other way round, most clearly; empty if of none."""
    most = _order_limit(today, labels)
    doubts = []
    for pair, order, before in _pairs(today, past, task):
        if contradicts(order, before, most, labels):
            usual = np.median([other for other in before if other is not None])
            doubts.append((order, *pair, usual))
    if not doubts:
        return ""
    order, first, second, usual = min(doubts)
    return (
        f"labels {first} and {second} contradict the predictions: their order is {-order:.1f} standard errors below "
        f"none, where {usual:.1f} above is usual (limit {most:.1f}); are they swapped?"
    )


def _pairs(
    today: LabelDay, past: Sequence[LabelDay], task: Task
) -> Iterator[tuple[tuple[str, str], float, list[float | None]]]:
    """Yield each two classes that the day has rows of, their order, and that of the days before."""
    before = [other.pair_orders for other in past if len(other.pair_orders) == len(today.pair_orders)]
    for number, order in enumerate(today.pair_orders):
        if order is not None:
            first, second = list(combinations(task.classes, 2))[number]
            yield (str(first), str(second)), order, [orders[number] for orders in before]


def _order(day: LabelDay) -> float | None:
    """Return how many standard errors labels follow the predictions; None where that is not known."""
    return day.association / day.association_error if day.association is not None and day.association_error else None


def contradicts(order: float, before: Sequence[float | None], most: float, labels: Labels) -> bool:
    """Return whether an order is below none by more than chance, and below every day before.

    How strong the usual order is varies with the day (its weather, its mix), so that the distance from the usual
    strength tells little. Predictions that usually say little themselves accuse no labels.
    """
    usual = [other for other in before if other is not None]
    if len(usual) < labels.min_recent_days or np.median(usual) <= ORDERED_ERRORS:
        return False
    return order < -most and order < min(usual)


def _unit_doubt(today: LabelDay, past: Sequence[LabelDay], task: Task) -> str:
    """Say by which factor numbers spread beyond every day before; empty if they do not.

    The range of the middle 80 % is what counts: a few outliers widen no unit, and a mean may be near zero.
    """
    usual_rows = float(np.median([other.rows for other in past]))
    if task.kind != "regression" or today.rows < max(FEWEST_ROWS, PARTLY * usual_rows):
        return ""
    widths = [_width(other) for other in past]
    width, narrowest, widest = _width(today), min(widths), max(widths)
    if not width or not widest or narrowest / OTHER_UNIT <= width <= widest * OTHER_UNIT:
        return ""
    return (
        f"labels are in another unit than before, it seems: the middle 80 % of them lie within {width:.4g}, where "
        f"{narrowest:.4g} to {widest:.4g} were usual in {len(past)} earlier days"
    )


def _width(day: LabelDay) -> float:
    _, low, high = day.level
    return high - low


def _repeated_doubt(today: LabelDay, past: Sequence[LabelDay], labels: Labels) -> str:
    """Say of which earlier day labels are, row by row; empty if they are of none, or days may repeat.

    They may where chance repeats as many rows as these, by the predictions of today, and where days before did.
    """
    contents = [other.content for other in past if other.content]
    share = labels.doubtful_days_per_quarter / QUARTER_DAYS / (len(today.level) + 1) / max(len(past), 1)
    if today.content not in contents or len(set(contents)) < len(contents) or today.surprise <= -np.log(share):
        return ""
    day = next(other.day for other in reversed(past) if other.content == today.content)
    return f"all {today.rows} labels are those of {day}, row by row; were they delivered once more?"
