"""Whether a refit would gain: the champion's recipe, fitted again in shadow and scored beside it on each labelled day.

Each day is scored by a refit that was fitted before it (prequential; Dawid 1984, doi:10.2307/2981683), as if a refit
had been promoted every ``retrain.shadow_refit.every_days``. The daily differences of the two losses give the gain, with
an interval that holds at every look (`ml.core.monitoring.confidence_sequence`; of paired losses Choe & Ramdas 2024,
"Comparing Sequential Forecasters", Operations Research 72(4)). Their mean over the days is the question, not a constant
gain: it grows while the champion ages.

With ``retrain.cost`` a challenger pays once what refits would have saved since the champion serves has come to more:
the cumulative threshold of cost-aware retraining (Mahadevan & Mathioudakis 2024, Knowledge-Based Systems 293), which is
the optimum where the loss grows steadily. What is expected counts, as in Regol et al. 2025 (PMLR 267): what refreshes
of the recipe gained in its past, updated by what the shadow shows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from ml.core.champions import tenures
from ml.core.gate.expected_loss import LONGEST, TOLERATED, Normal, wider
from ml.core.metrics import mean_loss, row_loss
from ml.core.monitoring.confidence_sequence import mean_of_days, neighbours
from ml.records import Logged, RefitComparison, RefitDay
from ml.settings import Settings

MOST_DAYS = 56
"""So many of the newest labelled days count; a champion that serves longer was asked about before."""


@dataclass(frozen=True)
class UsualGain:
    """What a refresh of the recipe gained in its past after ``apart_days`` of newer data."""

    belief: Normal
    apart_days: int


def matters(settings: Settings) -> bool:
    """Return whether refits are made in shadow: they are, and something asks for challengers."""
    policy = settings.retrain
    by_finding = policy.on_drift or policy.on_decay or policy.on_gain
    asks = by_finding or policy.on_past_gain or policy.max_age_days is not None
    return policy.shadow_refit.every_days is not None and asks


def refitted_on(day: date, settings: Settings) -> date:
    """Return the day on which the refit was due that scores ``day``: from the day after it on, until the next one.

    The same days whoever is champion, so that a refit is made once.
    """
    every = settings.retrain.shadow_refit.every_days or 1
    eve = day - timedelta(days=1)
    return eve - timedelta(days=eve.toordinal() % every)


def days_to_score(
    version: int, day: date, served: Collection[date], decisions: Sequence[Logged]
) -> tuple[tuple[date, ...], date]:
    """Return the labelled days that are compared on ``day``, in order, and the last day of the champion's window.

    Parameters
    ----------
    served
        The labelled days that the version served.
    """
    tenure = tenures.tenure_on(version, day, tenures.champion_tenures(decisions))
    first = max(tenure.effective_day, tenure.window_last_day + timedelta(days=1))
    return tuple(sorted(other for other in served if first <= other < day))[-MOST_DAYS:], tenure.window_last_day


def scored_day(day: date, rows: pd.DataFrame, refit_last_day: date, settings: Settings) -> RefitDay | None:
    """Return how much lower the mean loss of a refit is than the champion's on the rows of a day.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``target``, and the predictions of both before any shift, ``champion`` and ``refit``.

    Returns
    -------
    RefitDay or None
        None without rows, or if a row has no finite loss.
    """
    losses = [row_loss(rows["target"], rows[name], settings.gate.metric) for name in ("champion", "refit")]
    gain = float(np.mean(losses[0] - losses[1])) if len(rows) else math.nan
    if not math.isfinite(gain):
        return None
    return RefitDay(day=day, gain=gain, rows=len(rows), refit_last_day=refit_last_day)


def compare(version: int | None, days: Sequence[RefitDay], settings: Settings, *, reason: str = "") -> RefitComparison:
    """Return by how much refits in shadow did better on some days; ``reason`` says why there are none.

    A day counts by its rows, as in the metric over all rows.
    """
    if not days:
        return RefitComparison(
            champion_version=version, reason=reason or "no refit in shadow has scored a labelled day"
        )
    gain, low, high = mean_of_days(_by_rows(days), confidence=settings.retrain.shadow_refit.confidence)
    comparison = RefitComparison(champion_version=version, days=tuple(days), gain=gain, low=low, high=high, reason="")
    return comparison.model_copy(update={"reason": f"refits in shadow gained {in_words(comparison, settings)}"})


def in_words(comparison: RefitComparison, settings: Settings) -> str:
    """Return the figures of a comparison as people read them."""
    count = len(comparison.days)
    over = f"over {count} labelled day{'s' if count != 1 else ''}"
    words = f"{comparison.gain:+.4f} {mean_loss(settings.gate.metric)}"
    if comparison.low is None:
        return f"{words} {over}, too few for an interval"
    return f"{words} [{comparison.low:+.4f}, {comparison.high:+.4f}] {over}"


def since(comparison: RefitComparison, onset: date | None, settings: Settings) -> RefitComparison:
    """Return the comparison on the days whose refits had seen data from ``onset`` on; all of it if None.

    What was fitted before the data moved cannot show what is gained by learning from them.
    """
    if onset is None:
        return comparison
    days = [day for day in comparison.days if day.refit_last_day >= onset]
    return compare(comparison.champion_version, days, settings)


def worthwhile(settings: Settings) -> float:
    """Return the least gain that counts, by the gate's rules of kind champion: 0 without one.

    Their ``min_gain``, or the loss that is not worth a hold, whichever is more.
    """
    rules: Collection[Any] = settings.gate.rules.values()
    declared = [float(getattr(rule, "min_gain", None) or 0.0) for rule in rules]
    declared += [TOLERATED * float(getattr(rule, "refresh_max_loss", None) or 0.0) for rule in rules]
    return max(declared, default=0.0)


def gains(comparison: RefitComparison | None, settings: Settings) -> bool:
    """Return whether refits did better, beyond noise at every look, and by what counts."""
    if comparison is None or comparison.gain is None or comparison.low is None:
        return False
    return comparison.low > 0 and comparison.gain >= worthwhile(settings)


def gains_nothing(comparison: RefitComparison, settings: Settings) -> bool:
    """Return whether enough days say that refits would not have gained what counts; too few never do."""
    if comparison.gain is None or len(comparison.days) < settings.retrain.shadow_refit.min_days:
        return False
    return comparison.high is not None and comparison.high < worthwhile(settings)


def usual_gain(decisions: Sequence[Logged]) -> UsualGain | None:
    """Return what the newest promotion knew of the past of its recipe; None if it was no refresh."""
    newest = next((entry for entry in reversed(decisions) if entry.kind == "promotion"), None)
    for ruling in tenures.rulings(newest, "champion") if newest is not None else ():
        evidence = ruling.get("evidence") or {}
        if evidence.get("usual_gain") is not None:
            belief = Normal(float(evidence["usual_gain"]), float(evidence["usual_sd"]))
            return UsualGain(belief, int(evidence["usual_days"]))
    return None


def expected_gain(usual: UsualGain, new_days: int) -> float:
    """Return what a refresh is believed to gain with so many newer days: in proportion, as far as the past shows."""
    return usual.belief.mean * min(new_days / usual.apart_days, LONGEST)


def saved(comparison: RefitComparison, usual: UsualGain | None, window_last_day: date) -> float:
    """Return what refits are believed to have saved on the compared days: a sum of losses over their rows.

    By the past of the recipe in proportion to the days of newer data, updated by the days themselves (normal prior and
    evidence); by the days alone where the past is not known.
    """
    rows = np.array([day.rows for day in comparison.days], dtype=float)
    if comparison.gain is None or not len(rows):
        return 0.0
    if usual is None:
        return float(comparison.gain * rows.sum())
    newer = np.array([(day.refit_last_day - window_last_day).days for day in comparison.days], dtype=float)
    times = np.clip(newer / usual.apart_days, 0, LONGEST)
    mean_times = float((times * rows).sum() / rows.sum())
    values = np.asarray(_by_rows(comparison.days))
    belief = usual.belief
    if len(values) > 1 and mean_times > 0:
        error = float(values.std(ddof=1)) / math.sqrt(len(values)) * neighbours(values) * wider(len(values) - 1)
        belief = _updated(belief, comparison.gain / mean_times, error / mean_times)
    return float(belief.mean * (times * rows).sum())


def _updated(belief: Normal, gain: float, error: float) -> Normal:
    total = belief.sd**2 + error**2
    if total == 0:
        return belief
    share = belief.sd**2 / total
    return Normal(belief.mean + share * (gain - belief.mean), math.sqrt(share) * error)


def _by_rows(days: Sequence[RefitDay]) -> list[float]:
    mean_rows = sum(day.rows for day in days) / len(days)
    return [day.gain * day.rows / mean_rows for day in days]
