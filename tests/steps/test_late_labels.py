"""Labels that come late, never, or are corrected: training sees of them what serving saw, to the last bit."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.adapters.workspace import write_parquet
from ml.core.data.days import days_between
from ml.core.training.lagged_means import history_names
from ml.records import Window
from ml.steps.labelled_rows import labelled_rows
from ml.steps.retrain import pull, split
from ml.steps.score.scorer import aggregates_of
from tests.steps.conftest import REQUEST, World

FIRST, LAST = date(2025, 1, 1), date(2025, 2, 9)
SCORED = days_between(FIRST + timedelta(days=15), LAST)
LATENESS = (0, 1, 2, 5, None, 0, 0)
"""By how many days labels come later than they are due; None: never."""
PARAMS: dict[str, Any] = {
    "task": {"name": "late", "kind": "regression", "target": "cost", "key": ["day", "id"], "label_delay_days": 1},
    "source": {"kind": "files", "inputs": "inputs/{day}.parquet", "labels": "labels/{day}.parquet"},
    "pull": {"min_days": 14},
    "split": {"holdout_days": 5},
    "gate": {"metric": "rmse", "min_days": 3, "rules": {}},
    "features": {
        "numeric": ["size"],
        "history": [{"by": [], "days": [1, 7]}, {"by": ["shop"], "days": [3, 7], "prior_rows": 5}],
    },
    "fit": {"estimator": "sklearn.linear_model.Ridge"},
}


def table(day: date) -> pd.DataFrame:
    chance = np.random.default_rng(day.toordinal())
    return pd.DataFrame(
        {
            "day": day.isoformat(),
            "id": np.arange(30),
            "shop": chance.choice(["north", "south", "east"], 30),
            "size": chance.normal(size=30),
            "cost": chance.gamma(2.0, 30.0, size=30),
        }
    )


class Run:
    """A registry that grows day by day, and what each day saw when it was scored."""

    def __init__(self, home: Path, lateness: tuple[int | None, ...] = LATENESS) -> None:
        self.world, self.lateness, self.home = World(home, PARAMS), lateness, home
        home.mkdir()
        self.world.services.registry.create()
        self.served: dict[date, pd.DataFrame] = {}
        for day in days_between(FIRST, LAST + timedelta(days=1)):
            self.partition(day)

    def put(self, asset: str, day: date, frame: pd.DataFrame, partition: date) -> None:
        path = self.home / f"{asset}.parquet"
        write_parquet(frame, path)
        self.world.services.registry.commit(
            {(asset, day): path},  # type: ignore[dict-item]
            message=f"Add partition {partition}",
            arrived={day: partition},
        )

    def partition(self, day: date) -> None:
        if day <= LAST:
            self.put("inputs", day, table(day).drop(columns="cost"), day)
        for number, label_day in enumerate(days_between(FIRST, LAST)):
            late = self.lateness[number % len(self.lateness)]
            if late is not None and label_day + timedelta(days=1 + late) == day:
                self.put("labels", label_day, table(label_day)[["day", "id", "cost"]], day)
        if day in SCORED:
            self.served[day] = self.seen(day)

    def seen(self, day: date) -> pd.DataFrame:
        """Compute the history features of a day as *predict* does, from what the registry holds now."""
        services, settings = self.world.services, self.world.settings
        inputs = table(day).drop(columns="cost")
        return aggregates_of(settings, day, day, services, rev=None).add_to(inputs).set_index("id")

    def trained(self) -> tuple[Window, pd.DataFrame]:
        window = self.world.run(pull, REQUEST)
        self.world.run(split, window)
        place = self.world.services.workspace(window.workspace)
        return window, pd.concat([place.read_table(f"parts/{part}.parquet") for part in ("train", "holdout")])

    def assert_trained_as_served(self) -> int:
        names = history_names(self.world.settings.features.history)
        _, rows = self.trained()
        compared = 0
        for day, served in self.served.items():
            today = rows.loc[rows["day"] == day.isoformat()].set_index("id")
            assert_frame_equal(today[names], served.loc[today.index, names], check_exact=True)
            compared += len(today)
        return compared


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("late") / "home")


def test_what_is_trained_on_is_what_was_served(run: Run) -> None:
    assert run.assert_trained_as_served() > 500


def test_a_day_that_is_scored_again_later_sees_what_it_saw_at_first(run: Run) -> None:
    for day in SCORED[::5]:
        assert_frame_equal(run.seen(day), run.served[day], check_exact=True)


def test_the_champion_is_asked_about_the_holdout_by_what_it_would_have_seen(run: Run) -> None:
    first, last = SCORED[-5], SCORED[-1]
    settings, services = run.world.settings, run.world.services
    labelled = sorted(services.registry.days("labels").keys() & set(days_between(first, last)))
    found = labelled_rows(labelled, settings, services, rev=services.registry.head())
    assert len(labelled) >= 3
    for day in labelled:
        today = found.loc[found["day"] == day.isoformat()].set_index("id")
        names = history_names(settings.features.history)
        assert_frame_equal(today[names], run.served[day].loc[today.index, names], check_exact=True)


def test_the_same_data_have_the_same_fingerprint_and_other_arrivals_another(run: Run, tmp_path: Path) -> None:
    window, _ = run.trained()
    assert run.trained()[0].fingerprint == window.fingerprint
    late = Run(tmp_path / "late", (0, 1, 2, 5, 5, 0, 0)).trained()[0]
    on_time = Run(tmp_path / "on-time", (0,)).trained()[0]
    assert len({window.fingerprint, late.fingerprint, on_time.fingerprint}) == 3
    facts = [Run_world.services.workspace(found.workspace).read_json("data/window.json")
             for Run_world, found in ((World(tmp_path / "on-time", PARAMS), on_time), (run.world, window))]  # fmt: skip
    assert "seen" not in facts[0] and facts[1]["seen"]


def test_a_correction_reaches_the_target_and_the_days_after_it_but_not_those_before(tmp_path: Path) -> None:
    found = Run(tmp_path / "home", (0, 1))
    day, corrected = SCORED[4], SCORED[7]
    other = table(day)[["day", "id", "cost"]].assign(cost=500.0)
    found.put("labels", day, other, corrected)
    for later in days_between(corrected, LAST):  # they are scored after the correction
        found.served[later] = found.seen(later)
    assert found.served[SCORED[8]]["history_all_7d"].iloc[0] > found.seen(SCORED[6])["history_all_7d"].iloc[0] + 30
    assert found.assert_trained_as_served() > 500
    _, rows = found.trained()
    assert set(rows.loc[rows["day"] == day.isoformat(), "cost"]) == {500.0}


def test_where_the_corrected_labels_are_lost_the_present_ones_stand_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = Run(tmp_path / "home", (0,))
    day = SCORED[4]
    md5 = found.world.services.registry.days("labels")[day].md5
    found.put("labels", day, table(day)[["day", "id", "cost"]].assign(cost=500.0), SCORED[7])
    for path in (tmp_path / "home").rglob(md5[2:]):
        path.unlink()
    found.trained()
    assert f"labels of {day} (md5 {md5}) are not in" in caplog.text


def test_a_backtest_of_the_registry_knows_labels_from_the_partition_on_that_brought_them(run: Run) -> None:
    from ml.backtest.fits import Fits, Training
    from ml.backtest.landing import build
    from ml.backtest.screening import Screened
    from ml.backtest.sources import open_source

    class NoContracts:
        def screen(self, asset: str, day: date, path: Path, **_: Any) -> Screened:
            return Screened(pd.read_parquet(path), 0, "", f"{asset} {day}")

    services, settings = run.world.services, run.world.settings
    world = build(open_source("registry", services), FIRST, LAST, services=services, screens=NoContracts())  # type: ignore[arg-type]
    history = settings.features.history
    names = history_names(history)
    training = Training(tuple(day for day in SCORED if day in world.arrived), tuple(
        day for day in sorted(world.arrived) if day < SCORED[0]))  # fmt: skip
    fitted_on = Fits(world, run.home / "fits", "code").rows(training, settings)
    for day in SCORED:
        seen = world.seen_on(day, history).set_index("id")
        assert_frame_equal(seen[names], run.served[day][names], check_exact=True)
        today = fitted_on.loc[fitted_on["day"] == day.isoformat()].set_index("id")
        assert_frame_equal(today[names], seen.loc[today.index, names], check_exact=True)
