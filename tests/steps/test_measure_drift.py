"""What a day's check finds beside Evidently's distances: what broke, what moved on either end, what it matters."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.adapters.sources.demo import DemoSource
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.records import DriftReport, Finding
from ml.steps.monitor import measure_drift
from ml.steps.score import resolve
from tests.steps.conftest import LAST_DAY, NEXT_DAY, Contest, World

DEMO = DemoSource(replay=False)
WEEK_LATER = NEXT_DAY + timedelta(days=6)


def bring(world: World, last: date, fault: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame) -> None:
    """Bring the days up to ``last`` into the registry, the last of them with a fault that no contract caught."""
    days = [NEXT_DAY + timedelta(days=n) for n in range((last - NEXT_DAY).days + 1)]
    frames = {("inputs", day): DEMO.inputs(day) for day in days}
    world.put({**frames, ("inputs", last): fault(frames["inputs", last])})


def watch(world: World, day: date) -> DriftReport:
    report: DriftReport = world.run(measure_drift, world.run(resolve, day))
    return report


def of_kind(report: DriftReport, kind: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind == kind]


def monitoring(world: World) -> Path:
    """Find where the champion's monitoring files lie."""
    (found,) = {path.parent for path in (world.home / "mlflow").rglob("monitoring/limits.json")}
    return found


def rewrite(path: Path, facts: Any) -> None:
    path.write_text(json.dumps(facts))


class TestKeptWithAVersion:
    def test_limits_profiles_and_predictions_lie_beside_the_reference(self, trained: World) -> None:
        folder = monitoring(trained)
        limits = json.loads((folder / "limits.json").read_text())
        watched = {*trained.settings.drift.structural, *trained.settings.drift.environment}
        assert set(limits) == watched | {"prediction", "label"}
        assert limits["prediction"]["limit"] >= trained.settings.drift.min_prediction_distance
        assert set(json.loads((folder / "profiles.json").read_text())) == watched

    def test_predictions_are_of_days_that_their_fit_had_not_seen(self, contest: Contest) -> None:
        world, place = contest.world, contest.world.services.workspace(contest.window.workspace)
        found, train = place.read_table("monitoring/predictions.parquet"), place.read_table("parts/train.parquet")
        holdout = place.read_table("evaluation/holdout.parquet")
        newest = found.loc[found["day"] >= holdout["day"].min()]
        assert newest["prediction"].to_numpy() == pytest.approx(holdout["challenger"].to_numpy())
        assert found["day"].is_monotonic_increasing
        folded = found.loc[found["day"] < holdout["day"].min()]
        assert train["day"].min() < folded["day"].min() and folded["day"].max() == train["day"].max()
        rows = train.loc[train["day"] >= folded["day"].min()]
        assert folded["target"].to_numpy() == pytest.approx(rows["late"].to_numpy(dtype=float))
        with place.local("model/pipeline.skops") as path:
            from ml.adapters import models

            inside = predict(models.load(path), matrix(rows, world.settings.features), "classification")
        assert np.abs(inside - folded["prediction"].to_numpy()).mean() > 0.005  # the candidate has seen these days

    def test_a_refit_starts_from_the_predictions_of_the_version_that_was_judged(self, contest: Contest) -> None:
        from ml.steps.retrain import refit

        world = contest.world.having(retrain={"refit": "after_gate", "refit_max_difference": 0.2})
        found = world.run(refit, contest.window, contest.judgement)
        assert found.version != contest.judgement.version

        def read(version: int) -> pd.DataFrame:
            table: pd.DataFrame = world.services.tracking.read_file(
                version, "monitoring", lambda folder: pd.read_parquet(folder / "predictions.parquet")
            )
            return table

        pd.testing.assert_frame_equal(read(found.version), read(contest.judgement.version))


class TestWhatBroke:
    def test_an_airport_that_is_missing_alarms_on_its_first_day(self, trained: World) -> None:
        bring(trained, WEEK_LATER, lambda frame: frame[frame["origin"] != "JFK"])
        report = watch(trained, WEEK_LATER)
        (gone,) = of_kind(report, "vanished_category")
        assert (gone.column, gone.severity, gone.at_once) == ("origin", "alarm", True)
        assert report.status == "drift" and "origin: JFK is gone" in report.reason

    def test_nulls_in_the_weather_warn_and_alarm_where_the_champion_leans_on_them(self, trained: World) -> None:
        card = monitoring(trained).parent / "card"
        card.mkdir()
        rewrite(card / "importance.json", {"features": [{"feature": "visib", "increase": 0.9, "sd": 0.0}]})
        bring(trained, NEXT_DAY, lambda frame: frame.assign(temp=np.nan, visib=np.nan))
        report = watch(trained, NEXT_DAY)
        assert {(f.column, f.severity, f.matters) for f in of_kind(report, "null_share")} == {
            ("temp", "warning", False),
            ("visib", "alarm", True),
        }
        columns = {column.column: column for column in report.columns}
        assert (columns["visib"].importance, columns["visib"].matters) == (0.9, True)
        assert (columns["temp"].importance, columns["temp"].matters) == (0.0, False)
        assert columns["carrier"].matters is False  # of no importance beside the other

    def test_another_unit_of_the_weather_alarms_on_its_first_day_where_the_champion_uses_it(
        self, trained: World
    ) -> None:
        card = monitoring(trained).parent / "card"
        card.mkdir()
        rewrite(card / "importance.json", {"features": [{"feature": "visib", "increase": 0.9, "sd": 0.0}]})
        bring(trained, NEXT_DAY, lambda frame: frame.assign(visib=frame["visib"] * 5, temp=frame["temp"] + 300))
        report = watch(trained, NEXT_DAY)
        found = {(f.column, f.severity, f.at_once) for f in of_kind(report, "out_of_range")}
        assert found == {("visib", "alarm", True), ("temp", "warning", True)}
        assert report.status == "drift" and "visib: on" in report.reason

    def test_what_broke_is_found_where_the_window_is_too_short_to_be_measured(self, trained: World) -> None:
        bring(trained, NEXT_DAY, lambda frame: frame.assign(origin="ZZZ"))
        report = watch(trained.having(drift={"min_rows": 100_000}), NEXT_DAY)
        assert {finding.kind for finding in report.findings} >= {"new_category", "vanished_category"}
        assert report.status == "drift" and "drift.min_rows is 100000" in report.reason
        assert report.columns == ()


