"""Small frames and records by intent: a test says what matters to it, the rest is filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.records import ColumnDrift, DriftReport, Logged
from ml.settings import Settings, parse

FIRST_DAY = date(2013, 1, 1)


def day(number: int) -> str:
    """Give the ISO string of the day ``number`` days after the first of January 2013."""
    return (FIRST_DAY + timedelta(days=number)).isoformat()


def rows(
    *,
    days: int | Sequence[int] = 10,
    per_day: int = 20,
    carriers: str = "ABC",
    origins: str = "XY",
    seed: int = 0,
    regression: bool = False,
) -> pd.DataFrame:
    """Build labelled rows: ``day``, ``id``, ``carrier``, ``origin``, ``number`` and the target ``late``.

    ``days`` is a count from the first day on, or the numbers of the days that are there. Nothing in
    them depends on anything.
    """
    numbers = range(days) if isinstance(days, int) else days
    chance = np.random.default_rng(seed)
    size = len(numbers) * per_day
    late = chance.normal(100, 30, size) if regression else chance.integers(0, 2, size).astype(float)
    return pd.DataFrame(
        {
            "day": np.repeat([day(number) for number in numbers], per_day),
            "id": np.tile(np.arange(per_day), len(numbers)),
            "carrier": chance.choice(list(carriers), size),
            "origin": chance.choice(list(origins), size),
            "number": chance.normal(size=size),
            "late": late,
        }
    )


def holdout(
    gain: float = 0.0, *, days: int = 14, per_day: int = 80, day_sd: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Build a regression holdout whose challenger's absolute error is ``gain`` lower than the champion's.

    ``day_sd`` spreads the gain by day, alike for all rows of a day: luck that a day's rows share.
    """
    chance = np.random.default_rng(seed)
    shared = np.repeat(chance.normal(0, day_sd, days), per_day)
    return pd.DataFrame(
        {
            "day": np.repeat([day(number) for number in range(days)], per_day),
            "target": 0.0,
            "challenger": 10.0 - gain + shared + chance.normal(0, 0.1, days * per_day),
            "champion": 10.0,
        }
    )


def params(**sections: Any) -> dict[str, Any]:
    """Build the smallest legal ``params.yaml``; a section given here is laid over it, key by key."""
    raw: dict[str, Any] = {
        "task": {
            "name": "t",
            "kind": "classification",
            "target": "late",
            "key": ["day", "id"],
            "label_delay_days": 1,
        },
        "source": {"kind": "demo"},
        "features": {"numeric": ["number"]},
        "fit": {"estimator": "sklearn.linear_model.LogisticRegression"},
    }
    for name, section in sections.items():
        raw[name] = {**raw.get(name, {}), **section} if isinstance(section, Mapping) else section
    return raw


def settings(**sections: Any) -> Settings:
    """Check what `params` builds."""
    return parse(params(**sections))


def decided(
    kind: str, version: int | None, *, effective: int | None, trained_until: int | None, judged_on: int | None = None
) -> Logged:
    """Build an entry of the decisions experiment; days are numbers as `day` takes them."""
    payload: dict[str, Any] = {"version": version}
    if trained_until is not None:
        payload["window_last_day"] = day(trained_until)
    if judged_on is not None:
        payload["judged_on"] = day(judged_on)
    return Logged(
        decision_id=f"{kind}-{version}-{effective}",
        kind=kind,
        decided_at=datetime(2013, 1, 1, tzinfo=UTC),
        fingerprint=None,
        effective_day=None if effective is None else date.fromisoformat(day(effective)),
        payload=payload,
    )


def drift_report(status: str = "calm", *, on: date = date(2013, 6, 1), reason: str = "said so") -> DriftReport:
    """Build the drift report of a day."""
    return DriftReport(day=on, status=status, champion_version=3, reason=reason)  # type: ignore[arg-type]


def column(name: str, score: float | None, limit: float | None, *, role: str = "structural") -> ColumnDrift:
    """Build one column's drift; it drifted if it is over its limit."""
    moved = score is not None and limit is not None and score > limit
    return ColumnDrift(column=name, role=role, method="wasserstein", score=score, limit=limit, drifted=moved)  # type: ignore[arg-type]


def write_suite(
    folder: Path, name: str, columns: list[str], *rules: tuple[str, dict[str, Any], str], key: list[str]
) -> None:
    """Write an expectation suite: these columns only, a unique key, and ``(type, kwargs, level)`` rules."""
    entries = [
        ("expect_table_columns_to_match_set", {"column_set": columns, "exact_match": True}, "table"),
        ("expect_compound_columns_to_be_unique", {"column_list": key}, "table"),
        *rules,
    ]
    listed = [{"type": kind, "kwargs": kwargs, "meta": {"level": level}} for kind, kwargs, level in entries]
    (folder / f"{name}.json").write_text(json.dumps({"name": name, "expectations": listed}))
