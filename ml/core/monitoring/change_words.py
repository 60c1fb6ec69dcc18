"""Put in words what changed in a column, for people who have a table row to read it in."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ml.core.monitoring.drift_method import is_number


def change_in_words(reference: pd.Series, current: pd.Series) -> str:
    """Return what changed the most from one side to the other; empty if that is next to nothing.

    Examples
    --------
    >>> change_in_words(pd.Series(["EWR", "JFK", "JFK"]), pd.Series(["EWR"] * 3))
    "JFK's share 67 % → 0 %"
    >>> change_in_words(pd.Series([9.0, 10.0, 11.0]), pd.Series([16.0, 16.1, 17.0]))
    'median 10 → 16.1'
    """
    if reference.empty or current.empty:
        return ""
    nulls = float(reference.isna().mean()), float(current.isna().mean())
    if abs(nulls[1] - nulls[0]) >= 0.1:
        return f"nulls {percent(nulls[0])} → {percent(nulls[1])}"
    before, now = reference.dropna(), current.dropna()
    if before.empty or now.empty:
        return ""
    return _numbers_in_words(before, now) if is_number(reference) else _shares_in_words(before, now)


def _shares_in_words(before: pd.Series, now: pd.Series) -> str:
    """Name the category that adds most to the Hellinger distance: one that is gone goes before those that gained."""
    sides = [side.astype(str).value_counts(normalize=True) for side in (before, now)]
    old, new = (dict(side.items()) for side in sides)
    moved = {name: abs(new.get(name, 0.0) ** 0.5 - old.get(name, 0.0) ** 0.5) for name in {*old, *new}}
    category = max(sorted(moved, key=str), key=lambda name: moved[name])
    return _change(f"{category}'s share", percent(old.get(category, 0.0)), percent(new.get(category, 0.0)))


def _numbers_in_words(before: pd.Series, now: pd.Series) -> str:
    """Compare rates of what is 0 or 1; of other numbers medians, or, where those say nothing, means, or spreads."""
    old, new = before.to_numpy(float), now.to_numpy(float)
    if np.isin(old, (0, 1)).all() and np.isin(new, (0, 1)).all():
        return _change("rate", percent(float(old.mean())), percent(float(new.mean())))
    scale = float(old.std()) or 1.0
    for name, figure in (("median", np.median), ("mean", np.mean), ("standard deviation", np.std)):
        values = float(figure(old)), float(figure(new))
        if abs(values[1] - values[0]) >= 0.05 * scale:
            return _change(name, _number(values[0]), _number(values[1]))
    return ""


def _change(what: str, before: str, now: str) -> str:
    return f"{what} {before} → {now}" if before != now else ""


def percent(share: float) -> str:
    """Write a share as people read it; what is there is never 0 %, and what is not all never 100 %.

    Examples
    --------
    >>> percent(0.33), percent(0.004), percent(0.999), percent(1)
    ('33 %', '0.4 %', '99.9 %', '100 %')
    """
    if 0 < share < 0.01 or 0.99 < share < 1:
        return f"{min(max(share * 100, 0.1), 99.9):.1f} %"
    return f"{share * 100:.0f} %"


def _number(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
