"""How probably a refresh is of another kind than those before, by how far it moves predictions.

A refresh whose predictions lie much further from the champion's than those of any refresh of the recipe's past was
probably made of other data: a broken column, wrong labels, a new regime. Which of these it is, better or worse, its
predictions cannot say. So the past counts for less then, and the holdout for more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ml.core import predictions
from ml.core.gate.comparison import new_to_both
from ml.core.gate.refit import difference
from ml.core.gate.rule import finite
from ml.core.metric import Kind

LEAST = 0.05
"""The share of refreshes that are of another kind than those of the past, whatever they move: one in twenty."""
LEAST_DIFFERENCES = 3
"""With fewer differences in the past, nothing is known of how far a refresh moves predictions."""
LEAST_SCATTER = 0.2
"""The least standard deviation of the logarithm of usual differences: some fifth of one is always chance."""
TENFOLD = math.log(10)
"""An unusual refresh may move predictions as far as usual ones do, or ten times as far, equally probably by the
logarithm (the prior of a scale of which only the order of magnitude is known; Jeffreys 1946).
"""


def moved(scored: pd.DataFrame, kind: Kind) -> float | None:
    """Compute how far the challenger's predictions lie from those it is compared with, on days new to both.

    Parameters
    ----------
    scored : DataFrame of shape (n_rows, n_columns)
        The holdout with ``challenger``, ``champion`` and ``champion_had_seen``.

    Returns
    -------
    float or None
        See `ml.core.gate.refit.difference`; None without a champion, such days, or finite predictions.
    """
    if "champion" not in scored:
        return None
    new = new_to_both(scored)
    if new.empty:
        return None
    return finite(difference(predictions.array(new["champion"]), predictions.array(new["challenger"]), kind))


def share(differences: Sequence[float], apart: float | None, times: float = 1.0) -> float:
    """Return the probability that a refresh is unusual, before its losses are looked at; never below `LEAST`.

    The logarithms of usual differences are taken for normal: the next one is Student's t around their mean, as wide as
    they scatter.

    Parameters
    ----------
    differences
        How far refreshes of the past moved predictions.
    apart
        How far this one does; None where it is not known.
    times
        How many times as much newer data it has. Models that follow a moving world differ in proportion at most; with
        less newer data nothing less is expected.
    """
    usual = [value for value in differences if value > 0]
    if apart is None or apart <= 0 or len(usual) < LEAST_DIFFERENCES:
        return LEAST
    logs = np.log(usual)
    centre = float(logs.mean()) + math.log(max(abs(times), 1.0))
    scatter = max(float(logs.std(ddof=1)), LEAST_SCATTER) * math.sqrt(1 + 1 / len(logs))
    beyond = math.log(apart) - centre
    if beyond <= 0:
        return LEAST
    log_odds = math.log(LEAST / (1 - LEAST)) - math.log(TENFOLD)
    log_odds -= float(stats.t.logpdf(beyond / scatter, len(logs) - 1)) - math.log(scatter)
    return max(LEAST, 1 / (1 + math.exp(-min(log_odds, 700.0))))
