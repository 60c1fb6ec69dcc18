"""Propose what each single column must be: its type, nulls, range, values, pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ml.core.data.schema import kind_of_values
from ml.core.data.suite_proposals.limits import ROOMS, outward, room_for_seasons, room_that_held
from ml.core.data.suite_proposals.nulls import MIN_ROWS, null_expectations
from ml.core.data.suite_proposals.proposed import ProposedExpectation

PANDAS_TYPES = re.compile(r"^(str|bool|u?int\d+|float\d+)$")
FEW_VALUES, FREQUENT = 20, 0.05
"""A category with at most so many values is closed, once no new one has come for long; a column with more values than
so many for each of its rows names rows.
"""
FAR = 4.0
"""Where the largest value of all days is so many times that of the usual day, others may be larger still."""
FEW_TIMES = 2.5
"""A number that is never 0, and now and then so many times the largest of the usual day, varies by factors."""
STEPS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0001, 0.00001, 0.000001)
MOST_STEPS, MOST_MULTIPLES = 300, 1e8
"""A column of at most so many different numbers may have a step of its own: knots in miles an hour. A number of more
steps than so many has no more digits to tell.
"""
NATURAL_ENDS = (0, 1, 7, 12, 23, 24, 31, 59, 60, 100, 365, 366, 1439, 1440)
NO_VALUES = ["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "NONE", "none", "-", "--", "?", "unknown"]
"""Words that stand for a null in text."""


def column_expectations(table: pd.DataFrame, column: str, *, key: bool) -> Iterator[ProposedExpectation]:
    """Yield what is proposed for one column.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Carries ``day``. Not modified.
    key
        Whether the column belongs to the key of the table.
    """
    values = table[column]
    if values.notna().any():
        yield from null_expectations(table, column, key=key)
    kind = kind_of_values(values)
    if kind == "number":
        yield from range_expectations(table, column, key=key)
        if not key:
            yield from step_expectations(values, column)
    elif kind == "text":
        yield from text_expectations(table, column, key=key)


def type_expectation(values: pd.Series, column: str) -> ProposedExpectation | None:
    """Return the type that a column must have, by pandas' name; None for types that the data registry alone checks."""
    name = str(values.dtype)
    if name == "object" and kind_of_values(values) == "text":
        name = "str"
    if not PANDAS_TYPES.match(name) or not values.notna().any():
        return None
    reason = f"Each of {values.notna().sum():,} values is."
    return ProposedExpectation("expect_column_values_to_be_of_type", {"column": column, "type_": name}, "table", reason)


def range_expectations(table: pd.DataFrame, column: str, *, key: bool) -> Iterator[ProposedExpectation]:
    """Yield between which limits a number lies, with room; a bound that it often touches and never passes has none."""
    values = table[column].astype(float)
    values = values.where(np.isfinite(values))
    if values.notna().sum() < MIN_ROWS:
        return
    by_day = values.groupby(table["day"].to_numpy())
    lows, highs = by_day.min().dropna(), by_day.max().dropna()
    low, high = _without_one_day(lows.to_numpy(), np.min), _without_one_day(highs.to_numpy(), np.max)
    if low == high:
        reason = f"Each of {int(values.notna().sum()):,} values is {low:g}; so it says nothing, and a new one may come."
        yield ProposedExpectation(
            "expect_column_values_to_be_between", {"column": column, "min_value": min(0.0, 2 * low)}, "row", reason
        )
        return
    room = room_for_seasons(values, table["day"])
    below, above = _with_room(lows.to_numpy(), highs.to_numpy(), low, high, room)
    bounds = (
        low if _is_hard(values, lows.to_numpy(), low) else below,
        high if _is_hard(values, highs.to_numpy(), high) else above,
    )
    whole = bool((values.dropna() % 1 == 0).all())
    floor, ceiling = (int(np.ceil(bounds[0])), int(np.floor(bounds[1]))) if whole else bounds
    seen = f"From {low:g} to {high:g} in {int(values.notna().sum()):,} values of {len(lows)} days"
    hard = [name for name, same in (("lower", bounds[0] == low), ("upper", bounds[1] == high)) if same]
    how = f"; the {' and '.join(hard)} end is touched again and again, and never passed." if hard else ", with room."
    if key:
        floor, ceiling = (0 if low >= 0 else floor), None  # type: ignore[assignment]
        how = "; identifiers may grow."
    kwargs: dict[str, object] = {"column": column, "min_value": floor, "max_value": ceiling}
    yield ProposedExpectation(
        "expect_column_values_to_be_between",
        {name: value for name, value in kwargs.items() if value is not None},
        "row",
        seen + how,
    )


