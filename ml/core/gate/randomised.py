"""Judge a held challenger by the requests that chance has divided between it and the champion.

The holdout could not show that it is better; its own split may. Each labelled day of the split is one unit, as in
`ml.core.monitoring.split_evidence`: the challenger's mean loss minus the champion's. Both looks together, the holdout
and all looks at the split, promote a challenger that is no better with a probability of ``1 - gate.confidence`` at
most: the holdout's interval leaves half of that on its upper side, and the split's interval, which holds at every look
(`ml.core.monitoring.confidence_sequence`), gets the other half.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from scipy import stats

from ml.core.counting import interval_name
from ml.core.gate.comparison import POWER
from ml.core.gate.rules.champion import ChampionRule
from ml.core.metrics import mean_loss
from ml.core.monitoring.confidence_sequence import mean_of_days, reach
from ml.records import GainEvidence, Ruling, SplitDay, Verdict
from ml.settings import Gate

EVIDENCE = "randomised"
"""What a decision names as ``judged_by``, where a split was the evidence."""

FORECAST_DAYS = 365
"""So many days are looked ahead for when the evidence would be enough."""


@dataclass(frozen=True)
class _Measured:
    days: Sequence[SplitDay]
    gain: float
    low: float | None
    high: float | None
    error: float

    @property
    def rows(self) -> tuple[int, int]:
        """Return the labelled rows of the champion and of the challenger."""
        return sum(day.rows for day in self.days), sum(day.challenger_rows for day in self.days)


def confidence(gate: Gate) -> float:
    """Return the confidence of the split's interval: half of the gate's error is left for it."""
    return (1 + gate.confidence) / 2


def judge(name: str, rule: ChampionRule, days: Sequence[SplitDay], gate: Gate, *, label_delay_days: int) -> Ruling:
    """Judge by the days of a split whether a rule of kind champion is passed.

    A refresh gets no margin here: it was held once, and has to be better.

    Parameters
    ----------
    days
        Those of one champion and one challenger. Days that were measured in another metric do not count.
    label_delay_days
        To say when there would be enough.

    Returns
    -------
    Ruling
        ``passed`` is None while there is too little evidence; the reason then says what is missing, and about when it
        would be there.
    """
    measured = _measure([day for day in days if day.metric == gate.metric and day.kind == "randomised"], gate)
    setting = "min_gain" if rule.min_gain is not None else "max_loss"
    figures: dict[str, float | None] = {setting: getattr(rule, setting), "confidence": confidence(gate)}
    if measured is None:
        reason = (
            f"no labelled day of a split is known: set serving.traffic to {{challenger: SHARE}}, and judge again after "
            f"{gate.min_days} labelled days with {gate.min_rows} rows on either side"
        )
        return rule.ruling(name, None, reason, figures)
    rows, challenger_rows = measured.rows
    figures |= {"split_days": float(len(measured.days)), "rows": float(rows), "challenger_rows": float(challenger_rows)}
    missing = _missing(measured, gate)
    if missing or measured.low is None or measured.high is None:
        when = _when(measured, missing or 1, label_delay_days)
        reason = (
            f"{_in_words(measured, gate)}; needs {gate.min_days} days and {gate.min_rows} rows on either side, {when}"
        )
        return rule.ruling(name, None, reason, figures)
    compared = GainEvidence(
        gain=measured.gain,
        low=measured.low,
        high=measured.high,
        resolution=_resolution(measured, gate),
        days=len(measured.days),
        rows=rows + challenger_rows,
    )
    passed = _passes(rule, measured.gain, measured.low)
    reason = _in_words(measured, gate)
    if not passed:
        reason = f"{reason}; {_wanted(rule)}, {_outlook(rule, measured, gate, label_delay_days)}"
    return rule.ruling(name, passed, reason, figures, comparison=compared)


def ask(days: Sequence[SplitDay], gate: Gate, *, label_delay_days: int) -> tuple[Ruling, ...]:
    """Judge by the days of a split each rule of kind champion; empty if there is none."""
    rules = {name: rule for name, rule in gate.rules.items() if isinstance(rule, ChampionRule)}
    return tuple(judge(name, rule, days, gate, label_delay_days=label_delay_days) for name, rule in rules.items())


def conclude(
    held: Sequence[Mapping[str, Any]],
    days: Sequence[SplitDay],
    gate: Gate,
    *,
    label_delay_days: int,
    against: Sequence[Ruling] = (),
) -> Verdict:
    """Return the verdict of a hold with its comparison with the champion replaced by that of the split.

    Parameters
    ----------
    held
        The rulings of the hold, as the decision log keeps them: what they say of everything else stays.
    against
        What speaks against a promotion besides.
    """
    rulings = [Ruling.model_validate(ruling) for ruling in held]
    others = [ruling for ruling in rulings if ruling.kind != "champion"]
    judged = ask(days, gate, label_delay_days=label_delay_days)
    names = {ruling.rule for ruling in (*judged, *others)}
    if not judged:
        reason = "no rule of kind champion is declared under gate.rules: nothing says how much better it must be"
        judged = (Ruling(rule="champion", kind="champion", passed=None, evidence={}, reason=reason),)
    new = [
        Ruling(
            rule=name,
            kind=gate.rules[name].kind,
            passed=None,
            evidence={},
            reason=f"{name} was not judged when it was held",
        )
        for name in sorted(gate.rules.keys() - names)
    ]
    every = (*judged, *others, *new, *against)
    failed = tuple(ruling.reason for ruling in every if ruling.passed is not True)
    if failed:
        return Verdict(decision="hold", reasons=failed, rulings=every)
    return Verdict(decision="promote", reasons=tuple(ruling.reason for ruling in every if ruling.reason), rulings=every)


def _measure(days: Sequence[SplitDay], gate: Gate) -> _Measured | None:
    if not days:
        return None
    ordered = sorted(days, key=lambda day: day.day)
    gains = np.array([-day.difference for day in ordered])
    gain, low, high = mean_of_days(gains, confidence=confidence(gate))
    steps = reach(len(gains), confidence=confidence(gate))
    error = (gain - low) / steps if low is not None and steps else math.nan
    return _Measured(ordered, gain, low, high, error)


def _missing(measured: _Measured, gate: Gate) -> int:
    """Return how many more days like these are needed before anything is judged."""
    days = len(measured.days)
    by_rows = [math.ceil((gate.min_rows - rows) * days / max(rows, 1)) for rows in measured.rows]
    return max(gate.min_days - days, *by_rows, 0)


def _passes(rule: ChampionRule, gain: float, low: float) -> bool:
    if rule.max_loss is not None:
        return low > -rule.max_loss
    return low > 0 and gain >= (rule.min_gain or 0.0)


def _wanted(rule: ChampionRule) -> str:
    if rule.max_loss is not None:
        return f"must lose no more than {rule.max_loss:g}, beyond noise"
    return f"must be above 0 beyond noise and at least {rule.min_gain:g}"


def _resolution(measured: _Measured, gate: Gate) -> float:
    steps = reach(len(measured.days), confidence=confidence(gate)) or 0.0
    return float((steps + stats.t.ppf(POWER, len(measured.days) - 1)) * measured.error)


def _outlook(rule: ChampionRule, measured: _Measured, gate: Gate, label_delay_days: int) -> str:
    """Say how many more days like these would be enough, if any."""
    count = len(measured.days)
    spread = measured.error * math.sqrt(count)
    for more in range(1, FORECAST_DAYS + 1):
        steps = reach(count + more, confidence=confidence(gate))
        if steps is None:
            continue
        if _passes(rule, measured.gain, measured.gain - steps * spread / math.sqrt(count + more)):
            return _when(measured, more, label_delay_days)
    return f"which {FORECAST_DAYS} more days like these would not show"


def _when(measured: _Measured, more: int, label_delay_days: int) -> str:
    first, last = measured.days[0].day, measured.days[-1].day
    pace = ((last - first).days + 1) / len(measured.days)
    by: date = last + timedelta(days=math.ceil(more * pace) + label_delay_days)
    return f"which {more} more day{'' if more == 1 else 's'} like these would give, about {by}"


def _in_words(measured: _Measured, gate: Gate) -> str:
    first, last = measured.days[0], measured.days[-1]
    rows, challenger_rows = measured.rows
    days = len(measured.days)
    interval = (
        "too few days for an interval"
        if measured.low is None
        else f"{interval_name(confidence(gate))}, valid at every look, {measured.low:+.4f} to {measured.high:+.4f}"
    )
    span = f"on {first.day}" if days == 1 else f"on {days} days from {first.day} to {last.day}"
    return (
        f"gain over the champion on requests that chance divided {measured.gain:+.4f} {mean_loss(gate.metric)} "
        f"({interval}), {span}: {rows:,} rows of version {first.champion} and {challenger_rows:,} of version "
        f"{first.challenger}"
    )
