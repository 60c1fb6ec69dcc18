"""A history whose days are fetched and looked at together lands as if each day had come alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.installation import Installation
from bench.landing import FIRST, landed, small_days
from ml.errors import Unavailable
from ml.steps.ingest import days_ahead
from ml.steps.ingest.days_ahead import DaysAhead

Change = Callable[[pd.DataFrame], pd.DataFrame]
BROKEN: dict[tuple[str, int], Change] = {
    ("inputs", 3): lambda frame: frame.assign(temp=np.where(frame.index == 2, 4000.0, frame["temp"])),
    ("inputs", 6): lambda frame: frame.assign(temp="warm"),
    ("inputs", 7): lambda frame: frame.assign(hour=frame["hour"].astype(float)),
    ("inputs", 8): lambda frame: pd.concat([frame, frame.head(1)], ignore_index=True),
    ("inputs", 9): lambda frame: frame.drop(columns="rain"),
    ("inputs", 10): lambda frame: frame.head(3),
    ("labels", 4): lambda frame: frame.assign(hour=frame["hour"] + 100),
    ("labels", 11): lambda frame: frame.assign(rented=np.where(frame.index == 0, np.nan, frame["rented"])),
    ("labels", 12): lambda frame: frame.head(0),
}


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, date]:
    homes = [tmp_path_factory.mktemp("history") / name for name in ("together", "alone")]
    for home in homes:
        _, last = small_days(home, 16)
        for (asset, number), change in BROKEN.items():
            path = home / f"source/{asset}-{FIRST + timedelta(days=number)}.parquet"
            change(pd.read_parquet(path)).to_parquet(path, index=False)
        (home / f"source/inputs-{FIRST + timedelta(days=13)}.parquet").unlink()
    return homes[0], homes[1], last


def test_a_history_with_broken_days_lands_to_the_same_bytes_together_and_one_by_one(
    histories: tuple[Path, Path, date],
) -> None:
    together, alone, last = histories
    ours = landed(str(together), FIRST, last, True)
    theirs = landed(str(alone), FIRST, last, False)
    assert ours is not None and theirs is not None
    assert ours["rejected"] == theirs["rejected"]
    assert {text.split()[0] for text in ours["rejected"]} == {"inputs", "labels"}
    assert ours["hashes"] == theirs["hashes"]
    assert any(name.startswith("quarantine/") for name in ours["hashes"])


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record which days are fetched, with which types; the third day cannot be."""
    calls: list[Any] = []

    def fetch(asset: str, day: date, path: Path, services: Any, *, learned: Any, strict: bool, source: Any) -> None:
        calls.append((day.day, dict(learned)))
        if day.day == 3:
            raise Unavailable("the source sleeps. Next: try again")
        pd.DataFrame({"day": [str(day)], "hour": [1], "temp": [20.0]}).to_parquet(path)

    monkeypatch.setattr(days_ahead, "fetch", fetch)
    return calls


def test_days_are_fetched_once_more_of_them_each_time_and_again_once_types_were_learned(
    histories: tuple[Path, Path, date], fetched: list[Any], tmp_path: Path
) -> None:
    services = Installation(histories[0]).services()
    days = [date(2011, 1, number) for number in range(1, 20) if number != 3]
    ahead = DaysAhead(services, tmp_path, {"inputs": days})
    ahead.take("inputs", days[0], {})
    for day in days[1:]:
        ahead.take("inputs", day, {"inputs": {"temp": "float64"}})
    assert [number for number, _ in fetched] == [1, 2, *(day.day for day in days[1:])]
    assert [types for number, types in fetched if number == 2] == [{}, {"inputs": {"temp": "float64"}}]


def test_a_day_that_cannot_be_fetched_is_raised_at_its_turn(
    histories: tuple[Path, Path, date], fetched: list[Any], tmp_path: Path
) -> None:
    ahead = DaysAhead(Installation(histories[0]).services(), tmp_path, {"inputs": [date(2011, 1, n) for n in (2, 3)]})
    assert ahead.take("inputs", date(2011, 1, 2), {}).row_metrics is None
    with pytest.raises(Unavailable, match="sleeps"):
        ahead.take("inputs", date(2011, 1, 3), {})
    assert [number for number, _ in fetched] == [2, 3]


def test_a_day_that_is_taken_again_is_fetched_alone_and_what_is_ahead_stays(
    histories: tuple[Path, Path, date], fetched: list[Any], tmp_path: Path
) -> None:
    days = [date(2011, 1, number) for number in range(4, 12)]
    ahead = DaysAhead(Installation(histories[0]).services(), tmp_path, {"inputs": days})
    for day in days[:5]:
        ahead.take("inputs", day, {})
    fetched.clear()
    assert ahead.take("inputs", days[1], {}).row_metrics is None
    ahead.take("inputs", days[5], {})
    assert [number for number, _ in fetched] == [days[1].day]
