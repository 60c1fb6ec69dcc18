"""The demo's days with a quarter of their flights, for tests that live through whole days: a training takes half."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import pandas as pd
import pytest

from ml.adapters.sources import demo

ALL = demo._flights


@lru_cache(maxsize=1)
def a_quarter() -> pd.DataFrame:
    """Give the flights of every fourth number, and count anew how many are planned for an hour."""
    rows = ALL()
    rows = rows[rows["flight"] % 4 == 3].reset_index(drop=True)
    planned = rows.groupby(["day", "origin", rows["sched_dep_minute"] // 60])["flight"].transform("size")
    return rows.assign(flights_planned=planned.astype("int64"))


@contextmanager
def serving(flights: Callable[[], pd.DataFrame]) -> Iterator[None]:
    """Let these be the demo's flights in this process; processes that a test starts have all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "_flights", flights)
        yield


@pytest.fixture(scope="package", autouse=True)
def a_quarter_of_the_flights() -> Iterator[None]:
    with serving(a_quarter):
        yield


@pytest.fixture
def all_flights(a_quarter_of_the_flights: None) -> Iterator[None]:
    with serving(ALL):
        yield
