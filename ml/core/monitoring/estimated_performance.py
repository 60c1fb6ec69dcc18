"""How well a model is expected to do on rows whose labels have not arrived, shown only where it beats no estimate.

Confidence-based performance estimation: if a score, once calibrated, is the probability of the outcome, then
each row's expected loss follows from the score alone. CBPE in NannyML, of which the average confidence is the
simplest form (Kivimäki, Białek, Nurminen & Kuberski 2024, arXiv:2407.08649). For a regression the loss itself is
modelled. Neither can see that the relation of inputs and outcome has moved: that is what labels are for.

So an estimate has to prove itself on days whose labels are known: see `ml.core.monitoring.estimate_trial`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ml.core.counting import counted
from ml.core.metrics import label, row_loss
from ml.core.monitoring.estimate_trial import MIN_DAYS, PastError, Trial
from ml.core.predictions import array, gaps
from ml.settings import Settings

NOT_STORED = "no estimate without labels is shown: what the champion predicted out of fold is not kept"


@dataclass(frozen=True)
class Estimate:
    """What is expected of a day without its labels; ``reason`` says how good such estimates were, or why there is none.

    ``metrics`` holds the metrics that beat the constant, and is empty where `ml.settings` ``gate.metric`` is not one of
    these. ``past`` holds the errors of each metric, ``by_day`` the estimated mean loss of past days.
    """

    reason: str
    method: str = ""
    day: date | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    past: Mapping[str, PastError] = field(default_factory=dict)
    by_day: Mapping[str, float] = field(default_factory=dict)


def estimate(
    reference: pd.DataFrame | None, served: pd.DataFrame, newest: pd.DataFrame | None, settings: Settings
) -> Estimate:
    """Estimate the newest day without its labels, if that beat the constant on past days.

    Parameters
    ----------
    reference : DataFrame of shape (n_rows, n_columns)
        ``day`` (ISO), ``prediction``, ``target``: what the champion or its folds predicted of days that they were not
        fitted on; None if it is not kept. Not modified.
    served : DataFrame of shape (n_rows, n_columns)
        The same columns, of labelled days that the champion served; may be empty. Not modified.
    newest : DataFrame of shape (n_rows, n_columns)
        ``day`` and ``prediction`` of the newest day; None for the past errors alone.
    """
    if reference is None or reference.empty:
        return Estimate(NOT_STORED)
    reference = _finite(reference)
    served = _finite(served.loc[served["day"] > reference["day"].max()])
    if newest is not None and len(_finite(newest)) < len(newest):
        newest = None
    trial = Trial.of(reference, served, settings)
    if trial is None:
        return Estimate("no estimate without labels is shown: there are too few labelled days to learn and to test one")
    past, metric = trial.errors(), settings.gate.metric
    reason = _reason(past.get(metric), metric, trial.best)
    if not (proved := trial.proved(past)):
        return Estimate(reason, trial.best, past=past)
    by_day = dict(zip(trial.table["day"], trial.table["mean loss"], strict=True))
    if newest is None or newest.empty:
        return Estimate(reason, trial.best, past=past, by_day=by_day)
    expected = trial.estimated(newest["prediction"])
    shown = {name: value for name, value in expected.items() if name in proved}
    return Estimate(reason, trial.best, date.fromisoformat(str(newest["day"].iloc[0])), shown, past, by_day)


def _finite(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows whose prediction is not a number: nothing can be learnt from them."""
    if rows.empty:
        return rows
    predicted = array(rows["prediction"]).reshape(len(rows), -1)
    finite: pd.DataFrame = rows.loc[np.isfinite(predicted).all(axis=1)]
    return finite


def _reason(past: PastError | None, metric: str, method: str) -> str:
    if past is None or past.days < MIN_DAYS:
        tried = counted(0 if past is None else past.days, "labelled day")
        return f"no estimate without labels is shown: it could be tried on {tried}, and needs {MIN_DAYS}"
    on = f"on {counted(past.days, 'past labelled day')}"
    if past.shown:
        return (
            f"{method}; {on} such estimates of {label(metric)} were wrong by {past.error:.4g} on average, "
            f'"the same as before" by {past.constant_error:.4g}'
        )
    reason = (
        f"on the days that the champion served it was worse by {-past.served_gain:.4g}"
        if past.low > 0 and past.served_gain is not None
        else f"no gain beyond noise: {past.gain:+.2g}, from {past.low:+.2g} to {past.high:+.2g}"
    )
    return (
        f"no estimate without labels is shown: {on} estimates of {label(metric)} were not nearer to what came than "
        f'"the same as before" (wrong by {past.error:.3g} on average, against {past.constant_error:.3g}; {reason})'
    )


def estimated_fields(expected: Estimate | None, metric: str) -> dict[str, Any]:
    """Return what `ml.records.LivePerformance` keeps of an estimate; only the reason where none is shown."""
    if expected is None:
        return {}
    if metric not in expected.metrics:
        return {"estimate_reason": expected.reason}
    value, past = expected.metrics[metric], expected.past[metric]
    return {
        "estimated": round(value, 6),
        "estimated_day": expected.day,
        "estimated_metrics": {name: round(single, 6) for name, single in expected.metrics.items()},
        "estimate_error": round(past.error, 6),
        "estimated_low": round(max(value - past.reach, 0.0), 6),
        "estimated_high": round(value + past.reach, 6),
        "estimate_reason": expected.reason,
    }


def by_day(rows: pd.DataFrame, estimated: Mapping[str, float], settings: Settings) -> pd.DataFrame:
    """Return each day's loss as it came out, and as it was expected without labels.

    Parameters
    ----------
    estimated
        The estimated mean loss by day; see `Estimate`.

    Returns
    -------
    DataFrame of shape (n_days, 5)
        ``day``, ``rows``, ``gap`` (of several classes one for each), ``loss`` in ``gate.metric`` (of ``rmse``: its
        square) and ``estimated`` (null where none is shown), in day order.
    """
    table = pd.DataFrame(
        {
            "day": rows["day"].to_numpy(),
            "rows": 1,
            **gaps(rows["target"], rows["prediction"], settings.task.classes, quantile=settings.task.quantile),
            "loss": row_loss(rows["target"], rows["prediction"], settings.gate.metric),
        }
    )
    means = [name for name in table if name not in ("day", "rows")]
    daily = table.groupby("day", sort=True).agg({"rows": "sum", **dict.fromkeys(means, "mean")}).reset_index()
    return daily.assign(estimated=daily["day"].map(dict(estimated)).astype(float))


def served_by_day(
    rows: pd.DataFrame, version: int | None, estimated: Mapping[str, float], settings: Settings
) -> pd.DataFrame:
    """Return `by_day` of what all versions served; the estimates are those of ``version`` alone."""
    own, other = rows.loc[rows["version"] == version], rows.loc[rows["version"] != version]
    parts = [by_day(own, estimated, settings), by_day(other, {}, settings)]
    parts = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(parts, ignore_index=True).sort_values("day", ignore_index=True)
