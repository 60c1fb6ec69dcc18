"""Check the patterns that name the file of a day, fill them, and return their format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from typing import Literal

from ml.errors import SettingsError

TableFormat = Literal["parquet", "csv", "json"]
Packing = Literal["gz", "zst"]
DAY, YEAR, MONTH, DAY_OF_MONTH = "{day}", "{year}", "{month}", "{day_of_month}"
FORMS = {DAY: "%Y-%m-%d", YEAR: "%Y", MONTH: "%m", DAY_OF_MONTH: "%d"}
DIGITS = {DAY: r"\d{4}-\d{2}-\d{2}", YEAR: r"\d{4}", MONTH: r"\d{2}", DAY_OF_MONTH: r"\d{2}"}
PLACEHOLDER = re.compile("|".join(map(re.escape, FORMS)))
PACKINGS: tuple[Packing, ...] = ("gz", "zst")
FORMATS: dict[str, TableFormat] = {
    "parquet": "parquet",
    "csv": "csv",
    "jsonl": "json",
    "ndjson": "json",
    "json": "json",
}
"""By the ending of a name."""
ENDINGS = ".parquet, .csv, .jsonl, .ndjson or .json (the texts also with .gz or .zst)"


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
    if DAY not in pattern and not all(part in pattern for part in (YEAR, MONTH, DAY_OF_MONTH)):
        whole = "; if one file holds many days, name the file or its folder with kind: table" if YEAR in pattern else ""
        raise SettingsError(
            f"{key}: {shown} names no {DAY}; put {DAY} where the ISO day (2013-04-01) stands, or {YEAR}, {MONTH} and "
            f"{DAY_OF_MONTH} where its parts do{whole}"
        )
    rest = PLACEHOLDER.sub("", pattern)
    if "{" in rest or "}" in rest:
        raise SettingsError(
            f"{key}: {shown} has braces beside {DAY}, {YEAR}, {MONTH} and {DAY_OF_MONTH}, the only placeholders; "
            "remove them"
        )


def named(pattern: str, day: date) -> str:
    """Return the name of a day's file.

    Examples
    --------
    >>> named("in/{year}/{month}/{day}.csv", date(2024, 5, 1))
    'in/2024/05/2024-05-01.csv'
    """
    return PLACEHOLDER.sub(lambda match: f"{day:{FORMS[match[0]]}}", pattern)


def expression(text: str) -> str:
    """Return a regular expression for the names that a pattern, or a part of it, has on any day."""
    pieces = PLACEHOLDER.split(text)
    marks = [*PLACEHOLDER.findall(text), ""]
    return "".join(re.escape(piece) + DIGITS.get(mark, "") for piece, mark in zip(pieces, marks, strict=True))


def days_of(pattern: str, names: Iterable[str]) -> dict[date, str]:
    """Return which of some names are those of a day, by their days.

    Examples
    --------
    >>> days_of("{year}/{month}/{day_of_month}.csv", ["2024/05/01.csv", "2024/13/01.csv", "2024/05/old.csv"])
    {datetime.date(2024, 5, 1): '2024/05/01.csv'}
    """
    marks = PLACEHOLDER.findall(pattern)
    parts = re.compile(
        "".join(
            re.escape(piece) + (f"({DIGITS[mark]})" if mark else "")
            for piece, mark in zip(PLACEHOLDER.split(pattern), [*marks, ""], strict=True)
        )
    )
    days = {}
    for name in names:
        match = parts.fullmatch(name)
        if match is None:
            continue
        texts = dict(zip(marks, match.groups(), strict=True))
        with suppress(ValueError):
            day = date.fromisoformat(texts.get(DAY) or "-".join(texts[part] for part in (YEAR, MONTH, DAY_OF_MONTH)))
            if named(pattern, day) == name:
                days[day] = name
    return days


def format_of(name: str, *, key: str) -> TableFormat:
    """Return the format that a name's ending stands for; ``key`` is the settings key that holds the name."""
    packing = packing_of(name)
    plain = name[: -len(packing) - 1] if packing else name
    kind = FORMATS.get(plain.lower().rpartition(".")[2])
    if kind is None or (kind == "parquet" and packing):
        raise SettingsError(f"{key}: {name} does not end in {ENDINGS}; name a file of these")
    return kind


def packing_of(name: str) -> Packing | None:
    """Return how a file is packed, by its name; None if it is not.

    Examples
    --------
    >>> packing_of("2024-05-01.csv.gz"), packing_of("2024-05-01.parquet")
    ('gz', None)
    """
    return next((packing for packing in PACKINGS if name.lower().endswith(f".{packing}")), None)