def _is_hard(values: pd.Series, extremes: np.ndarray, end: float) -> bool:
    """Return whether an end of a range is one by nature: many days touch it, with many rows or at a natural number."""
    touched = float(np.mean(extremes == end))
    if end in NATURAL_ENDS:
        return bool(np.sum(extremes == end) >= 3)
    return touched >= 0.3 and float((values == end).mean()) >= 0.02


def _without_one_day(extremes: np.ndarray, of: object) -> float:
    """Return the extreme of all days; one day alone that lies far beyond all others is taken for an error."""
    ordered = np.sort(extremes)[::-1] if of is np.max else np.sort(extremes)
    if len(ordered) < 10:
        return float(ordered[0])
    usual = abs(ordered[1] - ordered[-1])
    return float(ordered[1] if abs(ordered[0] - ordered[1]) > 3 * usual > 0 else ordered[0])


def _with_room(lows: np.ndarray, highs: np.ndarray, low: float, high: float, least_room: float) -> tuple[float, float]:
    """Return limits with as much room as the past has needed, and more where some days reach far."""
    span = high - low
    lows, highs = np.clip(lows, low, None), np.clip(highs, None, high)
    rooms = [room_that_held(lows, span / 2), room_that_held(highs, span / 2)]
    room = max(least_room, *(ROOMS[-1] if room is None else room for room in rooms))
    far = [abs(low) > FAR * abs(np.median(lows)), abs(high) > FAR * abs(np.median(highs))]
    below, above = low - (FAR if far[0] else room) * span, high + (FAR if far[1] else room) * span
    below, above = outward(below, above)
    seasonal = least_room > ROOMS[0] and high <= FEW_TIMES * float(np.median(highs))
    if low > 0 and not (seasonal and low < 0.5 * span):
        below = max(below, low / FAR)
    elif low == 0:
        below = 0.0
    if high < 0 and not (seasonal and -high < 0.5 * span):
        above = min(above, high / FAR)
    elif high == 0:
        above = 0.0
    return float(below), float(above)


def step_expectations(values: pd.Series, column: str) -> Iterator[ProposedExpectation]:
    """Yield of which step all numbers are multiples: whole ones, cents, or quarters."""
    if not pd.api.types.is_float_dtype(values.dtype):
        return
    numbers = values.dropna().to_numpy()
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) < MIN_ROWS or len(np.unique(numbers)) < 3:
        return
    distinct = np.unique(numbers)
    smallest = float(f"{np.diff(distinct).min():.6g}") if len(distinct) <= MOST_STEPS else 0.0
    for step in [*STEPS[:9], smallest, *STEPS[9:]] if smallest > STEPS[8] else STEPS:
        multiples = numbers / step
        if (
            np.abs(multiples).max() < MOST_MULTIPLES
            and (np.abs(multiples - np.round(multiples)) <= np.maximum(1e-6, 1e-9 * np.abs(multiples))).all()
        ):
            reason = f"Each of {len(numbers):,} values is: other units and noise would bring more digits."
            kwargs = {"column": column, "step": step}
            yield ProposedExpectation("expect_column_values_to_be_multiples_of", kwargs, "row", reason)
            return


