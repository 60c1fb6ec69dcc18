"""Three classes on somebody's own files, through the whole loop: landed, trained, judged, served and monitored."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.errors import DataRejected
from ml.records import RetrainRequest
from ml.steps.ingest import seed
from ml.steps.monitor import compare_with_previous, decide, measure_drift, measure_performance
from ml.steps.retrain import describe, promote, pull, refit
from ml.steps.score import resolve, shadow
from tests.builders import write_suite
from tests.steps.conftest import World

FIRST = date(2024, 1, 1)
DAYS = 24
NOW = datetime(2024, 3, 1, tzinfo=UTC)
ROWS = 150
KEY = ["day", "parcel"]
CLASSES = ["early", "on time", "late"]
PROBABILITIES = [f"probability_{label}" for label in CLASSES]


def table(day: date, *, late: float = 0.0) -> pd.DataFrame:
    """Build 150 parcels of a day; whether one is late follows from the way and the depot, with luck."""
    random = np.random.default_rng(day.toordinal())
    way, depot = random.gamma(2.0, 2.0, ROWS), random.choice(["north", "south"], ROWS)
    score = way + np.where(depot == "south", 1.5, 0.0) + random.normal(0, 1.0, ROWS) + late
    came = np.select([score < 3.0, score < 6.0], CLASSES[:2], CLASSES[2])
    columns = {"day": day.isoformat(), "parcel": np.arange(ROWS), "depot": depot, "way": way, "came": came}
    return pd.DataFrame(columns)


def expectations(folder: Path) -> None:
    def share(column: str) -> tuple[str, dict[str, Any], str]:
        return "expect_column_values_to_be_between", {"column": column, "min_value": 0, "max_value": 1}, "table"

    suite = partial(write_suite, folder, key=KEY)
    folder.mkdir()
    suite("inputs", [*KEY, "depot", "way"])
    suite("labels", [*KEY, "came"])
    suite("window", [*KEY, "depot", "way", "came"])
    count = ("expect_table_row_count_to_equal", {"value": {"$PARAMETER": "expected_rows"}}, "table")
    known = ("expect_column_values_to_be_in_set", {"column": "decision", "value_set": CLASSES}, "table")
    predicted = [*KEY, *PROBABILITIES, "decision", "model_version"]
    suite("predictions", predicted, count, known, *map(share, PROBABILITIES))


def deliver(folder: Path, day: date, frame: pd.DataFrame) -> None:
    frame.drop(columns="came").to_parquet(folder / f"inputs-{day}.parquet")
    frame[[*KEY, "came"]].to_parquet(folder / f"labels-{day}.parquet")


def delivered(tmp_path: Path, **sections: Mapping[str, Any]) -> World:
    home, folder = tmp_path / "home", tmp_path / "delivered"
    home.mkdir()
    folder.mkdir()
    expectations(home / "expectations")
    for day in (FIRST + timedelta(days=n) for n in range(DAYS + 12)):
        deliver(folder, day, table(day))
    params = {
        "task": {
            "name": "parcels", "kind": "multiclass", "target": "came", "classes": CLASSES, "key": KEY,
            "label_delay_days": 1,
        },
        "source": {
            "kind": "files",
            "inputs": str(folder / "inputs-{day}.parquet"),
            "labels": str(folder / "labels-{day}.parquet"),
        },
        "pull": {"min_days": 15},
        "split": {"holdout_days": 8},
        "features": {
            "categorical": ["depot"], "numeric": ["way"], "min_category_rows": 10,
            "history": [{"by": [], "days": [7], "of": "late"}, {"by": ["depot"], "days": [3], "of": "early"}],
        },
        "fit": {"estimator": "sklearn.linear_model.LogisticRegression", "args": {"C": 1.0}},
        "gate": {
            "min_rows": 200,
            "bootstrap_rounds": 400,
            "rules": {
                "ranks": {"kind": "bound", "metric": "roc_auc", "at_least": 0.7},
                "hits": {"kind": "bound", "metric": "balanced_accuracy", "at_least": 0.5},
                "base rate": {"kind": "base_rate"},
                "champion": {"kind": "champion", "min_gain": 0.0, "refresh_max_loss": 0.05},
                "slices": {"kind": "slices", "by": ["depot"], "max_loss": 0.5, "min_rows": 20},
                "gaps": {"kind": "slice_gap", "by": "depot", "metric": "accuracy", "max_gap": 0.3},
                "calibration": {"kind": "calibration", "max_error": 0.2, "max_gap": 0.2},
                "leakage": {"kind": "leakage", "max_single_feature": 0.98, "max_skill_gain": 1.0},
                "package": {"kind": "package"},
            },
        },
        "drift": {"structural": ["depot", "way"], "min_rows": 200, "min_distance": 0.2},
        "performance": {"min_days": 3, "window_days": 7},
        "retrain": {"refit": "after_gate"},
        "score": {"batch_rows": 50},
    }  # fmt: skip
    return World(home, params).having(**sections)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    """Make a world with the data, and one in which version 1 serves, of the judged model itself."""
    world = delivered(tmp_path_factory.mktemp("parcels"))
    seed.run(FIRST, FIRST + timedelta(days=DAYS - 1), settings=world.settings, services=world.services)
    world.services.tracking.alias("champion")  # which makes its database
    trained = world.copied_to(tmp_path_factory.mktemp("trained") / "home").having(retrain={"refit": "never"})
    assert trained.retrain().promoted
    return world, trained


def own(world: World, tmp_path: Path) -> World:
    """Copy a world, and what is delivered to it."""
    shutil.copytree(Path(world.params["source"]["inputs"]).parent, tmp_path / "delivered")
    patterns = {name: str(tmp_path / "delivered" / f"{name}-{{day}}.parquet") for name in ("inputs", "labels")}
    return world.copied_to(tmp_path / "home").having(source={"kind": "files", **patterns})


@pytest.fixture
def parcels(once: tuple[World, World], tmp_path: Path) -> World:
    return own(once[0], tmp_path)


@pytest.fixture
def trained(once: tuple[World, World], tmp_path: Path) -> World:
    return own(once[1], tmp_path)


def served(world: World, first: int, last: int) -> None:
    for day in (FIRST + timedelta(days=number) for number in range(first, last + 1)):
        world.ingest(day, now=NOW)
        world.score(day)


def test_three_classes_go_through_the_whole_loop(parcels: World) -> None:
    window, judgement = parcels.judge()
    rules = {ruling.rule: ruling for ruling in judgement.verdict.rulings}
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons
    assert all(ruling.passed for ruling in rules.values())
    assert rules["base rate"].evidence["log_loss"] < rules["base rate"].evidence["base_rate"] - 0.2
    judgement = parcels.run(refit, window, judgement)
    assert parcels.run(promote, window, judgement).version == 2
    parcels.run(describe, window, judgement)
    text = parcels.services.tracking.read_file(2, "card/model_card.md", Path.read_text)
    assert "The probability of each came: early, on time, late; the most probable is decided." in text
    assert "share of late of 7 earlier days" in text and "share decided" in text

    day = FIRST + timedelta(days=DAYS)
    served(parcels, DAYS, DAYS)
    found = pd.read_parquet(Path(parcels.services.storage.root) / f"predictions/day={day}/version=2.parquet")
    assert list(found.columns) == [*KEY, *PROBABILITIES, "decision", "model_version"]
    np.testing.assert_allclose(found[PROBABILITIES].sum(axis=1), 1.0)
    decided = found[PROBABILITIES].to_numpy().argmax(axis=1)
    assert found["decision"].tolist() == [CLASSES[number] for number in decided]
    assert (found["decision"] == table(day)["came"]).mean() > 0.6

    served(parcels, DAYS + 1, DAYS + 5)
    champion = parcels.run(resolve, FIRST + timedelta(days=DAYS + 5))
    drift = parcels.run(measure_drift, champion)
    assert drift.status == "calm", drift.reason
    columns = {column.column: column for column in drift.columns}
    assert {"label", *PROBABILITIES} <= set(columns)
    assert columns["label"].method == "jensenshannon"
    assert all(columns[name].role == "prediction" and columns[name].score is not None for name in PROBABILITIES)
    performance = parcels.run(measure_performance, champion)
    assert performance.status == "fine", performance.reason
    assert {"log_loss", "accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "brier"} <= set(performance.metrics)
    assert {"gap", "skill", *(f"gap of {label}" for label in CLASSES)} <= set(performance.window)
    assert set(performance.window) == set(performance.expected)
    assert performance.estimate_reason and (performance.estimated is None or performance.estimated_low is not None)
    assert parcels.run(decide, champion, drift, performance).action == "nothing"


def test_a_challenger_is_compared_with_the_champion_and_with_the_one_before(parcels: World) -> None:
    weak = parcels.having(
        features={"categorical": ["depot"], "numeric": [], "history": []},
        gate={"rules": {"base rate": {"kind": "base_rate"}}},
        retrain={"refit": "never"},
    )
    assert weak.retrain().promoted
    world = parcels.having(retrain={"refit": "never"})
    window, judgement = world.judge()
    (rule,) = [ruling for ruling in judgement.verdict.rulings if ruling.rule == "champion"]
    assert rule.passed and rule.comparison is not None and rule.comparison.gain > 0.1
    assert world.run(promote, window, judgement).previous_version == 1
    last = DAYS + 7
    for number in range(DAYS, last + 1):
        served(world, number, number)
        world.run(shadow, world.run(resolve, FIRST + timedelta(days=number)))
    comparison = world.run(compare_with_previous, world.run(resolve, FIRST + timedelta(days=last)))
    assert comparison.gain is not None and comparison.gain < -0.1, comparison.reason


def test_a_class_that_is_predicted_too_seldom_is_decay_and_is_named(trained: World, tmp_path: Path) -> None:
    for number in range(DAYS, DAYS + 7):
        day = FIRST + timedelta(days=number)
        deliver(tmp_path / "delivered", day, table(day, late=2.5))
    served(trained, DAYS, DAYS + 6)
    performance = trained.run(measure_performance, trained.run(resolve, FIRST + timedelta(days=DAYS + 6)))
    assert performance.status == "decay"
    (finding,) = [finding for finding in performance.findings if finding.kind == "decay" and "too" in finding.message]
    assert finding.message.startswith("version 1 predicts early 0.") and "too high on average" in finding.message
    assert performance.window["gap of late"].high < 0 < performance.window["gap of early"].low  # type: ignore[operator]


def test_a_label_that_is_none_of_the_classes_is_rejected_by_name(parcels: World, tmp_path: Path) -> None:
    day = FIRST + timedelta(days=DAYS)
    frame = table(day)
    frame.loc[3, "came"] = "lost"
    deliver(tmp_path / "delivered", day, frame)
    parcels.ingest(day, now=NOW)
    ingested = parcels.ingest(day + timedelta(days=1), now=NOW)
    (rejection,) = [found for found in ingested.rejected if found.asset == "labels"]
    assert "'lost' is none of task.classes ('early', 'on time', 'late')" in rejection.reason
    parcels.put({("labels", day): frame[[*KEY, "came"]]})
    with pytest.raises(DataRejected, match="'lost' is none of task.classes"):
        parcels.run(pull, RetrainRequest(requested_by="a test", reasons=("to see",)))


def test_other_classes_than_those_it_was_trained_on_cannot_be_measured(trained: World) -> None:
    served(trained, DAYS, DAYS + 5)
    other = trained.having(task={"classes": ["late", "on time", "early"]})
    champion = other.run(resolve, FIRST + timedelta(days=DAYS + 5))
    drift, performance = other.run(measure_drift, champion), other.run(measure_performance, champion)
    assert not {"label", *PROBABILITIES} & {column.column for column in drift.columns}
    assert performance.expected == {} and performance.status == "unknown"
    _, evaluation = other.train()
    assert evaluation.champion is None, "their columns mean other classes: the gate holds"


def test_classes_that_are_added_or_retired_stop_no_day_from_being_judged(parcels: World) -> None:
    first, second, third = (FIRST + timedelta(days=DAYS + n) for n in range(3))
    folder = Path(parcels.params["source"]["inputs"]).parent
    frame = table(first)
    deliver(folder, first, frame.assign(came=frame["came"].where(frame["parcel"] > 4, "lost")))
    parcels.ingest(first, now=NOW)
    wider = parcels.having(task={"classes": [*CLASSES, "lost"]})
    assert wider.ingest(second, now=NOW).rejected == ()
    assert first in wider.services.registry.days("labels")
    assert parcels.ingest(third, now=NOW).rejected == ()
    assert second in parcels.services.registry.days("labels")
