"""Build what the gate weighs, out of a holdout that challenger and champion have scored.

Retraining and the backtest both call these functions, each with rows that it has read its own way.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from ml.core import metrics, predictions
from ml.core.gate import leakage, slices, unusual
from ml.core.gate.comparison import PairedGain, new_to_both, paired_gain
from ml.core.gate.leakage import Leakage
from ml.core.gate.rule import Compared, Evidence
from ml.core.gate.slices import Slice
from ml.core.training.features import feature_columns
from ml.core.training.lineage import same_recipe
from ml.records import PackageCheck, PastRefresh, RefreshHistory
from ml.settings import Gate, Settings

logger = logging.getLogger(__name__)
SCORERS = ("challenger", "base_rate", "champion")
Metrics = Mapping[str, float]


def scored_holdout(
    train: pd.DataFrame, holdout: pd.DataFrame, challenger: np.ndarray, settings: Settings
) -> pd.DataFrame:
    """Return day and target of the holdout beside what the challenger and the base rate of ``train`` predict.

    Parameters
    ----------
    challenger : array of shape (n_holdout,) or (n_holdout, n_classes)
        The predictions of the model that was fitted on ``train``.
    """
    target = settings.task.target
    base_rate = predictions.base_rate(train[target].to_numpy(), settings.task)
    return pd.DataFrame(
        {
            "day": holdout["day"],
            "target": holdout[target].astype(float),
            "challenger": predictions.column(challenger),
            "base_rate": predictions.column(predictions.constant(base_rate, len(holdout))),
        }
    )


def with_champion(scored: pd.DataFrame, champion: np.ndarray, *, trained_until: str) -> pd.DataFrame:
    """Add what the champion predicts, and whether it was fitted on that day; ``trained_until`` is an ISO day."""
    return scored.assign(champion=predictions.column(champion), champion_had_seen=scored["day"] <= trained_until)


def with_anchor(scored: pd.DataFrame, anchor: np.ndarray, *, trained_until: str) -> pd.DataFrame:
    """Add what the anchor predicts: the last version that won by superiority, where that is not the champion."""
    return scored.assign(anchor=predictions.column(anchor), anchor_had_seen=scored["day"] <= trained_until)


def who_compares(days: pd.Series, trained_until: Mapping[Compared, date], gate: Gate) -> Compared:
    """Choose who stands for the champion: the first that leaves as many days and rows to compare on as the gate asks.

    Chosen by days alone, before anybody has scored them. Where none leaves enough, the champion itself.

    Parameters
    ----------
    days : Series of length n_rows
        The ISO day of each row of the holdout.
    trained_until
        Who can stand for it, the nearest to it first, and the last day that each was fitted on.
    """
    for who, last_day in trained_until.items():
        new = days[days > last_day.isoformat()]
        if new.nunique() >= gate.min_days and len(new) >= gate.min_rows:
            return who
    return "model"


def measure(scored: pd.DataFrame, settings: Settings) -> dict[str, dict[str, float]]:
    """Measure on the holdout whoever has scored it: `SCORERS`, without a champion only the first two."""
    kind, quantile = settings.task.kind, settings.task.quantile
    return {name: metrics.measure(scored["target"], scored[name], kind, quantile) for name in SCORERS if name in scored}


def is_refresh(champion: Settings, champion_last_day: date, challenger: Settings, last_day: date) -> bool:
    """Return whether a challenger is the champion's recipe on newer data; the days are the last of their windows."""
    return last_day > champion_last_day and same_recipe(champion, challenger)


def wants_past(settings: Settings) -> bool:
    """Return whether the gate decides on a refresh by what refreshes gained before."""
    rules = settings.gate.rules.values()
    return settings.gate.refresh == "expected_loss" and any(getattr(rule, "refresh_max_loss", None) for rule in rules)


def refresh_history(
    refreshes: Sequence[PastRefresh],
    settings: Settings,
    *,
    compared_last_day: date,
    champion_last_day: date,
    train_last_day: date,
    last_day: date,
    anchor_last_day: date | None = None,
) -> RefreshHistory:
    """Build what the gate knows of refreshes.

    Parameters
    ----------
    compared_last_day, champion_last_day
        The last days that the compared model and the serving one were fitted on; the same where it is compared itself.
    train_last_day, last_day
        The last day that the challenger was fitted on, and the last of its window, on which a refit is fitted too.
    anchor_last_day
        The last day that the anchor was fitted on; None where none is compared with.
    """
    refit_days = (last_day - train_last_day).days if settings.retrain.refit == "after_gate" else 0
    return RefreshHistory(
        refreshes=tuple(refreshes),
        apart_days=settings.split.holdout_days,
        judged_days=(train_last_day - compared_last_day).days,
        unjudged_days=refit_days - (champion_last_day - compared_last_day).days,
        anchor_days=None if anchor_last_day is None else (train_last_day - anchor_last_day).days,
    )


