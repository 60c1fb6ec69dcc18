"""What the page is answered of the data quality, put together by the project's own functions from made-up results."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np

from ml.core.data.quality_history import DayQuality, day_quality, quality_history
from ml.core.monitoring.day_summary import plain

LAST, DAYS = date(2013, 6, 25), 60
QUARANTINED, REJECTED, ABSENT = "2013-06-24", "2013-06-22", "2013-06-20"
FORMULA = "=1+1"
COUNT = "expect_table_row_count_to_be_between"
SHARE = "expect_column_proportion_of_non_null_values_to_be_between"
NULL = "expect_column_values_to_not_be_null"
RANGE = "expect_column_values_to_be_between"


def expectation(kind: str, column: str | None, rule: str, *, met: bool = True, **more: Any) -> dict[str, Any]:
    """Make up what became of an expectation."""
    level = more.pop("level", "table")
    facts = {"expectation": kind, "column": column, "level": level, "rule": rule, "measured": None}
    return {**facts, "status": "met" if met else "unmet", **more}


def failure(one: dict[str, Any], rows: int) -> dict[str, Any]:
    """Make up how an expectation was broken."""
    return {**{name: one[name] for name in ("expectation", "column", "level")}, "message": one["rule"],
            "unexpected_rows": rows, "examples": ["99999"]}  # fmt: skip


def result(rows: int, *, bad: int = 0, null_rows: int = 0, null_share: float = 0.01, low: int = 480) -> dict[str, Any]:
    """Make up the result of a screening."""
    few = rows < low
    bound = {"value": float(rows), "low": float(low), "high": 1500.0}
    shares = {"value": 1 - null_share, "low": 0.95, "high": None}
    asked = [
        expectation(COUNT, None, f"the row count must be between {low} and 1500", met=not few, measured=bound),
        expectation(SHARE, "temp", "the share of temp that holds a value must be at least 95.0%", measured=shares),
        expectation(NULL, "carrier", "carrier must not be null", level="row", met=not null_rows),
        expectation(RANGE, "distance", "distance must be between 0 and 6000", level="row", met=not bad),
    ]
    failures = [failure(asked[2], null_rows)] * bool(null_rows) + [failure(asked[3], bad)] * bool(bad)
    failures += [failure(asked[0], 0)] * few
    kept = bad + null_rows
    return {"rows": rows, "accepted_rows": 0 if few else rows - kept, "quarantined_rows": kept,
            "reason": f"the row count must be between {low} and 1500" if few else "", "failures": failures,
            "expectations": asked}  # fmt: skip


def by_day() -> dict[date, DayQuality]:
    """Make up two months: some rows in quarantine, a day that was rejected, and one of which nothing is kept."""
    chance = np.random.default_rng(11)
    days = {}
    for back in range(DAYS):
        day = LAST - timedelta(days=back)
        share, nulls = float(chance.beta(1, 60)), int(chance.poisson(0.4))
        bad = 3 if str(day) == QUARANTINED else int(chance.poisson(1.5) * (back % 7 == 3))
        rows = 12 if str(day) == REJECTED else int(chance.integers(700, 1100))
        days[day] = day_quality(result(rows, bad=bad, null_rows=nulls, null_share=share, low=450 + back))
    del days[date.fromisoformat(ABSENT)]
    return days


def facts_of(asset: str, days: int) -> dict[str, Any]:
    """Return what the page is answered of the data quality."""
    known = by_day() if asset == "inputs" else {}
    span = [LAST - timedelta(days=back) for back in reversed(range(min(days, DAYS)))]
    kept = [str(day) for day in span if day in known and (known[day].quarantined or known[day].rejected)]
    facts: dict[str, Any] = plain(
        {"asset": asset, **quality_history(span, known), "kept_out": kept, "unreadable": [], "hint": None}
    )
    return facts


def rows_of(asset: str, day: str) -> dict[str, Any]:
    """Return what the page is answered of the rows of a day."""
    columns = ["day", "carrier", "distance", *(f"column_{number}" for number in range(12)), "reasons"]
    what, total = ("partition", 12) if day == REJECTED else ("rows", 3)
    shown = [[day, FORMULA, "99999", *["1"] * 12, "distance must be between 0 and 6000"] for _ in range(total)]
    name = f"quarantine/{asset}/day={day}/{what}.parquet"
    table = {"what": what, "columns": columns, "rows": shown, "total": total, "file": name, "csv_rows": total}
    return {"asset": asset, "day": day, "tables": [table]}
