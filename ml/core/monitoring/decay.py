"""Whether live performance has decayed: bias and skill against what the gate saw, by more than noise.

Noise is the wider of two: what the days themselves show, and what the version's reference does of a whole year's looks
(`ml.core.monitoring.reference_scatter`). What is beyond the first alone is a warning: it alarms nobody, and may ask for
a challenger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Literal

import numpy as np
from scipy import stats

from ml.core.counting import counted
from ml.core.gate.comparison import DailyMean
from ml.core.metrics import mean_loss
from ml.core.monitoring.served import Evidence
from ml.records import Finding
from ml.settings import Settings

Severity = Literal["alarm", "warning"]
BY_CHANCE = "in its reference some window of a year lies as far off by chance"


def judge(
    day: date, version: int | None, chosen: Evidence, live: Mapping[str, DailyMean], settings: Settings
) -> tuple[str, str, tuple[Finding, ...]]:
    """Compare what is live with what the gate saw; too few days, or nothing to compare with, is unknown."""
    days, least = int(chosen.rows["day"].nunique()), settings.performance.min_days
    if version is None:
        return "unknown", f"no champion serves {day}", ()
    if days < least:
        reason = f"version {version} has {counted(days, 'labelled day')} of the {least} that a live figure needs"
        return "unknown", reason, ()
    if "gap" not in live:
        return "unknown", f"some prediction of {chosen.who} is not a number: nothing can be measured", ()
    where = f"on {counted(days, 'labelled day')} and {len(chosen.rows)} rows up to {chosen.rows['day'].max()}"
    findings = tuple(
        finding
        for finding in (
            _gap_finding(chosen, live, where, settings),
            _skill_finding(chosen, live.get("skill"), where, settings),
        )
        if finding is not None
    )
    if any(finding.severity == "alarm" for finding in findings):
        return "decay", "; ".join(finding.message for finding in findings), findings
    gap, expected = live["gap"], chosen.expected.skill
    reason = f"{chosen.who}: {_bias_in_words(live, settings)} {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
    if "skill" not in live or expected is None:
        return (
            "unknown",
            f"{reason} {where}; what the gate saw of it is not kept, so its skill cannot be judged",
            findings,
        )
    reason += f", {mean_loss(settings.gate.metric)} {live['skill'].value:+.4f} below the base rate's (the gate saw "
    return "fine", f"{reason}{expected.value:+.4f}) {where}", findings


def _bias_in_words(live: Mapping[str, DailyMean], settings: Settings) -> str:
    """Return what the figure called gap is, by the kind of target."""
    if settings.task.quantile is not None:
        return "share of outcomes at or below the prediction minus the quantile"
    of_class = _of_class(live)
    return f"mean probability{of_class} minus how often it came" if of_class else "mean prediction minus mean outcome"


def _of_class(live: Mapping[str, DailyMean]) -> str:
    """Return of which class the gap is that is judged, such as " of late"; empty where there are no classes."""
    return next((name.removeprefix("gap") for name, mean in live.items() if name != "gap" and mean is live["gap"]), "")


def _gap_finding(chosen: Evidence, live: Mapping[str, DailyMean], where: str, settings: Settings) -> Finding | None:
    most, by_days, gap = settings.performance.max_gap, live["gap"], _widened(chosen, live, settings)
    if not (by_days.low > most or by_days.high < -most):
        return None
    severity: Severity = "alarm" if gap.low > most or gap.high < -most else "warning"
    gap = gap if severity == "alarm" else by_days
    predicted = chosen.verb("predicts", "predict") + _of_class(live).removeprefix(" of")
    if settings.task.quantile is not None:
        return _quantile_finding(chosen, gap, where, settings.task.quantile, most, severity)
    message = (
        f"{chosen.who} {predicted} {abs(gap.value):.3f} too {'high' if gap.value > 0 else 'low'} on average "
        f"[{gap.low:+.3f}, {gap.high:+.3f}] {where}, performance.max_gap is {most:g}: retrain, or look for what "
        "changed in the outcome"
    )
    return _finding(severity, message, gap.value, most)


def _finding(severity: Severity, message: str, value: float, most: float) -> Finding:
    if severity == "warning":
        message += f" ({BY_CHANCE})"
    return Finding(kind="decay", severity=severity, message=message, score=round(value, 6), limit=most, matters=True)


def _widened(chosen: Evidence, live: Mapping[str, DailyMean], settings: Settings) -> DailyMean:
    """Return the gap that is judged, its interval at least as wide as the reference asks for."""
    gap = live["gap"]
    scatter, declared = chosen.expected.scatters.get(f"gap{_of_class(live)}"), settings.performance
    if scatter is None:
        return gap
    reach = scatter.reach(gap.days, confidence=declared.confidence, window_days=declared.window_days)
    return replace(gap, low=min(gap.low, gap.value - reach), high=max(gap.high, gap.value + reach))


def _quantile_finding(
    chosen: Evidence, gap: DailyMean, where: str, quantile: float, most: float, severity: Severity
) -> Finding:
    message = (
        f"{quantile + gap.value:.1%} of the outcomes are at or below what {chosen.who} "
        f"{chosen.verb('predicts', 'predict')} {where}, task.quantile is {quantile:g} "
        f"[{gap.low:+.3f}, {gap.high:+.3f}], performance.max_gap is {most:g}: retrain, or look for what changed in the "
        "outcome"
    )
    return _finding(severity, message, gap.value, most)


def _skill_finding(chosen: Evidence, live: DailyMean | None, where: str, settings: Settings) -> Finding | None:
    """Compare two means of different days: Welch's t, with the lower of both degrees of freedom.

    That is the conservative choice for unequal variances (Welch 1947, doi:10.1093/biomet/34.1-2.28).
    """
    expected = chosen.expected.skill
    if live is None or expected is None:
        return None
    most = settings.performance.max_lost_skill
    lost, error = expected.value - live.value, float(np.hypot(expected.standard_error, live.standard_error))
    reach = (
        float(
            stats.t.isf(
                (1 - settings.performance.confidence) / 2, min(expected.degrees_of_freedom, live.degrees_of_freedom)
            )
        )
        * error
    )
    if lost - reach <= most:
        return None
    scatter = chosen.expected.scatters.get("skill")
    severity: Severity = "alarm"
    if scatter is not None:
        window = settings.performance.window_days
        usual = scatter.reach(live.days, expected.days, confidence=settings.performance.confidence, window_days=window)
        severity = "alarm" if lost - usual > most else "warning"
        reach = max(reach, usual) if severity == "alarm" else reach
    message = (
        f"{chosen.whose} {mean_loss(settings.gate.metric)} is {live.value:.4f} below the base rate's {where}; "
        f"the gate saw {expected.value:.4f}: {lost:.4f} [{lost - reach:.4f}, {lost + reach:.4f}] of it is lost, "
        f"performance.max_lost_skill is {most:g}: retrain, or look for what changed in the inputs"
    )
    return _finding(severity, message, lost, most)
