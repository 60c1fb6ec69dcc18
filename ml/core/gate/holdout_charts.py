"""Build what the page's charts draw of a judged holdout: a compact record that does not grow with its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ml.core import metrics
from ml.core.gate import holdout_curves as curves
from ml.core.gate import slices
from ml.core.gate.comparison import new_to_both, paired_gain
from ml.core.gate.rule import Compared
from ml.core.metric import against_the_rest
from ml.core.predictions import array
from ml.records import Verdict
from ml.settings import Settings

SHAPE = 1
MODELS = ("challenger", "champion")
MOST_CLASSES = 10
MOST_SLICES = 40
LEAST_ROWS, LEAST_DAYS = 50, 2
"""Slices that no rule of the gate names are shown from so many rows and days on."""

TIPS_AT = "tips_at"
"""Stands for a setting where what refreshes gained before has its part in the decision."""
MARGINS = ("refresh_max_loss", "max_loss", "min_gain")
Facts = dict[str, Any]


def charts(
    scored: pd.DataFrame, rows: pd.DataFrame, settings: Settings, verdict: Verdict, *, compared: Compared = "model"
) -> Facts:
    """Build the record of a holdout that a challenger and, if one served, the champion have scored.

    Parameters
    ----------
    scored : DataFrame of shape (n_rows, n_columns)
        What `ml.core.gate.gate_evidence.scored_holdout` and `with_champion` returned. Not modified.
    rows : DataFrame of shape (n_rows, n_columns)
        The rows themselves, in the same order, to cut slices by.
    verdict
        What the gate said of them, for the margin that the comparison had to keep.
    compared
        Who stands for the champion, see `ml.core.gate.rule.Evidence`.

    Returns
    -------
    dict
        ``shape``, ``kind``, ``metric``, ``metric_label``, ``rows``, ``days``, ``confidence``, ``compared``,
        ``threshold``; ``sides``: of a classification one entry, of several classes one for each of the ten most
        frequent (``name``, ``positives``, ``thresholds``; by model ``calibration``, ``scores``, ``decisions`` and,
        unless there is one outcome only, ``roc`` and ``precision_recall``); ``residuals`` by model, of a regression;
        ``differences``; ``by_day`` with the loss of each model and the ``difference`` (champion minus challenger,
        None on days that the champion had seen); ``paired``, the gate's own comparison with its ``margin``;
        ``slices``.
    """
    gate, kind = settings.gate, settings.task.kind
    models = [name for name in MODELS if name in scored]
    return {
        "shape": SHAPE,
        "kind": kind,
        "metric": gate.metric,
        "metric_label": metrics.label(gate.metric),
        "loss_label": metrics.mean_loss(gate.metric),
        "rows": len(scored),
        "days": int(scored["day"].nunique()),
        "confidence": gate.confidence,
        "compared": compared,
        "threshold": settings.task.threshold if kind == "classification" else None,
        "sides": list(_sides(scored, models, settings)) if kind != "regression" else [],
        "residuals": _residuals(scored, models, settings) if kind == "regression" else {},
        "differences": _differences(scored) if kind != "multiclass" else None,
        "by_day": _by_day(scored, settings),
        "paired": _paired(scored, settings, verdict),
        "slices": _slices(scored, rows, settings),
    }


def _sides(scored: pd.DataFrame, models: list[str], settings: Settings) -> Iterator[Facts]:
    target, task, gate = scored["target"].to_numpy(dtype=float), settings.task, settings.gate
    predicted = {name: array(scored[name]) for name in models}
    if task.kind == "classification":
        parts = [("", target, predicted)]
    else:
        by_model = {name: list(against_the_rest(target, values)) for name, values in predicted.items()}
        frequent = np.argsort(-np.bincount(target.astype(int), minlength=len(task.classes)), kind="stable")
        parts = [
            (str(task.classes[at]), by_model["challenger"][at][0], {name: by_model[name][at][1] for name in models})
            for at in sorted(frequent[:MOST_CLASSES].tolist())
        ]
    for name, outcome, scores in parts:
        at = curves.thresholds(*scores.values())
        yield {
            "name": name,
            "positives": int(outcome.sum()),
            "thresholds": curves.rounded(at),
            "models": {
                model: {
                    "calibration": curves.calibration(
                        scored["day"], outcome, score, confidence=gate.confidence, seed=settings.fit.seed
                    ),
                    "scores": curves.score_counts(outcome, score),
                    "decisions": curves.decisions(outcome, score, at),
                    **(curves.ranking(outcome, score) or {}),
                }
                for model, score in scores.items()
            },
        }


def _residuals(scored: pd.DataFrame, models: list[str], settings: Settings) -> Facts:
    target = scored["target"].to_numpy(dtype=float)
    return {name: curves.residuals(target, array(scored[name]), seed=settings.fit.seed) for name in models}


def _differences(scored: pd.DataFrame) -> Facts | None:
    if "champion" not in scored:
        return None
    return curves.differences(array(scored["challenger"]), array(scored["champion"]))


def _by_day(scored: pd.DataFrame, settings: Settings) -> Facts:
    """Return the mean row loss of each day, model by model, and the paired difference of the days new to both."""
    metric = settings.gate.metric
    losses = {
        name: metrics.by_day(scored["day"], scored["target"], scored[name], metric)
        for name in (*MODELS, "base_rate")
        if name in scored
    }
    challenger = losses["challenger"]
    facts: Facts = {"day": challenger["day"].astype(str).tolist(), "rows": challenger["rows"].tolist()}
    facts["loss"] = {name: curves.rounded(table["loss"]) for name, table in losses.items()}
    facts["difference"] = None
    if "champion" in losses:
        new = set(new_to_both(scored)["day"].astype(str))
        gain = losses["champion"]["loss"] - challenger["loss"]
        facts["difference"] = curves.rounded(gain.where(challenger["day"].astype(str).isin(new)))
    return facts


def _paired(scored: pd.DataFrame, settings: Settings, verdict: Verdict) -> Facts | None:
    """Return the comparison as the gate made it: the same rows, resamples and seed."""
    if "champion" not in scored:
        return None
    gate = settings.gate
    measured = paired_gain(
        new_to_both(scored),
        metric=gate.metric,
        confidence=gate.confidence,
        n_resamples=gate.bootstrap_rounds,
        seed=settings.fit.seed,
    )
    if measured is None:
        return None
    facts = {name: getattr(measured, name) for name in ("gain", "low", "high", "days", "rows", "resolution")}
    return facts | {"margin": _margin(verdict)}


def _margin(verdict: Verdict) -> Facts | None:
    """Return the setting that the comparison was judged by, and the least gain that passes (below 0: a loss).

    Of a refresh that its past decides on it is the gain on these days that would have tipped the decision.
    """
    for ruling in verdict.rulings:
        tips_at = ruling.evidence.get("tips_at")
        if ruling.kind == "champion" and ruling.evidence.get("posterior_gain") is not None and tips_at is not None:
            return {"rule": ruling.rule, "setting": TIPS_AT, "gain": tips_at}
        for name in MARGINS if ruling.kind == "champion" else ():
            value = ruling.evidence.get(name)
            if value is not None:
                return {"rule": ruling.rule, "setting": name, "gain": value if name == "min_gain" else -value}
    return None


def _slices(scored: pd.DataFrame, rows: pd.DataFrame, settings: Settings) -> list[Facts]:
    """Measure the slices that the gate's rules name, or else those of the categorical features; the largest of them."""
    measured: dict[str, slices.Slice] = {}
    for by, least in _cuts(settings):
        new = new_to_both(scored)
        judged = new if len(new) else scored.drop(columns="champion", errors="ignore")
        try:
            parts_of_cut = slices.gains(
                judged,
                rows.loc[judged.index],
                by,
                kind=settings.task.kind,
                metric=settings.gate.metric,
                confidence=settings.gate.confidence,
                quantile=settings.task.quantile,
                **least,
            )
        except KeyError:  # the column is not there any more: the gate says so
            continue
        for part in parts_of_cut:
            if part.name not in measured or measured[part.name].gain is None:
                measured[part.name] = part
    largest = sorted(measured.values(), key=lambda part: -part.rows)[:MOST_SLICES]
    return [_slice(part, settings.gate.metric) for part in largest]


def _cuts(settings: Settings) -> Iterator[tuple[tuple[str, ...], Mapping[str, int]]]:
    cuts = [cut for rule in settings.gate.rules.values() if (cut := rule.cut()) is not None]
    for cut in cuts:
        yield tuple(cut.by), {"min_rows": cut.min_rows, "min_days": cut.min_days}
    if not cuts:
        yield tuple(settings.features.categorical), {"min_rows": LEAST_ROWS, "min_days": LEAST_DAYS}


def _slice(part: slices.Slice, metric: str) -> Facts:
    gain = {name: None if part.gain is None else getattr(part.gain, name) for name in ("gain", "low", "high")}
    return {"name": part.name, "rows": part.rows, "value": part.metrics.get(metric), **gain}
