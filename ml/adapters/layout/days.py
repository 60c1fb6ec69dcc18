"""Name the files of folders that have one of each day."""

from __future__ import annotations

from datetime import date

Day = date | str
"""Text is an ISO date."""


def asset_day_json(asset: str, day: Day) -> str:
    """Return the file with the facts of a day, in a folder that has one of each asset and day."""
    return f"{asset}/day={day}.json"


def day_json(day: Day) -> str:
    """Return the file with the facts of a day, in a folder that has one of each day."""
    return f"day={day}.json"
