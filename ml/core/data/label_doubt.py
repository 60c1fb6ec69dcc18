"""Judge whether the labels of a day may be learned from: by their own past, and by what was predicted of them.

Labels are inputs of the next day's features. A feed that sends zeros, or the opposite of the truth, keeps its contract
and does harm at once; both are seen on the first day. A day is in doubt

- for its **level** (rate, shares, or mean and quantiles), if that is far from its own past *and* its distance from
  what was predicted of the same rows is far from what that distance was before: a storm that the model foresees is no
  fault of the feed, and neither is growth. Where too little was predicted, its own past decides alone;
- for its **order**, if the labels order rows the other way round than predictions do, by more than chance and more than
  on any day before. Of several classes each two are looked at as well, among their own rows: where two are swapped,
  all others still follow the predictions. Predictions that order rows hardly better than chance are not asked;
- for its **unit**, if numbers spread several times more, or less, than on any day before;
- for its **day**, if its labels are those of an earlier day, row by row, and chance does not repeat so many;
- for a **part** of its rows, if all labels there are the same, or order them the other way round, beyond what the
  part's own past and the rest of the day allow.

The last four are in `ml.core.data.lasting_doubts` and `ml.core.data.label_parts`: no later day lets such labels in.

Far is counted in robust standard deviations from day to day (Huber and Ronchetti, *Robust Statistics*, 2009, ch. 1: the
median, and the larger of the scaled median deviation and the range of the middle 80 %), never less than rows alone let
a day vary, against a quantile of Student's t (days have heavier tails than the normal) that follows from the declared
number of doubtful true days a quarter, shared between all that is looked at (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy.special import expit
from scipy.stats import t as student

from ml.core.data.label_parts import part_doubts
from ml.core.data.lasting_doubts import ORDERED_ERRORS, PARTLY, QUARTER_DAYS, lasting_doubts
from ml.records import LabelDay, LabelVerdict
from ml.settings import Labels, Task

DEGREES_OF_FREEDOM = 7.0
"""Degrees of freedom of the days' distribution; chosen by ``bench/labels.py`` on the flights, all of the year seen."""
WEEKDAYS_EACH = 4
"""So many of each weekday are needed before weekdays are distinguished."""
WEEKDAY_GAIN = 0.8
"""Weekdays are distinguished if the days then vary by no more than this share of what they vary otherwise."""


@dataclass(frozen=True)
class _Distance:
    """How far a day is from days before it, in standard deviations; None where that cannot be known."""

    value: float
    usual: float
    deviations: float


def limit(labels: Labels, looks: int) -> float:
    """Return from how many standard deviations on something is too far, looked at on both sides.

    Examples
    --------
    >>> round(limit(Labels(), 2), 1)
    4.0
    """
    return float(student.isf(labels.doubtful_days_per_quarter / QUARTER_DAYS / looks / 2, DEGREES_OF_FREEDOM))


def recent(day: date, days: Mapping[date, LabelDay], labels: Labels) -> list[LabelDay]:
    """Return the days that a day is compared with, oldest first."""
    oldest = day - timedelta(days=labels.recent_days)
    return [days[other] for other in sorted(days) if oldest <= other < day]


