"""Choose the holdout: how many days, what they show, and how many past refreshes they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from ml.core.adoption.amounts import amount
from ml.core.adoption.grain import Grain
from ml.core.adoption.recipes import Validated
from ml.core.adoption.rounding import shown_apart
from ml.core.gate.expected_loss import LEAST_REFRESHES

CONFIDENCE, POWER = 0.95, 0.8
HOLDOUTS, LONGER = (7, 14, 21, 28), (42, 56, 70, 91, 126)
"""Longer ones are taken only where four weeks hold too few rows to measure what the gate asks."""
VISIBLE_SHARE = 0.1
"""The holdout shall show a model that loses a tenth of the skill over the base rate, and refreshes may lose no more."""

MOST_HOLDOUT_SHARE, ALIKE = 0.2, 1.15
LEAST_OF_CLASS, LEAST_ROWS = 50, 150
LEAST_TRAINED_DAYS = 21
LEAST_MEASURED = 60
"""So many rows of a regression, of the commonest of several classes or of the rarer of two can be measured."""

MOST_HISTORY_DAYS, SPARSE, FEW_ROWS, YEARS = 365, 0.5, 5, 3


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
    enough = [held for held in possible if _enough_rows(best, held)] or _longer(best, days) or possible[-1:]
    limit = worth_seeing(best)
    seeing = [held for held in enough if needed / np.sqrt(held) <= limit]
    learning = [held for held in enough if past_refreshes(days, held) >= LEAST_REFRESHES]
    held = seeing[0] if seeing else (learning or enough)[-1]
    detectable = float(needed / np.sqrt(held))
    return Holdout(held, detectable, _shown_by(best, held, detectable, skill, grain))


def worth_seeing(best: Validated) -> float:
    """Return how much more loss matters: a tenth of the skill over the base rate, at most a fifth of the loss."""
    return min(VISIBLE_SHARE * max(best.base_loss - best.loss, 0.0), 2 * VISIBLE_SHARE * best.loss)


def _shown_by(best: Validated, days: int, detectable: float, skill: float, grain: Grain) -> str:
    """Say which difference a holdout shows, in the unit of the metric that people read."""
    rows = f"{amount(days, 'day')} of about {amount(grain.rows_per_day, 'row')}"
    if best.kind == "regression":
        metric, now, then = "RMSE", best.score, float(np.sqrt(best.loss + detectable))
    else:
        metric, now, then = "log loss", best.loss, best.loss + detectable
    texts = shown_apart(now, then)
    shown = (
        f"any rise of the {metric} from {now:.4g}"
        if texts is None
        else (f"a rise of the {metric} from {texts[0]} to {texts[1]}")
    )
    share = detectable / skill if skill > 0 else 0.0
    part = "less than 1% of what" if share < 0.01 else f"{share:.0%} of what" if share <= 1 else "more than all that"
    lost = f" ({part} the model gains over the base rate)"
    return f"{rows} show {shown}{lost if skill > 0 else ''} four times in five"


def past_refreshes(days: int, holdout_days: int) -> int:
    """Return how many refreshes of its own past a recipe of so many labelled days can look back on.

    They lie half a holdout apart, each compares fits that are a holdout's length apart; see
    `ml.steps.retrain.past_refreshes`.
    """
    stride = max(2, holdout_days // 2)
    first = least_days(holdout_days)  # those of the first fit, and the holdout's length that is newer
    return max(0, (days - holdout_days - first - stride) // stride + 1)


def history_days(available: int, grain: Grain) -> int:
    """Return how many calendar days of history are landed: a year of them, more where these hold few rows.

    Of data that come once a week or a month, a year holds too few days for a first model; of a row or two a day, three
    years teach more and land as quickly as a year of many rows.
    """
    if grain.share_of_days < SPARSE:
        return min(available, round(MOST_HISTORY_DAYS / grain.share_of_days))
    return min(available, MOST_HISTORY_DAYS * (YEARS if grain.rows_per_day < FEW_ROWS else 1))


def least_days(holdout_days: int) -> int:
    """Return with how many labelled days a first model is fitted."""
    return max(holdout_days + LEAST_TRAINED_DAYS, 35)


def _daily_scatter(best: Validated, results: Sequence[Validated]) -> float:
    """Return how much the mean loss of a day differs between models that are about as good as the best.

    Where none is, beside the one that comes next.
    """
    others = sorted((r for r in results if r is not best), key=lambda result: result.loss)
    alike = [r for r in others if r.loss <= ALIKE * best.loss] or others[:1]
    losses = [result.losses() for result in alike] or [best.losses("base")]
    by_day = best.rows["day"].to_numpy()
    return max(float(pd.Series(best.losses() - other).groupby(by_day).mean().std(ddof=1)) for other in losses)


def _rows_a_day(best: Validated) -> float:
    return len(best.rows) / float(best.rows["day"].nunique())


def _enough_rows(best: Validated, days: int) -> bool:
    per_day = _rows_a_day(best)
    if best.kind == "regression":
        return per_day * days >= LEAST_ROWS
    share = float(best.rows["truth"].value_counts(normalize=True).min())
    return per_day * days * share >= LEAST_OF_CLASS or (best.kind == "multiclass" and per_day * days >= LEAST_ROWS)


def _longer(best: Validated, days: int) -> list[int]:
    """Return the shortest of the longer holdouts in which the gate can measure, else the longest that there may be."""
    possible = [held for held in LONGER if held <= MOST_HOLDOUT_SHARE * days]
    shares = best.rows["truth"].value_counts(normalize=True)
    share = 1.0 if best.kind == "regression" else float(shares.max() if best.kind == "multiclass" else shares.min())
    per_day = _rows_a_day(best)
    return [held for held in possible if per_day * held * share >= LEAST_MEASURED][:1] or possible[-1:]
