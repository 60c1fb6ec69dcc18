"""Set the limits of gate and monitoring from what validation and the data's own past show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from ml.core import metrics
from ml.core.adoption.amounts import amount
from ml.core.adoption.recipes import Validated
from ml.core.adoption.times import Grain
from ml.core.gate.expected_loss import LEAST_REFRESHES, TOLERATED
from ml.core.monitoring.drift import FEWEST_ROWS
from ml.core.predictions import array

CONFIDENCE, POWER = 0.95, 0.8
HOLDOUTS = (7, 14, 21, 28)
VISIBLE_SHARE = 0.1
"""The holdout shall show a model that loses a tenth of the skill over the base rate, and refreshes may lose no more."""

MOST_HOLDOUT_SHARE, ALIKE = 0.2, 1.15
LEAST_OF_CLASS, LEAST_ROWS = 50, 150
LEAST_TRAINED_DAYS = 21
DRIFT_ROWS, MOST_DRIFT_WEEKS = 45, 13
STRONG, USUAL_BOUND, USUAL_MOST = 0.6, 0.8, 0.99
SLICE_ROWS, SLICE_DAYS, MOST_SLICES = 60, 5, 12


@dataclass(frozen=True)
class Holdout:
    """How many days are held out, and the smallest difference of the mean loss that they show."""

    days: int
    detectable: float
    reason: str


def choose_holdout(best: Validated, results: Sequence[Validated], grain: Grain, *, days: int) -> Holdout:
    """Return the shortest holdout that can see a tenth of the skill, at most a fifth of all days.

    The noise is that of the daily difference between the best recipe and others that are about as good, as a
    champion and its challenger are; a day is the unit that is resampled. One-sided at 95 %, with a power of 80 %.
    Of those that are too short to see it, the longest that leaves the recipe a past to learn from what refreshes gain.

    Parameters
    ----------
    days
        How many labelled days the first model will have.
    """
    scatter = _daily_scatter(best, results)
    skill = max(best.base_loss - best.loss, 0.0)
    needed = (norm.ppf(CONFIDENCE) + norm.ppf(POWER)) * scatter
    possible = [held for held in HOLDOUTS if held <= max(MOST_HOLDOUT_SHARE * days, HOLDOUTS[0])]
    enough = [held for held in possible if _enough_rows(best, held)] or possible[-1:]
    limit = _worth_seeing(best)
    seeing = [held for held in enough if needed / np.sqrt(held) <= limit]
    learning = [held for held in enough if past_refreshes(days, held) >= LEAST_REFRESHES]
    held = seeing[0] if seeing else (learning or enough)[-1]
    detectable = float(needed / np.sqrt(held))
    return Holdout(held, detectable, _shown_by(best, held, detectable, skill, grain))


def _worth_seeing(best: Validated) -> float:
    """Return how much more loss matters: a tenth of the skill over the base rate, at most a fifth of the loss."""
    return min(VISIBLE_SHARE * max(best.base_loss - best.loss, 0.0), 2 * VISIBLE_SHARE * best.loss)


def _shown_by(best: Validated, days: int, detectable: float, skill: float, grain: Grain) -> str:
    """Say which difference a holdout shows, in the unit of the metric that people read."""
    rows = f"{amount(days, 'day')} of about {amount(grain.rows_per_day, 'row')}"
    if best.kind == "regression":
        shown = f"a rise of the RMSE from {best.score:.4g} to {np.sqrt(best.loss + detectable):.4g}"
    else:
        shown = f"a rise of the log loss from {best.loss:.4g} to {best.loss + detectable:.4g}"
    share = detectable / skill if skill > 0 else 0.0
    lost = f" ({'less than 1%' if share < 0.01 else f'{share:.0%}'} of what the model gains over the base rate)"
    return f"{rows} show {shown}{lost if skill > 0 else ''} four times in five"


def past_refreshes(days: int, holdout_days: int) -> int:
    """Return how many refreshes of its own past a recipe of so many labelled days can look back on.

    They lie half a holdout apart, each compares fits that are a holdout's length apart; see
    `ml.steps.retrain.past_refreshes`.
    """
    stride = max(2, holdout_days // 2)
    first = least_days(holdout_days)  # those of the first fit, and the holdout's length that is newer
    return max(0, (days - holdout_days - first - stride) // stride + 1)


def least_days(holdout_days: int) -> int:
    """Return with how many labelled days a first model is fitted."""
    return max(holdout_days + LEAST_TRAINED_DAYS, 35)


def gate_rows(rows_per_day: float, holdout_days: int) -> int:
    """Return ``gate.min_rows``: half of what a week usually holds, at least 20, and never more than half a holdout."""
    usual = max(20.0, 0.5 * rows_per_day * min(7, holdout_days))
    return max(1, int(min(usual, 0.5 * rows_per_day * holdout_days)))


def drift_window(rows_per_day: float) -> tuple[int, str]:
    """Return ``drift.window_days``: whole weeks that hold more rows than the fewest that drift is measured on.

    A window of fewer rows than `ml.core.monitoring.drift.FEWEST_ROWS` is never measured.
    """
    weeks = min(max(1, int(np.ceil(DRIFT_ROWS / rows_per_day / 7))), MOST_DRIFT_WEEKS)
    rows = 7 * weeks * rows_per_day
    if rows < FEWEST_ROWS:
        return 7 * weeks, f"about {amount(round(rows), 'row')}, too few: drift of the inputs will not be measured"
    return 7 * weeks, f"about {amount(round(rows), 'row')}; drift is not measured on fewer than {FEWEST_ROWS}"


def _daily_scatter(best: Validated, results: Sequence[Validated]) -> float:
    """Return how much the mean loss of a day differs between models that are about as good as the best.

    Where none is, beside the one that comes next.
    """
    others = sorted((r for r in results if r is not best), key=lambda result: result.loss)
    alike = [r for r in others if r.loss <= ALIKE * best.loss] or others[:1]
    losses = [result.losses() for result in alike] or [best.losses("base")]
    by_day = best.rows["day"].to_numpy()
    return max(float(pd.Series(best.losses() - other).groupby(by_day).mean().std(ddof=1)) for other in losses)


def _enough_rows(best: Validated, days: int) -> bool:
    per_day = len(best.rows) / best.rows["day"].nunique()
    if best.kind == "regression":
        return per_day * days >= LEAST_ROWS
    share = float(best.rows["truth"].value_counts(normalize=True).min())
    return per_day * days * share >= LEAST_OF_CLASS or (best.kind == "multiclass" and per_day * days >= LEAST_ROWS)


@dataclass(frozen=True)
class Spread:
    """What the best recipe did in each fold of validation, measured as the gate measures."""

    folds: tuple[Mapping[str, float], ...]
    daily_gap: float

    def worst(self, name: str) -> float:
        """Return the value of a fold that is furthest from 0."""
        return max((fold[name] for fold in self.folds if name in fold), key=abs, default=0.0)

    def least(self, name: str) -> float:
        """Return the smallest value of a fold."""
        return min((fold[name] for fold in self.folds if name in fold), default=0.0)

    def most(self, name: str) -> float:
        """Return the largest value of a fold."""
        return max((fold[name] for fold in self.folds if name in fold), default=0.0)


def spread_of(best: Validated) -> Spread:
    """Measure the folds of a recipe; ``daily_gap`` is the scatter of a day's mean error."""
    folds = []
    for _, rows in best.rows.groupby("fold"):
        folds.append(metrics.measure(rows["truth"], rows["predicted"], best.kind))
    errors = _errors(best).groupby(best.rows["day"].to_numpy()).mean()
    return Spread(tuple(folds), float(errors.std(ddof=1)))