class TestEitherEnd:
    def ends(self, report: DriftReport) -> dict[str, Any]:
        return {column.role: column for column in report.columns if column.role in ("prediction", "label")}

    def test_predictions_and_labels_are_followed_and_alarm_high(self, trained_on_whole_days: World) -> None:
        trained = trained_on_whole_days
        day = NEXT_DAY + timedelta(days=2)
        bring(trained, day)
        trained.put({("labels", each): DEMO.labels(each) for each in (LAST_DAY, NEXT_DAY)})
        for each in (NEXT_DAY, NEXT_DAY + timedelta(days=1)):
            trained.score(each)
        found = self.ends(watch(trained, day))
        assert found["prediction"].score < found["prediction"].limit
        assert found["label"].score < found["label"].limit
        assert found["label"].changed == "" or found["label"].changed.startswith("rate ")

        folder = monitoring(trained)
        limits = json.loads((folder / "limits.json").read_text())
        tight = {name: limits[name] | {"limit": 1e-6} for name in ("prediction", "label")}
        rewrite(folder / "limits.json", limits | tight)
        report = watch(trained, day)
        both = [f for f in report.findings if f.kind in ("prediction_drift", "label_drift")]
        assert {(f.column, f.severity) for f in both} == {("prediction", "warning"), ("label", "warning")}
        assert report.status == "calm"

    def test_the_models_own_predictions_count_not_adapted_ones(self, trained: World) -> None:
        day = NEXT_DAY + timedelta(days=1)
        bring(trained, day)
        trained.score(NEXT_DAY)
        plain = self.ends(watch(trained, day))["prediction"].score
        stored, name = trained.services.storage_folder(f"predictions/day={NEXT_DAY}"), "version=1.parquet"
        served = stored.read_table(name)
        stored.write_table(name, served.assign(raw_prediction=served["prediction"], prediction=0.99))
        assert self.ends(watch(trained, day))["prediction"].score == plain

    def test_too_few_predictions_read_as_unknown_and_those_of_the_day_itself_are_not_read(self, trained: World) -> None:
        bring(trained, NEXT_DAY)
        before = watch(trained, NEXT_DAY)
        trained.score(NEXT_DAY)
        after = watch(trained, NEXT_DAY)
        assert before == after
        assert self.ends(after)["prediction"].score is None
        assert not self.ends(after)["prediction"].drifted


class TestMissingPredictions:
    def test_a_day_that_a_champion_should_have_scored_is_named(self, trained: World) -> None:
        last = NEXT_DAY + timedelta(days=2)
        bring(trained, last)
        trained.score(NEXT_DAY)
        (found,) = of_kind(watch(trained, last), "missing_predictions")
        assert str(NEXT_DAY + timedelta(days=1)) in found.message
        assert str(NEXT_DAY) not in found.message and str(last) not in found.message
        trained.score(NEXT_DAY + timedelta(days=1))
        assert of_kind(watch(trained, last), "missing_predictions") == []

    def test_days_before_the_first_champion_are_nobodys(self, trained: World) -> None:
        bring(trained, NEXT_DAY)
        assert of_kind(watch(trained, NEXT_DAY), "missing_predictions") == []


def test_how_each_column_was_distributed_is_kept_beside_the_report(trained: World) -> None:
    bring(trained, NEXT_DAY, lambda frame: frame.assign(carrier="ZZ"))
    report = watch(trained, NEXT_DAY)
    stored = trained.services.storage_folder(f"monitor/day={NEXT_DAY}")
    columns = stored.read_json("version=1/distributions.json")["columns"]
    assert set(columns) == {column.column for column in report.columns if column.score is not None}
    carrier = columns["carrier"]
    assert carrier["came"][0][0] == "ZZ" and carrier["rows"]["current"] == report.current_rows
    assert carrier["rows"]["reference"] <= trained.settings.drift.reference_rows
    assert sum(columns["temp"]["bins"]["reference"]) == pytest.approx(1, abs=1e-3)


def test_evidently_sees_a_bounded_sample_that_is_drawn_alike_each_time(trained: World) -> None:
    bring(trained, NEXT_DAY)
    small = trained.having(drift={"reference_rows": 500})
    once = watch(small, NEXT_DAY)
    assert 400 < once.current_rows < 600
    assert watch(small, NEXT_DAY) == once
