"""Check the patterns that name the file of a day, and return their format."""

from __future__ import annotations

from typing import Literal

from ml.errors import SettingsError

TableFormat = Literal["parquet", "csv"]
DAY = "{day}"


def check_pattern(pattern: str, *, key: str, shown: str | None = None) -> None:
    """Refuse a pattern that does not carry the day, or carries another placeholder.

    Parameters
    ----------
    key
        The settings key that holds the pattern, for messages.
    shown
        The pattern without its secrets, for messages; None if it holds none.
    """
    shown = pattern if shown is None else shown
    if DAY not in pattern:
        raise SettingsError(f"{key}: {shown} names no {DAY}; put {DAY} where the ISO day (2013-04-01) stands")
    rest = pattern.replace(DAY, "")
    if "{" in rest or "}" in rest:
        raise SettingsError(f"{key}: {shown} has braces beside {DAY}, the only placeholder; remove them")


def format_of(name: str, *, key: str) -> TableFormat:
    """Return the format that a name's ending stands for; ``key`` is the settings key that holds the name."""
    if name.lower().endswith(".parquet"):
        return "parquet"
    if name.lower().endswith(".csv"):
        return "csv"
    raise SettingsError(f"{key}: {name} ends in neither .parquet nor .csv; name a file of either format")