def _errors(best: Validated) -> pd.Series:
    """Return prediction minus truth, of several classes for the commonest one."""
    truth, predicted = best.rows["truth"], array(best.rows["predicted"])
    if predicted.ndim == 1:
        return pd.Series(predicted - truth.to_numpy(dtype=float), index=truth.index)
    commonest = int(truth.mode().iloc[0])
    happened = (truth == commonest).to_numpy(dtype=float)
    return pd.Series(predicted[:, commonest] - happened, index=truth.index)


def gate_rules(
    best: Validated,
    spread: Spread,
    holdout: Holdout,
    *,
    strongest: tuple[str, float],
    slices: Sequence[str],
    slice_rows: int,
    learns: bool,
) -> dict[str, tuple[dict[str, object], str]]:
    """Return the gate's rules by name, each with its reason.

    Parameters
    ----------
    learns
        Whether the first model has a past from which the gate knows what refreshes gain.
    """
    classify = best.kind != "regression"
    rules: dict[str, tuple[dict[str, object], str]] = {}
    metric, least = ("roc_auc", spread.least("roc_auc")) if classify else ("r2", spread.least("r2"))
    floor = 0.5 if classify else 0.0
    if least > floor + 0.02:
        bound = _down(floor + (least - floor) / 2, 2)
        reason = f"half of the way from nothing to {least:.3f}, the least that validation saw"
        rules["discrimination" if classify else "explains"] = (
            {"kind": "bound", "metric": metric, "at_least": bound},
            reason,
        )
    rules["base rate"] = ({"kind": "base_rate"}, "better than the mean of the days before")
    margin, reason = _margin(best, holdout, learns=learns)
    rules["champion"] = (
        {"kind": "champion", "min_gain": _digits(0.002 * best.loss), "refresh_max_loss": _digits(margin)},
        (
            f"in mean {'log loss' if classify else 'squared error'}, {best.loss:.4g} now: 0.2 % better; newer data "
            f"{reason}"
        ),
    )
    if slices:
        rules["slices"] = (
            {"kind": "slices", "by": list(slices), "max_loss": _digits(2 * margin), "min_rows": slice_rows},
            f"those with slices of at least {slice_rows} rows in {holdout.days} days",
        )
    if classify:
        error, gap = spread.most("calibration_error"), abs(spread.worst("calibration_gap"))
        rules["calibration"] = (
            {
                "kind": "calibration",
                "max_error": _up(max(2 * error, 0.05), 2),
                "max_gap": _up(max(2 * gap, 3 * spread.daily_gap / np.sqrt(holdout.days), 0.03), 2),
            },
            f"twice the worst of validation: error {error:.3f}, gap {gap:.3f}",
        )
    rules["leakage"] = _leakage(best, spread, strongest)
    rules["package"] = ({"kind": "package"}, "works in a fresh process, fast and small enough")
    return rules