def judge(
    today: LabelDay, past: Sequence[LabelDay], later: Sequence[LabelDay], *, labels: Labels, task: Task
) -> LabelVerdict:
    """Judge the labels of a day.

    Parameters
    ----------
    past
        Days before it whose labels were let in, at most ``labels.recent_days`` back.
    later
        Days after it whose labels have come, let in or in doubt, oldest first: they may confirm it.
    """
    past = [other for other in past if other.rows]
    if not labels.judge or not today.rows or len(past) < labels.min_recent_days:
        reason = f"{len(past)} earlier days with labels, labels.min_recent_days is {labels.min_recent_days}"
        return LabelVerdict(status="unjudged", reasons=(reason,) if labels.judge and today.rows else ())
    most = limit(labels, len(today.level) + 1)
    level = _level_doubts(today, past, most, task, labels)
    lasting = lasting_doubts(today, past, labels=labels, task=task)
    lasting += part_doubts(today, past, labels=labels, task=task)
    if lasting:
        return LabelVerdict(status="doubtful", reasons=(*lasting, *level), lasting=True)
    if not level:
        return LabelVerdict(status="plausible")
    if today.single:
        only = f"all {today.rows} labels are the same"
        return LabelVerdict(status="doubtful", reasons=(only, *level), lasting=True)
    if _confirmed(today, past, later, most, task, labels):
        return LabelVerdict(status="confirmed", reasons=level)
    return LabelVerdict(status="doubtful", reasons=level)


def judge_history(
    days: Mapping[date, LabelDay], *, labels: Labels, task: Task, among: Sequence[date] | None = None
) -> dict[date, LabelVerdict]:
    """Judge a whole past at once, each day by all days before it, whatever was found of those.

    All days are there at once: those after a day may confirm it, and a level that stays is the past of later days.
    Where nothing was predicted, an odd level alone keeps no day out: it may be a storm. Labels that are all the same,
    unlike the days before, are kept out all the same.

    Parameters
    ----------
    among
        The days that are judged; None for all.
    """
    ordered = sorted(days)
    verdicts = {}
    for day in ordered if among is None else sorted(among):
        past = recent(day, days, labels)
        after = [days[other] for other in _after(day, ordered, labels.confirm_days)]
        verdict = judge(days[day], past, after, labels=labels, task=task)
        if verdict.status == "doubtful" and not verdict.lasting and days[day].expected is None:
            verdict = LabelVerdict(status="unjudged", reasons=verdict.reasons)
        verdicts[day] = verdict
    return verdicts


def _after(day: date, ordered: Sequence[date], number: int) -> list[date]:
    first = int(np.searchsorted(np.array([other.toordinal() for other in ordered]), day.toordinal(), side="right"))
    return list(ordered[first : first + number])


def _level_doubts(
    today: LabelDay, past: Sequence[LabelDay], most: float, task: Task, labels: Labels
) -> tuple[str, ...]:
    usual_rows = float(np.median([other.rows for other in past]))
    if today.rows < PARTLY * usual_rows and not today.single:
        return ()
    doubts = []
    for number, name in enumerate(_names(task)):
        own = _distance(today, past, number, task, from_predicted=False)
        if own is None or abs(own.deviations) <= most:
            continue
        compared = [other for other in past if other.expected is not None]
        against = None
        if today.expected is not None and len(compared) >= labels.min_recent_days:
            against = _distance(today, compared, number, task, from_predicted=True)
            if against is not None and abs(against.deviations) <= most:
                continue
        doubts.append(_words(name, own, against, today, number, task, most, len(past)))
    return tuple(doubts)


def _names(task: Task) -> tuple[str, ...]:
    if task.classes:
        return tuple(f"the share of {label}" for label in task.classes)
    return ("the mean", "the 10 % quantile", "the 90 % quantile") if task.kind == "regression" else ("the rate",)


def _distance(
    today: LabelDay, past: Sequence[LabelDay], number: int, task: Task, *, from_predicted: bool
) -> _Distance | None:
    """Return how far a level is from its past, or its distance from what was predicted from what that was before."""
    values = np.array([_value(other, number, from_predicted) for other in past])
    value = _value(today, number, from_predicted)
    usual, scale = _usual(today.day, [other.day for other in past], values)
    rows = np.array([other.rows for other in past], dtype=float)
    scale *= np.sqrt(max(1.0, float(np.median(rows)) / today.rows))
    if task.kind == "regression":
        by_rows = float(np.median([other.spread for other in past])) / np.sqrt(today.rows)
    else:
        share = float(expit(np.median([other.level[number] for other in past])))
        by_rows = 1 / np.sqrt(today.rows * share * (1 - share))
    scale = max(scale, float(by_rows))
    if not scale:
        return None if value == usual else _Distance(value, usual, float(np.copysign(np.inf, value - usual)))
    return _Distance(value, usual, (value - usual) / scale)


