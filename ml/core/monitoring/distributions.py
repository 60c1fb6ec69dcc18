"""Count how the values of a column were distributed in the reference and in the window, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ml.core.monitoring.drift_method import NAMES_UP_TO, is_number

SHAPE = 1
BINS = 24
"""Bins of equal width between the 0.5 % and the 99.5 % quantile; what lies beyond is counted in the outermost ones."""
MOST_CATEGORIES = 20
"""So many categories are named, and as many of those that came and of those that went."""
DIGITS = 5

Facts = dict[str, Any]


def distributions(sides: Mapping[str, tuple[pd.Series, pd.Series]]) -> Facts:
    """Return both distributions of each column, with no more than its number of bins or categories.

    Parameters
    ----------
    sides
        By column, the values of the reference and those of the window; not modified.
    """
    return {"shape": SHAPE, "columns": {column: distribution(*pair) for column, pair in sides.items()}}


def distribution(reference: pd.Series, current: pd.Series) -> Facts:
    """Return how two samples of a column are distributed, in shares of their rows that hold a value.

    Returns
    -------
    dict
        ``rows`` and ``null_share`` of ``reference`` and ``current``; of numbers ``bins`` with ``edges`` of shape
        (n_bins + 1,) and both ``shares``; of categories (and numbers of few values) ``categories`` with ``names``, the
        most frequent on either side, both ``shares`` and what all the others have, ``other``. ``came`` and ``went``:
        the categories that one side has alone, with their share, and in ``came_count`` and ``went_count`` how many.

    Examples
    --------
    >>> facts = distribution(pd.Series(["EWR", "JFK", "JFK", None]), pd.Series(["EWR", "LGA"]))
    >>> facts["categories"]["names"], facts["categories"]["current"]
    (['JFK', 'EWR', 'LGA'], [0.0, 0.5, 0.5])
    >>> facts["came"], facts["went"], facts["null_share"]["reference"]
    ([['LGA', 0.5]], [['JFK', 0.66667]], 0.25)
    """
    sides = {"reference": reference, "current": current}
    facts: Facts = {
        "rows": {name: len(side) for name, side in sides.items()},
        "null_share": {
            name: _rounded(float(side.isna().mean())) if len(side) else None for name, side in sides.items()
        },
    }
    before, now = reference.dropna(), current.dropna()
    if is_number(reference) and is_number(current) and pd.concat([before, now]).nunique() > NAMES_UP_TO:
        return facts | {"bins": _bins(before.to_numpy(dtype=float), now.to_numpy(dtype=float))}
    return facts | _categories(before, now)


def _bins(before: np.ndarray, now: np.ndarray) -> Facts:
    sides = [side[np.isfinite(side)] for side in (before, now)]
    both = np.concatenate(sides)
    low, high = np.quantile(both, [0.005, 0.995])
    edges = np.histogram_bin_edges(both, bins=BINS, range=(low, high) if low < high else None)
    inside = [np.clip(side, edges[0], edges[-1]) for side in sides]
    shares = [np.histogram(side, edges)[0] / len(side) if len(side) else None for side in inside]
    return {
        "edges": [float(f"{edge:.6g}") for edge in edges],
        "lowest": float(both.min()),
        "highest": float(both.max()),
        **{
            name: None if side is None else [_rounded(share) for share in side]
            for name, side in zip(("reference", "current"), shares, strict=True)
        },
    }


def _categories(before: pd.Series, now: pd.Series) -> Facts:
    old, new = (_shares(side) for side in (before, now))
    most = sorted({*old, *new}, key=lambda name: (-max(old.get(name, 0.0), new.get(name, 0.0)), name))
    names = most[:MOST_CATEGORIES]
    came = [[name, _rounded(new[name])] for name in most if name not in old]
    went = [[name, _rounded(old[name])] for name in most if name not in new]
    return {
        "categories": {
            "names": names,
            "others": len(most) - len(names),
            **{
                side: [_rounded(shares.get(name, 0.0)) for name in names]
                for side, shares in (("reference", old), ("current", new))
            },
            "other": {
                side: _rounded(sum(shares.get(name, 0.0) for name in most[MOST_CATEGORIES:]))
                for side, shares in (("reference", old), ("current", new))
            },
        },
        "came": came[:MOST_CATEGORIES],
        "came_count": len(came),
        "went": went[:MOST_CATEGORIES],
        "went_count": len(went),
    }


def _shares(values: pd.Series) -> dict[str, float]:
    shares: dict[str, float] = {}
    for value, share in values.value_counts(normalize=True).items():
        shares[_name(value)] = shares.get(_name(value), 0.0) + float(share)
    return shares


def _name(value: Any) -> str:
    """Write a category as text; whole numbers without a decimal point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _rounded(share: float) -> float:
    return round(float(share), DIGITS)
