"""How served predictions did once their labels arrived, and whether what the gate saw still holds.

Absolute loss mostly measures how hard the days were. Two figures say more of the model: the gap between
mean prediction and mean outcome, and the skill, by how much its loss is below that of a constant on the
same rows. Decay is when either is beyond its bound by more than noise; ``bench/decay.py`` measures how often
that happens to healthy champions, and to others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd
from scipy import stats

from ml.core import served
from ml.core.card import day_intervals
from ml.core.comparison import DailyMean, mean_by_day
from ml.core.coverage import ServedDay, absent, coverage, label_findings
from ml.core.estimate import Calibration, by_day
from ml.core.metrics import mean_loss, measure, row_loss
from ml.core.served import Evidence, Promise, Serving
from ml.records import Finding, Interval, LivePerformance
from ml.settings import Settings

ROUNDS = 400
"""Resamples of the intervals that are shown only; those that decide follow ``gate.bootstrap_rounds``."""


def promise(holdout: pd.DataFrame, settings: Settings) -> Promise:
    """Measure what was kept of the gate's holdout, as `assess` measures what is live.

    Parameters
    ----------
    holdout : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target``, ``challenger`` and, since it is kept, ``base_rate``; not modified.
    """
    found = measure(holdout["target"], holdout["challenger"], settings.task.kind)
    if not found:
        return Promise({})
    gap = float((holdout["challenger"] - holdout["target"]).mean())
    if "base_rate" not in holdout:
        return Promise(found | {"gap": gap})
    base_rate = float(holdout["base_rate"].iloc[0])
    skill = _skill(holdout.rename(columns={"challenger": "prediction"}), base_rate, settings)
    return Promise(found | {"gap": gap} | ({"skill": skill.value} if skill else {}), skill, base_rate)


def assess(
    day: date,
    version: int | None,
    rows: pd.DataFrame,
    days: Sequence[ServedDay],
    *,
    promised: Promise,
    settings: Settings,
    calibration: Calibration | None = None,
    newest: pd.DataFrame | None = None,
    in_full: bool = True,
    others: Mapping[int, Promise] | None = None,
    serving: Serving = Serving(),  # noqa: B008  frozen
) -> LivePerformance:
    """Measure how the served predictions did, up to the newest labels that a day knows of.

    The champion's own days are judged. With fewer than ``performance.min_days`` of them, what was served on the
    other days of the window is judged too, by whichever version: see `ml.core.served.evidence`.

    Parameters
    ----------
    version
        The champion of ``day``.
    rows : DataFrame of shape (n_rows, 4)
        ``day`` (ISO), ``version``, ``target``, ``prediction``: what was served on the labelled days of the
        trailing window, by whichever version; not modified.
    days
        The days of the window of which the registry holds inputs, in order.
    calibration
        What turns scores into an estimate without labels; None for no estimate.
    newest : DataFrame of shape (n_rows, n_columns)
        ``day`` and ``prediction`` as served on the newest day whose predictions may be read.
    in_full
        Whether every metric is measured, and each of the window's gets an interval. Gap and skill, on which
        decay rests, always are; a replay of years needs no more.
    others
        What the gate saw of the other versions that served days of the window.
    serving
        Since when days are served, and what the champion was trained on.
    """
    own = rows.loc[rows["version"] == version] if version is not None else rows.iloc[:0]
    last = rows.loc[rows["day"] == rows["day"].max()]
    metrics = measure(last["target"], last["prediction"], settings.task.kind) if in_full else {}
    promises: dict[int | None, Promise] = {version: promised}
    promises |= {other: seen for other, seen in (others or {}).items() if other != version}
    chosen, live, (status, reason, decays) = _judged(day, version, rows, promises, serving, settings)
    promised = chosen.promised
    window = _window(chosen.rows, settings) if in_full else {}
    window |= {name: _interval(mean.value, (mean.low, mean.high)) for name, mean in live.items()}
    expected_by: date | None = None
    overdue: tuple[Finding, ...] = ()
    if status == "unknown" and version is not None:
        expected_by = served.expected_by(serving, answered=chosen.answered, settings=settings)
        overdue = served.overdue(day, expected_by, rows, days, reason, serving, settings)
    estimates = _estimates(own, newest, calibration, settings)
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
        promised={name: round(value, 6) for name, value in promised.metrics.items()},
        label_coverage=coverage(days),
        findings=(*decays, *overdue, *label_findings(day, days, settings)),
        **estimates,
    )


def _judged(
    day: date,
    version: int | None,
    rows: pd.DataFrame,
    promises: Mapping[int | None, Promise],
    serving: Serving,
    settings: Settings,
) -> tuple[Evidence, dict[str, DailyMean], tuple[str, str, tuple[Finding, ...]]]:
    """Judge the strongest evidence that there is of the champion: its own days, new days, then all days.

    Decay of what earlier versions served on days that the champion was trained on says nothing of the champion: its
    performance is unknown then, until enough new days have their labels.
    """
    chosen, answered = served.own(rows, version, promises), ""
    for part in served.evidence(rows, version, promises, serving, settings):
        verdict = _judge(day, version, part, _live(part, settings), settings)
        if part.trained_on and verdict[0] == "decay":
            chosen = served.own(rows, version, promises, answered=True)
            answered = f"; {part.who} had decayed, on days that version {version} was trained on since: {verdict[1]}"
            break
        chosen = part
    live = _live(chosen, settings)
    status, reason, found = _judge(day, version, chosen, live, settings)
    return chosen, live, (status, reason + answered, found)


def _live(chosen: Evidence, settings: Settings) -> dict[str, DailyMean]:
    """Give gap and skill of the rows, where they have an interval."""
    rows = chosen.rows
    if rows.empty or not np.isfinite(rows["prediction"]).all():
        return {}
    gap = (rows["prediction"] - rows["target"]).to_numpy(dtype=float)
    base = chosen.base_rates()
    found = {
        "gap": _mean(rows["day"], gap, settings),
        "skill": None if base is None else _skill(rows, base, settings),
    }
    return {name: mean for name, mean in found.items() if mean is not None}


def _skill(rows: pd.DataFrame, base_rate: float | np.ndarray, settings: Settings) -> DailyMean | None:
    """Give by how much the mean loss is below that of the constant, on the same rows."""
    metric = settings.gate.metric
    constant = np.full(len(rows), base_rate)
    gained = row_loss(rows["target"], constant, metric) - row_loss(rows["target"], rows["prediction"], metric)
    return _mean(rows["day"], gained, settings) if np.isfinite(gained).all() else None


def _mean(days: pd.Series, values: np.ndarray, settings: Settings) -> DailyMean | None:
    return mean_by_day(
        days,
        values,
        confidence=settings.performance.confidence,
        rounds=settings.gate.bootstrap_rounds,
        seed=settings.fit.seed,
    )


def _window(own: pd.DataFrame, settings: Settings) -> dict[str, Interval]:
    kind = settings.task.kind
    values = measure(own["target"], own["prediction"], kind)
    if not values:
        return {}
    ends = day_intervals(
        own,
        kind,
        confidence=settings.performance.confidence,
        seed=settings.fit.seed,
        rounds=ROUNDS,
        column="prediction",
    )
    return {name: _interval(value, ends.get(name)) for name, value in values.items()}


def _interval(value: float, ends: tuple[float, float] | None) -> Interval:
    low, high = (round(end, 6) for end in ends) if ends else (None, None)
    return Interval(value=round(value, 6), low=low, high=high)


def _judge(
    day: date, version: int | None, chosen: Evidence, live: Mapping[str, DailyMean], settings: Settings
) -> tuple[str, str, tuple[Finding, ...]]:
    """Compare what is live with what the gate saw; too few days, or nothing to compare with, is unknown."""
    days, least = int(chosen.rows["day"].nunique()), settings.performance.min_days
    if version is None:
        return "unknown", f"no champion serves {day}", ()
    if days < least:
        return "unknown", f"version {version} has {days} labelled days, performance.min_days is {least}", ()
    if "gap" not in live:
        return "unknown", f"some prediction of {chosen.who} is no number: nothing can be measured", ()
    where = f"on {days} labelled days and {len(chosen.rows)} rows up to {chosen.rows['day'].max()}"
    found = tuple(
        finding
        for finding in (
            _gap_finding(chosen, live["gap"], where, settings),
            _skill_finding(chosen, live.get("skill"), where, settings),
        )
        if finding is not None
    )
    if found:
        return "decay", "; ".join(finding.said for finding in found), found
    gap, expected = live["gap"], chosen.promised.skill
    said = f"{chosen.who}: gap {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
    if "skill" not in live or expected is None:
        return "unknown", f"{said} {where}; what the gate saw of it is not kept, so its skill cannot be judged", ()
    said += f", {mean_loss(settings.gate.metric)} {live['skill'].value:+.4f} below the base rate's (the gate saw "
    return "fine", f"{said}{expected.value:+.4f}) {where}", ()


def _gap_finding(chosen: Evidence, gap: DailyMean, where: str, settings: Settings) -> Finding | None:
    most = settings.performance.max_gap
    if not (gap.low > most or gap.high < -most):
        return None
    said = (
        f"{chosen.who} {chosen.verb('predicts', 'predict')} {abs(gap.value):.3f} too "
        f"{'high' if gap.value > 0 else 'low'} on average "
        f"[{gap.low:+.3f}, {gap.high:+.3f}] {where}, performance.max_gap is {most:g}: retrain, or look for what "
        "changed in the outcome"
    )
    return Finding(kind="decay", severity="alarm", said=said, score=round(gap.value, 6), limit=most, matters=True)


def _skill_finding(chosen: Evidence, live: DailyMean | None, where: str, settings: Settings) -> Finding | None:
    """Compare two means of different days: Welch's t, with the lower of both degrees of freedom.

    That is the conservative choice for unequal variances (Welch 1947, doi:10.1093/biomet/34.1-2.28).
    """
    promised = chosen.promised.skill
    if live is None or promised is None:
        return None
    most = settings.performance.max_lost_skill
    lost, error = promised.value - live.value, float(np.hypot(promised.error, live.error))
    reach = float(stats.t.isf((1 - settings.performance.confidence) / 2, min(promised.freedom, live.freedom))) * error
    if lost - reach <= most:
        return None
    said = (
        f"{chosen.whose} {mean_loss(settings.gate.metric)} is {live.value:.4f} below the base rate's {where}; "
        f"the gate saw {promised.value:.4f}: {lost:.4f} [{lost - reach:.4f}, {lost + reach:.4f}] of it is lost, "
        f"performance.max_lost_skill is {most:g}: retrain, or look for what changed in the inputs"
    )
    return Finding(kind="decay", severity="alarm", said=said, score=round(lost, 6), limit=most, matters=True)


def _estimates(
    own: pd.DataFrame, newest: pd.DataFrame | None, calibration: Calibration | None, settings: Settings
) -> dict[str, object]:
    """Estimate the newest day without its labels, and say how wrong such estimates were on the labelled ones."""
    if calibration is None or newest is None or newest.empty:
        return {}
    expected = calibration.expected(newest["prediction"])
    known = by_day(own, calibration, settings)
    error = float((known["estimated"] - known["loss"]).abs().mean()) if len(known) else None
    return {
        "estimated": round(expected[settings.gate.metric], 6),
        "estimated_day": date.fromisoformat(str(newest["day"].iloc[0])),
        "estimated_metrics": {name: round(value, 6) for name, value in expected.items()},
        "estimate_error": None if error is None else round(error, 6),
    }
