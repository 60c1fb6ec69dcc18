"""Cut off what stands beside all numbers of a column of text: a currency, a percent sign, a unit of measure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

CURRENCIES = "€$£¥₹"
CODES = "EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|BGN|TRY|BRL|MXN|ZAR|SGD|HKD|KRW"
DIGITS = r"(?:[0-9]+(?:[.,'\u2019\u00a0\u202f][0-9]+)*|\.[0-9]+)"
SIGNED = re.compile(rf"(?P<sign>-?)(?P<before>[{CURRENCIES}]?)\s*(?P<number>-?[0-9.].*?)\s*(?P<after>[{CURRENCIES}%]?)")
PRICED = re.compile(rf"(?P<sign>-?)(?P<before>{CODES}|(?:US|CA|A|NZ|R|HK)\$|Rs\.?)\s?(?P<number>-?{DIGITS})")
MEASURED = re.compile(rf"(?P<number>-?{DIGITS})(?P<blank>\s*)(?P<unit>[^\s\d.,'\u2019+-]\S{{0,14}})")
CLOSE = {
    "kg", "g", "mg", "lb", "lbs", "oz", "km", "m", "cm", "mm", "mi", "ft", "in", "nm", "l", "ml", "cl", "ms",
    "min", "mins", "h", "hr", "hrs", "kw", "kwh", "mw", "mwh", "wh", "kv", "hz", "khz", "mhz", "ghz",
    "kb", "mb", "gb", "tb", "km/h", "kmh", "mph", "m/s", "kn", "kt", "kts", "hpa", "kpa", "pa", "bar", "mbar", "psi",
    "px", "pt", "m2", "m3", "m²", "m³", "sqft", "ppm", "ppb", "bpm", "rpm", "°", "°c", "°f", "deg", "‰",
    "db", "kcal", "kj", "cal", "mmhg", "usd", "eur", "gbp", "chf",
}  # fmt: skip
"""What may stand behind a number without a blank; other letters there may be a name, as in ``12B``."""
LEAST_MEASURED = 12
"""Fewer different numbers with a unit are categories as they are, such as ``36 months`` and ``60 months``."""


def without_signs(values: pd.Series) -> tuple[pd.Series, str]:
    """Return texts without what stands beside all of their numbers, and what that is; empty if there is nothing.

    Parameters
    ----------
    values : Series of shape (n_values,)
        Each text once, no null among them.

    Examples
    --------
    >>> numbers, unit = without_signs(pd.Series([f"{number},5 mm" for number in range(20)]))
    >>> numbers.iloc[3], unit
    ('3,5', 'mm')
    """
    signed = _matches(values, SIGNED)
    signs = {match["before"] + match["after"] for match in signed}
    if len(signs) == 1 and signs != {""}:
        return _numbers(values, signed), signs.pop()
    priced = _matches(values, PRICED)
    if len(codes := {match["before"] for match in priced}) == 1:
        return _numbers(values, priced), codes.pop()
    measured = _matches(values, MEASURED) if len(values) >= LEAST_MEASURED else []
    units = {match["unit"] for match in measured}
    is_one = len({unit.removesuffix("s") or unit for unit in units}) == 1  # 1 day, 2 days
    is_apart = (
        all(match["blank"] for match in measured)
        or {unit if len(unit) == 1 else unit.lower() for unit in units} <= CLOSE
    )
    if is_one and is_apart:
        return _numbers(values, measured), max(units, key=len)
    return values, ""


def _matches(values: pd.Series, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Return what a pattern matches in each text; nothing if one text is not of that form."""
    matches = []
    for text in values:
        if (match := pattern.fullmatch(text)) is None:
            return []
        matches.append(match)
    return matches


def _numbers(values: pd.Series, matches: Sequence[re.Match[str]]) -> pd.Series:
    texts = [match.groupdict().get("sign", "") + match["number"] for match in matches]
    return pd.Series(texts, index=values.index, dtype="str")