def _value(day: LabelDay, number: int, from_predicted: bool) -> float:
    if not from_predicted:
        return day.level[number]
    assert day.expected is not None
    return day.level[number] - day.expected[number]


def _usual(day: date, days: Sequence[date], values: np.ndarray) -> tuple[float, float]:
    """Return median and robust standard deviation of the past, of the same weekday where weekdays differ."""
    centre, scale = float(np.median(values)), _scale(values)
    weekdays = np.array([other.weekday() for other in days])
    counts = np.bincount(weekdays, minlength=7)
    if counts[counts > 0].min() < WEEKDAYS_EACH or counts[day.weekday()] < WEEKDAYS_EACH:
        return centre, scale
    medians = {weekday: float(np.median(values[weekdays == weekday])) for weekday in np.unique(weekdays)}
    # Each day without its own weekday's median is too near to it by the day itself: n / (n - 1) makes up for that.
    widen = float(np.sqrt(counts[counts > 0].min() / (counts[counts > 0].min() - 1)))
    apart = _scale(values - np.array([medians[weekday] for weekday in weekdays])) * widen
    return (medians[day.weekday()], apart) if apart <= WEEKDAY_GAIN * scale else (centre, scale)


def _scale(values: np.ndarray) -> float:
    """Return the larger of the scaled median absolute deviation and the scaled range of the middle 80 %."""
    deviation = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    low, high = np.quantile(values, (0.1, 0.9))
    return max(deviation, float(high - low) / 2.5631)


def _confirmed(
    today: LabelDay, past: Sequence[LabelDay], later: Sequence[LabelDay], most: float, task: Task, labels: Labels
) -> bool:
    """Return whether enough later days stand beside a day whose level is odd.

    Labels that order rows as predictions do are no dead feed: the later days only have to be there. Where that is not
    known, their levels have to agree with the day's.
    """
    after = [other for other in later if other.rows and not other.single][: labels.confirm_days]
    if len(after) < labels.confirm_days:
        return False
    if today.association is not None and today.association_error is not None:
        return today.association > ORDERED_ERRORS * today.association_error
    return all(abs(distance) <= most for other in after for distance in _apart(today, other, past, task))


def _apart(today: LabelDay, other: LabelDay, past: Sequence[LabelDay], task: Task) -> list[float]:
    """Return how far the levels of two days are from each other, in what days of the past vary."""
    distances = []
    for number in range(len(today.level)):
        scale = _scale(np.array([before.level[number] for before in past]))
        if task.kind == "regression":
            scale = max(scale, today.spread / np.sqrt(today.rows))
        distances.append((other.level[number] - today.level[number]) / scale if scale else 0.0)
    return distances


def _words(
    name: str,
    own: _Distance,
    against: _Distance | None,
    today: LabelDay,
    number: int,
    task: Task,
    most: float,
    days: int,
) -> str:
    def shown(value: float) -> str:
        return f"{value:.4g}" if task.kind == "regression" else f"{expit(value):.3f}"

    # A level is smoothed, so that its log odds are finite; labels that are all the same have a rate of 0 or 1.
    value = f"{expit(own.value):.0f}" if today.single and task.kind != "regression" else shown(own.value)
    text = (
        f"{name} is {value}, where {shown(own.usual)} is usual in {days} earlier days "
        f"({abs(own.deviations):.1f} standard deviations, limit {most:.1f})"
    )
    if against is not None and today.expected is not None:
        text += (
            f", and {shown(today.expected[number])} was predicted of the same rows "
            f"({abs(against.deviations):.1f} standard deviations from what is usual)"
        )
    return text