def text_expectations(table: pd.DataFrame, column: str, *, key: bool) -> Iterator[ProposedExpectation]:
    """Yield the set of a category's values, or the pattern that all have."""
    known = table[column].notna()
    values = table.loc[known, column].astype(str)
    if len(values) < MIN_ROWS:
        return
    first_days = values.groupby(values.to_numpy()).size().to_frame("rows")
    first_days["first"] = table.loc[known, "day"].astype(str).groupby(values.to_numpy()).min()
    days = np.sort(table["day"].astype(str).unique())
    newest_new = int(np.searchsorted(days, first_days["first"].max())) + 1
    category = len(first_days) <= max(2, FREQUENT * len(values))
    closed = category and len(first_days) <= FEW_VALUES and newest_new <= max(1, len(days) // 2)
    listed = sorted(first_days.index)
    if closed:
        reason = f"{len(listed)} values in {len(values):,} rows; no new one since {days[newest_new - 1]}."
        yield ProposedExpectation(
            "expect_column_values_to_be_in_set", {"column": column, "value_set": listed}, "row", reason
        )
        return
    pattern = pattern_of(listed)
    if pattern is not None:
        reason = f"All {len(listed):,} values have this form; a value that was never seen before is legal."
        yield ProposedExpectation(
            "expect_column_values_to_match_regex", {"column": column, "regex": pattern}, "row", reason
        )
    else:
        missing = [word for word in NO_VALUES if word not in set(listed)]
        reason = "Words for a null are none of its values."
        yield ProposedExpectation(
            "expect_column_values_to_not_be_in_set", {"column": column, "value_set": missing}, "row", reason
        )
    if category and not key:
        yield from _mostly_known(table.loc[known, "day"], values, column, listed)


def _mostly_known(days: pd.Series, values: pd.Series, column: str, listed: list[str]) -> Iterator[ProposedExpectation]:
    """Yield that most rows of a day have a value that was seen before."""
    ordered = sorted(days.astype(str).unique())
    start = max(1, len(ordered) // 2)
    seen = set(values[days.astype(str).isin(ordered[:start])])
    new_shares = []
    for day in ordered[start:]:
        of_day = values[(days.astype(str) == day).to_numpy()]
        new_shares.append(float((~of_day.isin(seen)).mean()))
        seen |= set(of_day)
    if len(new_shares) < 5:
        return
    worst = max(new_shares)
    mostly = round(1 - min(2 * worst + 0.05, 1.0), 2)
    if mostly < 0.5:
        return
    reason = f"{len(listed):,} values; on the later half of the days at most {worst:.1%} of the rows had a new one."
    yield ProposedExpectation(
        "expect_column_values_to_be_in_set",
        {"column": column, "value_set": listed, "mostly": mostly},
        "table",
        reason,
        f"{column} must be one of {len(listed):,} known values in at least {mostly:.0%} of the rows",
    )


CLASSES = (("A-Z", "[A-Z]"), ("a-z", "[a-z]"), ("0-9", "[0-9]"))


def pattern_of(values: list[str]) -> str | None:
    r"""Return a pattern that values of one form have in common; None if they have no form.

    Examples
    --------
    >>> pattern_of(["EV", "9E", "UA"]), pattern_of(["N12-a", "N43-b"]), pattern_of(["a b", "longer words"])
    ('^[A-Z0-9]{2}$', '^[A-Z0-9]{3}\\-[a-z]{1}$', None)
    """
    parts = [re.findall(r"[A-Za-z0-9]+|[^A-Za-z0-9]+", value) for value in values[:100_000]]
    shapes = {tuple(part if not part[0].isalnum() else "" for part in piece) for piece in parts}
    if len(shapes) != 1 or not parts[0] or len(parts[0]) > 7:
        return None
    pattern = ""
    for position, separator in enumerate(next(iter(shapes))):
        pieces = {piece[position] for piece in parts}
        lengths = {len(piece) for piece in pieces}
        if separator:
            pattern += re.escape(separator)
        elif max(lengths) - min(lengths) > 1 or max(lengths) > 40:
            return None
        else:
            letters = "".join(pieces)
            classes = "".join(name for name, sort in CLASSES if re.search(sort, letters))
            span = f"{min(lengths)}" if len(lengths) == 1 else f"{min(lengths)},{max(lengths)}"
            pattern += f"[{classes}]{{{span}}}"
    return f"^{pattern}$"
