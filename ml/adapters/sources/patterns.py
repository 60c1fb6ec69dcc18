"""Check the patterns that name the file of a day, and return their format."""

from __future__ import annotations

from typing import Literal

from ml.errors import SettingsError

TableFormat = Literal["parquet", "csv"]
Packing = Literal["gz", "zst"]
DAY = "{day}"
PACKINGS: tuple[Packing, ...] = ("gz", "zst")


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
    packing = packing_of(name)
    if (name[: -len(packing) - 1] if packing else name).lower().endswith(".csv"):
        return "csv"
    raise SettingsError(
        f"{key}: {name} ends in neither .parquet nor .csv (also .csv.gz or .csv.zst); name a file of either format"
    )


def packing_of(name: str) -> Packing | None:
    """Return how a file is packed, by its name; None if it is not.

    Examples
    --------
    >>> packing_of("2024-05-01.csv.gz"), packing_of("2024-05-01.parquet")
    ('gz', None)
    """
    return next((packing for packing in PACKINGS if name.lower().endswith(f".{packing}")), None)
