"""A regression task on somebody's own files, with contracts of their own, through the whole loop."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.steps.ingest import seed
from ml.steps.monitor import decide, measure_drift, measure_performance
from ml.steps.score import resolve
from tests.builders import write_suite
from tests.steps.conftest import World

FIRST = date(2024, 1, 1)
DAYS = 24
NOW = datetime(2024, 3, 1, tzinfo=UTC)
ROWS = 120
KEY = ["day", "order"]


def table(day: date) -> pd.DataFrame:
    """120 orders of a day: the amount follows from the weight and the shop, with noise."""
    random = np.random.default_rng(day.toordinal())
    weight, shop = random.gamma(2.0, 3.0, ROWS), random.choice(["north", "south", "web"], ROWS)
    price = pd.Series(shop).map({"north": 2.0, "south": 5.0, "web": 9.0}).to_numpy()
    amount = 3.0 * weight + price + random.normal(0, 1.0, ROWS)
    columns = {"day": day.isoformat(), "order": np.arange(ROWS), "shop": shop, "weight": weight, "amount": amount}
    return pd.DataFrame(columns)


def expectations(folder: Path) -> None:
    def between(column: str, low: float, high: float) -> tuple[str, dict[str, Any], str]:
        return "expect_column_values_to_be_between", {"column": column, "min_value": low, "max_value": high}, "row"

    suite = partial(write_suite, folder, key=KEY)
    folder.mkdir()
    suite("inputs", [*KEY, "shop", "weight"], between("weight", 0, 1000))
    suite("labels", [*KEY, "amount"], ("expect_column_values_to_not_be_null", {"column": "amount"}, "row"))
    suite("window", [*KEY, "shop", "weight", "amount"])
    count = ("expect_table_row_count_to_equal", {"value": {"$PARAMETER": "expected_rows"}}, "table")
    known = ("expect_column_values_to_not_be_null", {"column": "prediction"}, "table")
    suite("predictions", [*KEY, "prediction", "model_version"], count, known)


def deliver(folder: Path, day: date, frame: pd.DataFrame) -> None:
    frame.drop(columns="amount").to_parquet(folder / f"inputs-{day}.parquet")
    frame[[*KEY, "amount"]].to_parquet(folder / f"labels-{day}.parquet")


def delivered(tmp_path: Path, *, every_days: int = 1, days: int = DAYS + 2) -> World:
    """Deliver orders of so many days, one in ``every_days``, to a world that has not landed any of them."""
    home, folder = tmp_path / "home", tmp_path / "delivered"
    home.mkdir()
    folder.mkdir()
    expectations(home / "expectations")
    for day in (FIRST + timedelta(days=n * every_days) for n in range(days)):
        deliver(folder, day, table(day))
    params = {
        "task": {
            "name": "orders", "kind": "regression", "target": "amount", "key": KEY, "label_delay_days": 1,
        },
        "source": {
            "kind": "files",
            "inputs": str(folder / "inputs-{day}.parquet"),
            "labels": str(folder / "labels-{day}.parquet"),
        },
        "pull": {"min_days": 15},
        "split": {"holdout_days": 8},
        "features": {
            "categorical": ["shop"], "numeric": ["weight"], "min_category_rows": 10,
            "history": [{"by": [], "days": [7]}, {"by": ["shop"], "days": [3]}],
        },
        "fit": {"estimator": "sklearn.linear_model.Ridge", "args": {"alpha": 1.0}},
        "gate": {
            "metric": "rmse", "min_rows": 200,
            "rules": {
                "explains": {"kind": "bound", "metric": "r2", "at_least": 0.5},
                "base rate": {"kind": "base_rate"},
                "champion": {"kind": "champion", "min_gain": 0.0},
                "slices": {"kind": "slices", "by": ["shop"], "max_loss": 0.5, "min_rows": 20},
                "leakage": {"kind": "leakage", "max_single_feature": 0.99},
                "package": {"kind": "package"},
            },
        },
        "drift": {"structural": ["shop", "weight"], "min_rows": 200, "min_distance": 0.2},
        "score": {"batch_rows": 50},
    }  # fmt: skip
    return World(home, params)


@pytest.fixture
def orders(tmp_path: Path) -> World:
    world = delivered(tmp_path)
    services = world.services
    seed.run(FIRST, FIRST + timedelta(days=DAYS - 1), settings=world.settings, services=services)
    return world


def test_a_regression_goes_through_the_whole_loop(orders: World) -> None:
    window, judgement = orders.judge()
    rules = {ruling.rule: ruling for ruling in judgement.verdict.rulings}
    assert judgement.verdict.decision == "promote"
    assert set(rules) == {"explains", "base rate", "champion", "slices", "leakage", "package", "holdout size"}
    assert rules["base rate"].evidence["rmse"] < rules["base rate"].evidence["base_rate"]
    from ml.steps.retrain import promote

    assert orders.run(promote, window, judgement).version == 1

    day = FIRST + timedelta(days=DAYS)
    assert orders.ingest(day, now=NOW).rows == ROWS
    _, scoring = orders.score(day)
    found = pd.read_parquet(scoring.uri)
    assert list(found.columns) == [*KEY, "prediction", "model_version"]
    truth = table(day)["amount"].to_numpy()
    assert np.sqrt(np.mean((found["prediction"] - truth) ** 2)) < 2.0

    champion = orders.run(resolve, day)
    drift = orders.run(measure_drift, champion)
    assert drift.status == "calm", drift.reason
    performance = orders.run(measure_performance, champion)
    assert orders.run(decide, champion, drift, performance).action == "nothing"
    orders.ingest(day + timedelta(days=1), now=NOW)
    performance = orders.run(measure_performance, orders.run(resolve, day + timedelta(days=1)))
    assert performance.rows == ROWS
    assert set(performance.metrics) == {"rmse", "mae", "bias", "r2"}

    signature = json.loads(orders.services.tracking.read_file(1, "lineage/lineage.json", Path.read_text))
    assert signature["settings"]["task"]["kind"] == "regression"


def test_a_challenger_of_a_regression_is_compared_by_squared_error(orders: World) -> None:
    weak = {
        "features": {"categorical": ["shop"], "numeric": [], "history": []},
        "gate": {"rules": {"base rate": {"kind": "base_rate"}}},
    }
    assert orders.having(**weak).retrain().promoted
    window, judgement = orders.judge()
    (rule,) = [ruling for ruling in judgement.verdict.rulings if ruling.rule == "champion"]
    assert rule.passed and "mean squared error" in rule.reason
    from ml.steps.retrain import promote

    promotion = orders.run(promote, window, judgement)
    assert (promotion.version, promotion.previous_version) == (2, 1)


def test_boosted_trees_are_judged_served_watched_and_described(orders: World) -> None:
    from ml.steps.retrain import describe, promote
    from ml.steps.score import shadow

    weak = orders.having(
        features={"categorical": ["shop"], "numeric": [], "history": []},
        fit={"estimator": "lightgbm.LGBMRegressor", "args": {"n_estimators": 20}},
        gate={"rules": {"base rate": {"kind": "base_rate"}}},
    )
    assert weak.retrain().promoted
    fit = {"estimator": "xgboost.XGBRegressor", "args": {"n_estimators": 40, "max_depth": 4}, "encoding": "ordinal"}
    leakage = {"kind": "leakage", "max_single_feature": 0.99, "max_skill_gain": 1.0}
    boosted = orders.having(fit=fit, gate={"rules": {**orders.params["gate"]["rules"], "leakage": leakage}})
    window, judgement = boosted.judge()
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons
    (packaged,) = [ruling for ruling in judgement.verdict.rulings if ruling.rule == "package"]
    assert packaged.passed and packaged.evidence["ms_per_1000_rows"] > 0
    promotion = boosted.run(promote, window, judgement)
    assert promotion.version == 2
    day = FIRST + timedelta(days=DAYS)
    boosted.ingest(day, now=NOW)
    champion, scoring = boosted.score(day)
    again = boosted.score(day)[1]
    assert scoring.sha256 == again.sha256
    truth = table(day)["amount"].to_numpy()
    assert np.sqrt(np.mean((pd.read_parquet(scoring.uri)["prediction"] - truth) ** 2)) < 3.0
    assert boosted.run(shadow, champion).versions == (1,)
    assert boosted.run(measure_drift, champion).status == "calm"
    card = boosted.run(describe, window, judgement)
    importance = boosted.services.workspace(window.workspace).read_json("card/importance.json")
    assert (card.version, len(importance["features"])) == (2, 4)
    assert importance["features"][0]["feature"] == "weight"
