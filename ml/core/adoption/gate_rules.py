"""Set the rules of the gate from what validation and the holdout show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ml.conditions import column_term
from ml.core.adoption.holdouts import Holdout, worth_seeing
from ml.core.adoption.recipes import Validated
from ml.core.adoption.rounding import digits, percent, round_down, round_up
from ml.core.adoption.spread import Spread
from ml.core.gate.expected_loss import TOLERATED

STRONG, USUAL_BOUND, USUAL_MOST, BY_CHANCE = 0.6, 0.8, 0.99, 4.0
SLICE_ROWS, SLICE_DAYS, MOST_SLICES = 60, 5, 12


def gate_rows(rows_per_day: float, holdout_days: int) -> int:
    """Return ``gate.min_rows``: half of what a week usually holds, at least 20, and never more than half a holdout."""
    usual = max(20.0, 0.5 * rows_per_day * min(7, holdout_days))
    return max(1, int(min(usual, 0.5 * rows_per_day * holdout_days)))


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
        bound = round_down(floor + (least - floor) / 2, 2)
        reason = f"half of the way from nothing to {least:.3f}, the least that validation saw"
        rules["discrimination" if classify else "explains"] = (
            {"kind": "bound", "metric": metric, "at_least": bound},
            reason,
        )
    rules["base rate"] = ({"kind": "base_rate"}, "better than the mean of the days before")
    margin, reason = _margin(best, holdout, learns=learns)
    rules["champion"] = (
        {"kind": "champion", "min_gain": digits(0.002 * best.loss), "refresh_max_loss": digits(margin)},
        (
            f"in mean {'log loss' if classify else 'squared error'}, {best.loss:.4g} now: 0.2 % better; newer data "
            f"{reason}"
        ),
    )
    if slices:
        rules["slices"] = (
            {"kind": "slices", "by": list(slices), "max_loss": digits(2 * margin), "min_rows": slice_rows},
            f"those with slices of at least {slice_rows} rows in {holdout.days} days",
        )
    if classify:
        error, gap = spread.most("calibration_error"), abs(spread.worst("calibration_gap"))
        rules["calibration"] = (
            {
                "kind": "calibration",
                "max_error": round_up(max(2 * error, 0.05), 2),
                "max_gap": round_up(max(2 * gap, 3 * spread.daily_gap / np.sqrt(holdout.days), 0.03), 2),
            },
            f"twice the worst of validation: error {error:.3f}, gap {gap:.3f}",
        )
    rules["leakage"] = _leakage(best, spread, strongest, by_chance=auc_by_chance(best, holdout.days))
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
    if learns and (most := worth_seeing(best)) > 0:
        margin = min(margin, most)
    return (
        margin,
        f"may lose {percent(TOLERATED * margin / best.loss)} each time, and {percent(margin / best.loss)} in all",
    )


def auc_by_chance(best: Validated, days: int) -> float:
    """Return the AUC that a feature without any worth hardly reaches on the holdout of so many days with fewest rows.

    Four standard errors of the rank sum above 0.5 (Mann and Whitney, 1947), since many features are looked at; 0 of a
    regression, whose R² on new days is no larger by chance.
    """
    if best.kind == "regression":
        return 0.0
    rows = best.rows.groupby(["day", "truth"]).size().unstack(fill_value=0)  # noqa: PD010  a table of counts
    counts = rows.rolling(min(days, len(rows))).sum().dropna().to_numpy()
    of_class = np.maximum(counts, 1.0)
    rest = np.maximum(counts.sum(axis=1, keepdims=True) - counts, 1.0)
    errors = np.sqrt((of_class + rest + 1) / (12 * of_class * rest))
    return min(float(0.5 + BY_CHANCE * errors.max(axis=1).max()), USUAL_MOST)


def _leakage(
    best: Validated, spread: Spread, strongest: tuple[str, float], *, by_chance: float
) -> tuple[dict[str, object], str]:
    name, strength = strongest
    rule: dict[str, object] = {"kind": "leakage"}
    places = 4 if strength > USUAL_MOST else 2
    bound = round_up(_towards_one(strength), places) if strength > STRONG else USUAL_BOUND
    is_chance = by_chance > bound
    bound = max(bound, round_up(by_chance, 2))
    rule["max_single_feature"] = bound if strength > USUAL_MOST else min(bound, USUAL_MOST)
    score, believed = (spread.most("r2"), 0.995) if best.kind == "regression" else (spread.most("roc_auc"), 0.98)
    pair = max(float(rule["max_single_feature"]), _towards_one(score))  # type: ignore[arg-type]
    rule["max_feature_pair"] = (
        round_up(pair, 4) if max(score, strength) > USUAL_MOST else min(round_up(pair, 2), USUAL_MOST)
    )
    if _towards_one(score) > believed:
        rule["max_first_score"] = round_up(_towards_one(score), 4)
    measure = "R²" if best.kind == "regression" else "AUC"
    beside = "three quarters of the way from there to 1" if strength > STRONG else "far below the bound"
    if is_chance:
        return rule, f"on so few rows a feature that says nothing has {measure} up to {by_chance:.2f} in some holdout"
    if strength <= 0:
        return rule, "what a single feature explains could not be measured in any holdout"
    return rule, f"the strongest feature, {name}, has {measure} {strength:.2f} alone in some holdout: {beside}"


def _towards_one(value: float) -> float:
    """Return three quarters of the way to 1: other seasons show more of an honest feature than those that were seen."""
    return value + 0.75 * (1 - value)


def slice_columns(
    table: pd.DataFrame, columns: Sequence[str], *, days: int, rows_per_day: float
) -> tuple[list[str], int]:
    """Return the terms of columns whose values are slices with enough rows in a holdout, and how many rows that is.

    A column that no term can name, since backticks are in its name, cuts no slices.
    """
    least = int(max(SLICE_ROWS, min(300, 0.05 * days * rows_per_day)))
    newest = sorted(table["day"].unique())[-days:]
    rows = table.loc[table["day"].isin(newest)]
    chosen = []
    for column in columns:
        counts = rows[column].value_counts()
        by_day = rows.groupby(column, observed=True)["day"].nunique()
        large = [value for value in counts.index if counts[value] >= 1.5 * least and by_day[value] >= SLICE_DAYS]
        term = column_term(column)
        if 2 <= len(large) <= MOST_SLICES and term is not None:
            chosen.append(term)
    return chosen[:4], least
