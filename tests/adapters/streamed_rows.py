"""Rows of a made-up task, settings that fit it from files, and the rows in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tests.builders import settings

FEATURES = {"categorical": ["shop"], "numeric": ["size", "age"], "spline": [], "history": []}
DAYS = [f"2024-03-{number:02d}" for number in range(1, 13)]


def table(kind: str, rows: int = 3000) -> pd.DataFrame:
    random = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "day": np.sort(random.choice(DAYS, rows)),
            "id": np.arange(rows),
            "shop": random.choice(["north", "south", "east", None], rows),
            "size": np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows)),
            "age": random.integers(0, 90, rows),
        }
    )
    level = frame["size"].fillna(0) + (frame["shop"] == "north") + frame["age"] / 45 - 1 + random.normal(size=rows)
    outcome = {"classification": level > 0.5, "multiclass": np.digitize(level, [0, 1]), "regression": level}[kind]
    return frame.assign(y=np.asarray(outcome, dtype=float))


def declared(kind: str, estimator: str, *, stream: dict[str, Any] | None, **fit: Any) -> Any:
    task: dict[str, Any] = {"kind": kind, "target": "y", "key": ["day", "id"]}
    task |= {"classes": [0, 1, 2]} if kind == "multiclass" else {}
    metric = "rmse" if kind == "regression" else "log_loss"
    fit = {"estimator": estimator, "encoding": "ordinal", "stream": stream, **fit}
    return settings(task=task, features=FEATURES, fit=fit, gate={"metric": metric, "rules": {}})


def in_parts(frame: pd.DataFrame, rows: int) -> Any:
    def source(columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
        for first in range(0, len(frame), rows):
            part = frame.iloc[first : first + rows]
            yield part if columns is None else part[list(columns)]

    return source