def leaks(train: pd.DataFrame, holdout: pd.DataFrame, settings: Settings, *, label_columns: Collection[str]) -> Leakage:
    """Compute what each feature alone explains, and what train and holdout share.

    Parameters
    ----------
    label_columns
        All columns that the labels of the window have.
    """
    task = settings.task
    return leakage.look(
        train,
        holdout,
        feature_columns(settings.features),
        target=task.target,
        key=task.key,
        kind=task.kind,
        classes=len(task.classes),
        label_columns=[name for name in label_columns if name not in task.key],
    )


def past_skills(
    measured: Mapping[str, Metrics],
    when_judged: Metrics,
    settings: Settings,
    promoted: Sequence[tuple[float, float]] = (),
) -> list[tuple[Metrics, Metrics]]:
    """Return how well the champion does here, and did when it was judged, and those before it, beside the base rate.

    Parameters
    ----------
    measured
        What `measure` returned.
    when_judged
        The champion's own metrics on its holdout, with ``base_rate_<metric>`` among them; empty if they are not kept.
    promoted
        As `ml.core.champions.promoted_losses.beside_base_rate` returns them: a champion that came to serve by broken
        data must not make its successor look too good.
    """
    metric, past = settings.gate.metric, []
    if "champion" in measured:
        past.append((measured["champion"], measured["base_rate"]))
    if f"base_rate_{metric}" in when_judged:
        past.append((when_judged, {metric: when_judged[f"base_rate_{metric}"]}))
    return past + [({metric: value}, {metric: base}) for value, base in promoted]


def collect(
    scored: pd.DataFrame,
    holdout: pd.DataFrame,
    measured: Mapping[str, Metrics],
    settings: Settings,
    *,
    against_champion: bool,
    refresh: bool,
    leakage: Leakage | None,
    when_judged: Metrics,
    promoted: Sequence[tuple[float, float]] = (),
    blocked: bool,
    compared: Compared = "model",
    refreshes: RefreshHistory | None = None,
    anchor_version: int | None = None,
    anchor_problem: str | None = None,
    champion_problem: str | None = None,
    champion_asked: bool = True,
    package: PackageCheck | None = None,
) -> Evidence:
    """Build the evidence of one holdout.

    Parameters
    ----------
    scored, holdout : DataFrame of shape (n_rows, n_columns)
        What `scored_holdout` and `with_champion` returned, and the rows themselves, to cut slices by. Not modified.
    refresh
        What `is_refresh` returned.
    refreshes
        What `refresh_history` returned; None where a refresh is not decided on by its past.
    when_judged, promoted
        See `past_skills`.
    compared, anchor_version, anchor_problem, champion_problem, champion_asked
        See `Evidence`.
    """
    return Evidence(
        challenger=measured["challenger"],
        champion=measured.get("champion", {}),
        refreshes=refreshes,
        base_rate=measured["base_rate"],
        holdout_days=int(scored["day"].nunique()),
        holdout_rows=len(scored),
        against_champion=against_champion,
        is_refresh=refresh,
        compared=compared,
        comparison=_comparison(scored, settings),
        anchor_version=anchor_version,
        anchor=_comparison_with_anchor(scored, settings),
        anchor_problem=anchor_problem,
        champion_problem=champion_problem,
        champion_asked=champion_asked,
        moved=unusual.moved(scored, settings.task.kind),
        slices=_slices(scored, holdout, settings),
        leakage=leakage,
        package=package,
        past=past_skills(measured, when_judged, settings, promoted),
        holdout=scored,
        blocked=blocked,
        classes=tuple(map(str, settings.task.classes)),
    )


def _comparison(scored: pd.DataFrame, settings: Settings) -> PairedGain | None:
    if "champion" not in scored:
        return None
    return paired_gain(
        new_to_both(scored),
        metric=settings.gate.metric,
        confidence=settings.gate.confidence,
        n_resamples=settings.gate.bootstrap_rounds,
        seed=settings.fit.seed,
    )


def _comparison_with_anchor(scored: pd.DataFrame, settings: Settings) -> PairedGain | None:
    if "anchor" not in scored:
        return None
    return paired_gain(
        scored.loc[~scored["anchor_had_seen"].astype(bool)],
        metric=settings.gate.metric,
        confidence=settings.gate.confidence,
        n_resamples=settings.gate.bootstrap_rounds,
        seed=settings.fit.seed,
        champion="anchor",
    )


def _slices(scored: pd.DataFrame, holdout: pd.DataFrame, settings: Settings) -> dict[str, tuple[Slice, ...] | None]:
    """Cut the holdout for every rule that asks for it; None where a column is not there."""
    cuts: dict[str, tuple[Slice, ...] | None] = {}
    for name, rule in settings.gate.rules.items():
        cut = rule.cut()
        if cut is None:
            continue
        part = new_to_both(scored) if cut.new_to_both else scored.drop(columns="champion", errors="ignore")
        try:
            cuts[name] = slices.gains(
                part,
                holdout.loc[part.index],
                cut.by,
                kind=settings.task.kind,
                metric=settings.gate.metric,
                confidence=settings.gate.confidence,
                min_rows=cut.min_rows,
                min_days=cut.min_days,
                quantile=settings.task.quantile,
            )
        except KeyError as err:
            logger.warning("gate: %s: %s", name, err)
            cuts[name] = None
    return cuts
