"""Put together what the contracts said of many days: expectations, quarantined rows by reason, row counts, nulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ml.core.data.row_checks import NOT_NULL

STATES = {"met": "m", "unmet": "u", "not evaluated": "n"}
ABSENT = "."
"""How a day of which no result is kept is written among the letters of `STATES`."""
MOST_REASONS = 12
"""So many reasons are shown for themselves, those with most rows; what the others hold is added up."""
WHOLE_DAY, OTHERS = "the whole day was rejected", "other reasons"
ROW_COUNT = "expect_table_row_count_to_be_between"
NON_NULL = (
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_to_be_empty_or_proportion_of_non_null_values_to_be_between",
)
DIGITS = 5

Facts = dict[str, Any]
Asked = tuple[str, str | None, int]
"""An expectation: its type, its column, and which it is of several with the same; its range may differ by day."""


@dataclass(frozen=True)
class DayQuality:
    """What of a contract's result is drawn, small enough to be remembered for years of days.

    ``states`` and ``rules`` (in words) by expectation; ``reasons`` rows by reason; ``nulls`` by column the share of
    rows without a value and the highest that is accepted; ``row_range`` the row counts that are accepted.
    """

    rows: int
    accepted: int
    quarantined: int
    rejected: str
    states: Mapping[Asked, str]
    rules: Mapping[Asked, tuple[str, str]]
    reasons: Mapping[str, int]
    nulls: Mapping[str, tuple[float, float | None]]
    row_range: tuple[float | None, float | None] | None


def day_quality(result: Mapping[str, Any]) -> DayQuality:
    """Reduce the result of a screening, as `ml.adapters.contracts` writes it.

    Raises
    ------
    ValueError
        If it is not such a result.
    """
    try:
        return _day_quality(result)
    except (KeyError, TypeError, AttributeError) as err:
        raise ValueError(f"not a result of a screening ({err!r})") from err


def _day_quality(result: Mapping[str, Any]) -> DayQuality:
    rows, rejected = int(result["rows"]), str(result.get("reason") or "")
    states: dict[Asked, str] = {}
    rules: dict[Asked, tuple[str, str]] = {}
    nulls: dict[str, tuple[float, float | None]] = {}
    row_range = None
    broken = {(one["expectation"], one["column"]): int(one["unexpected_rows"]) for one in result["failures"]}
    for entry in result.get("expectations") or ():
        kind, column, measured = entry["expectation"], entry["column"], entry.get("measured")
        number = sum((kind, column) == asked[:2] for asked in states)
        states[kind, column, number] = STATES[entry["status"]]
        rules[kind, column, number] = (str(entry["rule"]), str(entry["level"]))
        if kind == ROW_COUNT and measured:
            row_range = (measured["low"], measured["high"])
        elif kind in NON_NULL and column and measured:
            highest = None if measured["low"] is None else round(1 - measured["low"], DIGITS)
            nulls[column] = (round(1 - measured["value"], DIGITS), highest)
        elif kind == NOT_NULL and column and rows and entry["status"] != "not evaluated":
            nulls.setdefault(column, (round(broken.get((kind, column), 0) / rows, DIGITS), 0.0))
    return DayQuality(
        rows=rows,
        accepted=int(result["accepted_rows"]),
        quarantined=int(result["quarantined_rows"]),
        rejected=rejected,
        states=states,
        rules=rules,
        reasons={WHOLE_DAY: rows} if rejected else _rows_by_reason(result["failures"]),
        nulls=nulls,
        row_range=row_range,
    )


def _rows_by_reason(failures: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for failure in failures:
        if failure["level"] == "row" and failure["unexpected_rows"]:
            reasons[failure["message"]] = reasons.get(failure["message"], 0) + int(failure["unexpected_rows"])
    return reasons


def quality_history(days: Sequence[date], by_day: Mapping[date, DayQuality]) -> Facts:
    """Lay out what the contracts said, day by day.

    Parameters
    ----------
    days
        The days that are shown, oldest first.
    by_day
        What is known of them; a day may be missing.

    Returns
    -------
    dict
        ``days`` (ISO); of as many entries each: ``rows``, ``accepted``, ``quarantined``, ``rejected`` (why, or None),
        ``lowest_rows`` and ``highest_rows`` that were accepted (None where not known), and in ``expectations`` (each
        with ``rule``, ``column`` and ``level``, those that broke most often first) ``states``, one letter a day of
        `STATES` or `ABSENT`; in ``reasons`` (most rows first) ``rows``; in ``nulls`` by ``column`` ``share`` and
        ``highest``. A row that breaks two expectations counts under both reasons.
    """
    results = [by_day.get(day) for day in days]
    ranges = [(one and one.row_range) or (None, None) for one in results]
    return {
        "days": [day.isoformat() for day in days],
        "rows": [one and one.rows for one in results],
        "accepted": [one and one.accepted for one in results],
        "quarantined": [one and one.quarantined for one in results],
        "rejected": [(one.rejected or None) if one else None for one in results],
        "lowest_rows": [low for low, _ in ranges],
        "highest_rows": [high for _, high in ranges],
        "expectations": _expectations(results),
        "reasons": _reasons(results),
        "nulls": _nulls(results),
    }


def _expectations(results: Sequence[DayQuality | None]) -> list[Facts]:
    newest: dict[Asked, tuple[str, str]] = {}
    for one in results:
        newest |= one.rules if one else {}
    rows = [
        {
            "rule": rule,
            "column": asked[1],
            "level": level,
            "states": "".join(one.states.get(asked, ABSENT) if one else ABSENT for one in results),
        }
        for asked, (rule, level) in newest.items()
    ]
    return sorted(rows, key=lambda row: -row["states"].count(STATES["unmet"]))


def _reasons(results: Sequence[DayQuality | None]) -> list[Facts]:
    totals: dict[str, int] = {}
    for one in results:
        for reason, rows in (one.reasons if one else {}).items():
            totals[reason] = totals.get(reason, 0) + rows
    order = sorted(totals, key=lambda reason: (-totals[reason], reason))
    named, others = order[:MOST_REASONS], order[MOST_REASONS:]
    listed = [
        {"reason": name, "rows": [one.reasons.get(name, 0) if one else None for one in results]} for name in named
    ]
    if others:
        rest = [sum(one.reasons.get(name, 0) for name in others) if one else None for one in results]
        listed.append({"reason": OTHERS, "rows": rest})
    return listed


def _nulls(results: Sequence[DayQuality | None]) -> list[Facts]:
    columns = sorted({column for one in results if one for column in one.nulls})
    nothing = (None, None)
    return [
        {
            "column": column,
            "share": [one.nulls.get(column, nothing)[0] if one else None for one in results],
            "highest": [one.nulls.get(column, nothing)[1] if one else None for one in results],
        }
        for column in columns
    ]