def _margin(best: Validated, holdout: Holdout, *, learns: bool) -> tuple[float, str]:
    """Return ``refresh_max_loss``, and what it means.

    A refresh is held if it is expected to lose more than a fifth of it, and all together may lose it once
    (`ml.core.gate.expected_loss`, `ml.core.gate.anchor`): it needs to be worth little beside the skill, and no holdout
    has to show it. Where the gate has no past to learn from, a refresh must be not worse beyond noise: a margin that
    no holdout shows would hold each one.
    """
    margin = max(0.02 * best.loss, holdout.detectable)
    if learns and (most := _worth_seeing(best)) > 0:
        margin = min(margin, most)
    return (
        margin,
        f"may lose {_percent(TOLERATED * margin / best.loss)} each time, and {_percent(margin / best.loss)} in all",
    )


def _leakage(best: Validated, spread: Spread, strongest: tuple[str, float]) -> tuple[dict[str, object], str]:
    name, strength = strongest
    rule: dict[str, object] = {"kind": "leakage"}
    places = 4 if strength > USUAL_MOST else 2
    bound = _up(_towards_one(strength), places) if strength > STRONG else USUAL_BOUND
    rule["max_single_feature"] = bound if strength > USUAL_MOST else min(bound, USUAL_MOST)
    score, believed = (spread.most("r2"), 0.995) if best.kind == "regression" else (spread.most("roc_auc"), 0.98)
    pair = max(float(rule["max_single_feature"]), _towards_one(score))  # type: ignore[arg-type]
    rule["max_feature_pair"] = _up(pair, 4) if max(score, strength) > USUAL_MOST else min(_up(pair, 2), USUAL_MOST)
    if _towards_one(score) > believed:
        rule["max_first_score"] = _up(_towards_one(score), 4)
    measure = "R²" if best.kind == "regression" else "AUC"
    beside = "three quarters of the way from there to 1" if strength > STRONG else "far below the bound"
    return rule, f"the strongest feature, {name}, has {measure} {strength:.2f} alone in some holdout: {beside}"


