"""Names of columns that are ours, so that a column of an adopter's can never stand in for one of them, or be lost.

What begins with two underscores is ours alone, as are the names of history features. What is published (predictions,
their decision, the model's version) stands beside the key, and next to the target where it is measured: neither may
have such a name. A feature, or a column that nobody uses, may.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

OURS = "__"
"""What our own columns begin with."""

LOWER, UPPER = "prediction_lower", "prediction_upper"
"""The ends of a prediction interval, in the files of models that have any."""

OF_LABELS = ("key_known", "input_coverage")
"""Columns that suites of labels may name: whether a row's key is among the inputs, and which share of those has one."""

PUBLISHED = frozenset({"prediction", "raw_prediction", LOWER, UPPER, "decision", "model_version"})
BESIDE_KEY = PUBLISHED | {"champion", "challenger", "label", "raw", "reasons", "previous", "row", "target", "version"}
"""Columns that stand beside the key, in files that people read or while predictions and labels are compared."""

BESIDE_TARGET = PUBLISHED | {"champion", "raw", "reasons", "previous", "row", "version"}
MONITORED = frozenset({"prediction", "label"})
"""What drift calls the predictions and the labels, beside the columns that it watches."""


def history_name(by: Sequence[str], days: int, of: object = None) -> str:
    """Return the column of a history feature; ``of`` is the class whose share it is, None for a mean target.

    Examples
    --------
    >>> history_name(["carrier"], 7), history_name([], 28), history_name([], 28, "late")
    ('history_carrier_7d', 'history_all_28d', 'history_all_28d_late')
    """
    return f"history_{'_'.join(by) or 'all'}_{days}d" + (f"_{of}" if of is not None else "")


def probability_name(label: object) -> str:
    """Return the column of predictions that holds the probability of a class.

    Examples
    --------
    >>> probability_name("late"), probability_name(2)
    ('probability_late', 'probability_2')
    """
    return f"probability_{label}"


SHARE_BELOW = "share_below"
"""The metric of a quantile that says how often the outcome was at or below the prediction."""


def pinball_name(quantile: float) -> str:
    """Return the metric that judges predictions of a quantile; see `ml.core.built_in_metrics.of_name`.

    Examples
    --------
    >>> pinball_name(0.9), pinball_name(0.025)
    ('pinball_0.9', 'pinball_0.025')
    """
    return f"pinball_{quantile:g}"


def taken(names: Iterable[str], history: Iterable[str]) -> list[str]:
    """Return which columns of a table have a name of ours, whatever they are used for."""
    reserved = {*history, *OF_LABELS}
    return sorted({name for name in names if name.startswith(OURS) or name in reserved})


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of columns that differ in capitals only: Great Expectations takes one for the other.

    Examples
    --------
    >>> alike(["day", "Price", "price", "x"])
    [('Price', 'price')]
    """
    first: dict[str, str] = {}
    pairs = [(first.setdefault(name.casefold(), name), name) for name in names]
    return [(one, other) for one, other in pairs if one != other]
