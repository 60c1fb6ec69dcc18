"""How served predictions did once their labels arrived, and whether what the gate saw still holds.

Absolute loss mostly measures how hard the days were. Two figures say more of the model: the gap between
mean prediction and mean outcome, and the skill, by how much its loss is below that of a constant on the
same rows. Decay is when either is beyond its bound by more than noise; ``bench/decay.py`` measures how often
that happens to healthy champions, and to others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from ml.core.gate.comparison import DailyMean
from ml.core.gate.day_resampling import day_intervals
from ml.core.metrics import measure, row_loss
from ml.core.monitoring import daily_means, interval_coverage, served
from ml.core.monitoring.decay import judge
from ml.core.monitoring.estimated_performance import Estimate, estimated_fields
from ml.core.monitoring.label_coverage import ServedDay, absent, coverage, label_findings
from ml.core.monitoring.reference_scatter import scatters
from ml.core.monitoring.served import Evidence, ExpectedPerformance, Serving
from ml.core.predictions import array, constant, gaps
from ml.records import Champion, Finding, Interval, IntervalWidth, LivePerformance, Logged
from ml.settings import Settings

N_RESAMPLES = 400
"""Resamples of the intervals that are shown only; those that decide follow ``gate.bootstrap_rounds``."""


def expected(
    holdout: pd.DataFrame,
    settings: Settings,
    *,
    interval: IntervalWidth | None = None,
    reference: pd.DataFrame | None = None,
) -> ExpectedPerformance:
    """Measure what was kept of the gate's holdout, as `assess` measures what is live.

    Parameters
    ----------
    holdout : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target``, ``challenger`` and, since it is kept, ``base_rate``; not modified. Of a refresh also what
        the ``anchor`` predicted: where that did better, it is what is expected, or slow loss would never show.
    interval
        The prediction intervals of the version; None if it has none.
    reference
        Honest predictions of its reference, see `ml.core.monitoring.reference_scatter`; None if none are kept.
    """
    covers = interval_coverage.expected(holdout, interval, settings)
    holdout = holdout.assign(challenger=_better(holdout, settings))
    metrics = measure(holdout["target"], holdout["challenger"], settings.task.kind, settings.task.quantile)
    if not metrics:
        return ExpectedPerformance({}, coverage=covers)
    apart = gaps(holdout["target"], holdout["challenger"], settings.task.classes, quantile=settings.task.quantile)
    means = {name: float(pd.Series(values).mean()) for name, values in apart.items()}
    gap = means["gap"] if "gap" in means else max(means.values(), key=abs)
    means["gap"] = gap
    if "base_rate" not in holdout:
        return ExpectedPerformance(metrics | means, coverage=covers, scatters=scatters(reference, None, settings))
    base_rate = array(holdout["base_rate"].iloc[:1])[0]
    constants = constant(base_rate, len(holdout))
    skill = daily_means.skill(holdout.rename(columns={"challenger": "prediction"}), constants, settings)
    measured = metrics | means | ({"skill": skill.value} if skill else {})
    return ExpectedPerformance(measured, skill, base_rate, covers, scatters(reference, base_rate, settings))


def _better(holdout: pd.DataFrame, settings: Settings) -> pd.Series:
    if "anchor" not in holdout or holdout["anchor_had_seen"].any():
        return holdout["challenger"]
    losses = [
        row_loss(holdout["target"], holdout[name], settings.gate.metric).mean() for name in ("challenger", "anchor")
    ]
    return holdout["anchor" if losses[1] < losses[0] else "challenger"]


def days_of(day: date, settings: Settings) -> tuple[date, date, date]:
    """Return the label days that count on ``day``: the oldest that is asked after, the first and the last measured.

    Labels older than the oldest are missing for good. The day's own predictions do not count: they may be written at
    this very moment.
    """
    last = day - timedelta(days=max(settings.task.label_delay_days, 1))
    first = last - timedelta(days=settings.land.calendar_days(settings.performance.window_days) - 1)
    return min(first, last - timedelta(days=settings.land.catch_up_days + 1)), first, last


def report_on(
    champion: Champion,
    rows: pd.DataFrame,
    days: Sequence[ServedDay],
    decisions: Sequence[Logged],
    *,
    expected_of: Callable[[int], ExpectedPerformance],
    settings: Settings,
    estimate: Estimate | None = None,
    in_full: bool = True,
) -> LivePerformance:
    """Measure what was served, whoever served it, beside what the gate saw of each version.

    Parameters
    ----------
    rows, days, estimate, in_full
        See `assess`; the days are those from the oldest of `days_of` on.
    expected_of
        Returns what the gate saw of a version.
    """
    version = champion.version
    others = sorted({int(other) for other in rows["version"].unique()} - {version})
    return assess(
        champion.day,
        version,
        rows,
        days,
        expected=ExpectedPerformance({}) if version is None else expected_of(version),
        settings=settings,
        estimate=estimate,
        in_full=in_full,
        others={other: expected_of(other) for other in others},
        serving=served.serving_of(version, champion.day, decisions),
    )


def assess(
    day: date,
    version: int | None,
    rows: pd.DataFrame,
    days: Sequence[ServedDay],
    *,
    expected: ExpectedPerformance,
    settings: Settings,
    estimate: Estimate | None = None,
    in_full: bool = True,
    others: Mapping[int, ExpectedPerformance] | None = None,
    serving: Serving = Serving(),  # noqa: B008  frozen
) -> LivePerformance:
    """Measure how the served predictions did, up to the newest labels that a day knows of.

    The champion's own days are judged. With fewer than ``performance.min_days`` of them, what was served on the
    other days of the window is judged too, by whichever version: see `ml.core.monitoring.served.evidence`.

    Parameters
    ----------
    version
        The champion of ``day``.
    rows : DataFrame of shape (n_rows, n_columns)
        ``day`` (ISO), ``version``, ``target``, ``prediction``: what was served on the labelled days of the
        trailing window, by whichever version; where intervals were served also what
        `ml.core.monitoring.interval_coverage.with_covered` adds. Not modified.
    days
        The days of the window of which the registry holds inputs, in order.
    estimate
        What is expected of the newest day without its labels; None if nobody asked.
    in_full
        Whether every metric is measured, and each of the window's gets an interval. Gap and skill, on which
        decay rests, always are; a replay of years needs no more.
    others
        What the gate saw of the other versions that served days of the window.
    serving
        Since when days are served, and what the champion was trained on.
    """
    last = rows.loc[rows["day"] == rows["day"].max()]
    metrics = measure(last["target"], last["prediction"], settings.task.kind, settings.task.quantile) if in_full else {}
    expected_by_version: dict[int | None, ExpectedPerformance] = {version: expected}
    expected_by_version |= {other: seen for other, seen in (others or {}).items() if other != version}
    chosen, live, (status, reason, decays) = _judged(day, version, rows, expected_by_version, serving, settings)
    expected = chosen.expected
    window = window_metrics(chosen.rows, settings) if in_full else {}
    window |= {name: _interval(mean.value, (mean.low, mean.high)) for name, mean in live.items()}
    covered = interval_coverage.measure(chosen, settings)
    seen = dict(expected.metrics)
    if covered is not None:
        ends = max(covered.live.low, 0.0), min(covered.live.high, 1.0)
        window[interval_coverage.NAME] = _interval(covered.live.value, ends)
        seen[interval_coverage.NAME] = covered.declared
    undercoverage = (covered.finding,) if covered is not None and covered.finding is not None else ()
    expected_by: date | None = None
    overdue: tuple[Finding, ...] = ()
    if status == "unknown" and version is not None:
        expected_by = served.expected_by(serving, answered=chosen.answered, settings=settings)
        overdue = served.overdue(day, expected_by, rows, days, reason, serving, settings)
    return LivePerformance(
        day=day,
        labelled_day=date.fromisoformat(str(last["day"].iloc[0])) if len(last) else None,
        rows=len(last),
        metrics={name: round(value, 6) for name, value in metrics.items()},
        reason=reason + absent(days),
        champion_version=version,
        status=status,
        versions=chosen.versions,
        expected_by=expected_by,
        window_first_day=date.fromisoformat(str(chosen.rows["day"].min())) if len(chosen.rows) else None,
        window_days=int(chosen.rows["day"].nunique()),
        window_rows=len(chosen.rows),
        window=window,
        expected={name: round(value, 6) for name, value in seen.items()},
        label_coverage=coverage(days),
        findings=(*decays, *undercoverage, *overdue, *label_findings(day, days, settings)),
        **estimated_fields(estimate, settings.gate.metric),
    )


def _judged(
    day: date,
    version: int | None,
    rows: pd.DataFrame,
    expected_by_version: Mapping[int | None, ExpectedPerformance],
    serving: Serving,
    settings: Settings,
) -> tuple[Evidence, dict[str, DailyMean], tuple[str, str, tuple[Finding, ...]]]:
    """Judge the strongest evidence that there is of the champion: its own days, new days, then all days.

    Decay of what earlier versions served on days that the champion was trained on says nothing of the champion: its
    performance is unknown then, until enough new days have their labels.
    """
    chosen, answered, measured = served.own(rows, version, expected_by_version), "", False
    for part in served.evidence(rows, version, expected_by_version, serving, settings):
        part_live = _live(part, settings)
        verdict = judge(day, version, part, part_live, settings)
        if part.trained_on and verdict[0] == "decay":
            chosen, measured = served.own(rows, version, expected_by_version, answered=True), False
            answered = f"; {part.who} had decayed, on days that version {version} was trained on since: {verdict[1]}"
            break
        chosen, live, measured = part, part_live, True
    if not measured:
        live = _live(chosen, settings)
        verdict = judge(day, version, chosen, live, settings)
    status, reason, findings = verdict
    return chosen, live, (status, reason + answered, findings)


def _live(chosen: Evidence, settings: Settings) -> dict[str, DailyMean]:
    """Return gap and skill of the rows, where they have an interval.

    Of several classes each has a gap, its interval so wide that all together hold at the level (Bonferroni), and
    ``gap`` is that of the class which is furthest off beyond its interval.
    """
    rows = chosen.rows
    if rows.empty or not np.isfinite(array(rows["prediction"])).all():
        return {}
    apart = gaps(rows["target"], rows["prediction"], settings.task.classes, quantile=settings.task.quantile)
    confidence = settings.performance.confidence
    confidence = confidence if len(apart) == 1 else 1 - (1 - confidence) / len(apart)
    gap_means = {name: daily_means.mean(rows["day"], values, settings, confidence) for name, values in apart.items()}
    measured = {name: mean for name, mean in gap_means.items() if mean is not None}
    if measured and "gap" not in measured:
        measured["gap"] = max(measured.values(), key=lambda mean: max(mean.low, -mean.high))
    base = chosen.base_rates()
    skill = None if base is None else daily_means.skill(rows, base, settings)
    return measured | ({} if skill is None else {"skill": skill})


def window_metrics(own: pd.DataFrame, settings: Settings) -> dict[str, Interval]:
    """Measure predictions beside their outcomes, with intervals by day that have no ends where there is one day.

    Parameters
    ----------
    own : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and ``prediction``; not modified.
    """
    kind, quantile = settings.task.kind, settings.task.quantile
    values = measure(own["target"], own["prediction"], kind, quantile)
    if not values:
        return {}
    ends = day_intervals(
        own,
        kind,
        confidence=settings.performance.confidence,
        seed=settings.fit.seed,
        n_resamples=N_RESAMPLES,
        column="prediction",
        quantile=quantile,
    )
    return {name: _interval(value, ends.get(name)) for name, value in values.items()}


def _interval(value: float, ends: tuple[float, float] | None) -> Interval:
    low, high = (round(end, 6) for end in ends) if ends else (None, None)
    return Interval(value=round(value, 6), low=low, high=high)