def _towards_one(value: float) -> float:
    """Return three quarters of the way to 1: other seasons show more of an honest feature than those that were seen."""
    return value + 0.75 * (1 - value)


def slice_columns(
    table: pd.DataFrame, columns: Sequence[str], *, days: int, rows_per_day: float
) -> tuple[list[str], int]:
    """Return the columns whose values are slices with enough rows in a holdout, and how many rows that is."""
    least = int(max(SLICE_ROWS, min(300, 0.05 * days * rows_per_day)))
    newest = sorted(table["day"].unique())[-days:]
    rows = table.loc[table["day"].isin(newest)]
    chosen = []
    for column in columns:
        counts = rows[column].value_counts()
        by_day = rows.groupby(column, observed=True)["day"].nunique()
        large = [value for value in counts.index if counts[value] >= 1.5 * least and by_day[value] >= SLICE_DAYS]
        if 2 <= len(large) <= MOST_SLICES:
            chosen.append(column)
    return chosen[:4], least


def performance_limits(best: Validated, spread: Spread, holdout: Holdout) -> dict[str, tuple[object, str]]:
    """Return the section ``performance`` with reasons."""
    bias = "calibration_gap" if best.kind != "regression" else "bias"
    gap = max(2 * abs(spread.worst(bias)), 3 * spread.daily_gap / np.sqrt(holdout.days))
    skill = max(best.base_score - best.score, 0.0)
    lost = max(min(0.3 * skill, 0.5 * best.score), 0.01 * best.base_score)
    return {
        "window_days": (max(holdout.days, 14), "as many as the holdout has, at least a fortnight"),
        "min_days": (min(7, holdout.days), ""),
        "max_gap": (_digits(gap, up=True), f"twice the worst mean error of validation ({spread.worst(bias):+.3g})"),
        "max_lost_skill": (
            _digits(lost),
            f"{lost / skill:.0%} of the {skill:.3g} gained over the base rate" if skill else "",
        ),
    }


def row_count_ratio(days: pd.Series, *, recent: int = 28) -> tuple[tuple[float, float], str]:
    """Return how far a day's number of rows may lie from the median of the same weekday, from how far it did."""
    counts = days.value_counts().sort_index()
    counts.index = pd.to_datetime(counts.index)
    ratios = []
    for _, of_weekday in counts.groupby(counts.index.dayofweek):
        before = of_weekday.rolling(f"{recent}D", closed="left").median()
        ratios.append((of_weekday / before).dropna())
    seen = pd.concat(ratios) if ratios else pd.Series(dtype=float)
    if len(seen) < 14:
        return (0.5, 2.0), "too few days to tell: the usual bounds"
    low, high = float(seen.quantile(0.005)), float(seen.quantile(0.995))
    bounds = (max(0.05, min(0.8, _down(0.75 * low, 2))), max(1.25, _up(1.33 * high, 2)))
    return bounds, f"days had {low:.2f} to {high:.2f} times the median of their weekday"


def decision_threshold(best: Validated) -> tuple[float, str]:
    """Return the score from which on as many rows are decided to be positive as are."""
    share = float(best.rows["truth"].mean())
    value = float(np.quantile(best.rows["predicted"], 1 - share))
    return min(max(round(value, 2), 0.01), 0.99), f"as many rows lie above it as are positive ({share:.0%})"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _digits(value: float, *, up: bool = False) -> float:
    """Round to two digits that count; ``up`` never below the value."""
    if value <= 0:
        return 0.0
    places = 1 - int(np.floor(np.log10(value)))
    rounded = _up(value, places) if up else round(value, places)
    return float(rounded)


def _up(value: float, places: int) -> float:
    return round(float(np.ceil(round(value * 10**places, 9)) / 10**places), max(places, 0))


def _down(value: float, places: int) -> float:
    return round(float(np.floor(round(value * 10**places, 9)) / 10**places), max(places, 0))
