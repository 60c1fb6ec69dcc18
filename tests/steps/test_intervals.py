"""Prediction intervals of a regression: calibrated on the holdout, published, exported and served alike."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.adapters import layout
from ml.champions import recorded_models
from ml.core.monitoring import day_summary
from ml.core.training.intervals import calibrate
from ml.errors import MissingArtifact
from ml.serving import request_log
from ml.steps.ingest import seed
from ml.steps.monitor import decide, measure_drift, measure_performance
from ml.steps.retrain import describe, promote, refit
from ml.steps.score import export, plan, resolve
from tests.steps.conftest import World
from tests.steps.test_regression import DAYS, FIRST, KEY, NOW, ROWS, deliver, delivered, table
from tests.steps.test_serving import Asked, as_records

RIDGE: dict[str, Any] = {"estimator": "sklearn.linear_model.Ridge", "args": {"alpha": 1.0}}
INTERVALS = {"coverage": 0.8}
DAY = FIRST + timedelta(days=DAYS)
COLUMNS = [*KEY, "prediction", "prediction_lower", "prediction_upper", "model_version"]


def seeded(world: World) -> World:
    seed.run(FIRST, FIRST + timedelta(days=DAYS - 1), settings=world.settings, services=world.services)
    return world


@pytest.fixture
def orders(tmp_path: Path) -> World:
    """Orders whose amount is predicted with intervals."""
    return seeded(delivered(tmp_path).having(fit={**RIDGE, "intervals": INTERVALS}))


def published(world: World) -> pd.DataFrame:
    _, scoring = world.score(DAY)
    return pd.read_parquet(scoring.uri)


def test_what_is_published_exported_and_served_has_the_ends_of_its_interval(
    orders: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert orders.retrain().promoted
    orders.ingest(DAY, now=NOW)
    batch = published(orders)
    assert list(batch.columns) == COLUMNS
    half_width = recorded_models.recorded(1, orders.services).interval.half_width  # type: ignore[union-attr]
    assert (batch["prediction_lower"] == batch["prediction"] - half_width).all()
    assert (batch["prediction_upper"] == batch["prediction"] + half_width).all()
    truth = table(DAY)["amount"]
    assert 0.65 < truth.between(batch["prediction_lower"], batch["prediction_upper"]).mean() < 0.95

    cut = orders.having(score={"batch_rows": 50, "rows_per_shard": 50})
    assert len(cut.run(plan, cut.run(resolve, DAY)).shards) > 1
    pd.testing.assert_frame_equal(published(cut), batch, check_exact=True)

    service = Asked(orders)
    answers = service.post(as_records(orders.held("inputs", DAY))).json()["predictions"]
    assert [set(row) for row in answers] == [{"value", "lower", "upper"}] * ROWS
    for name, column in (("value", "prediction"), ("lower", "prediction_lower"), ("upper", "prediction_upper")):
        assert [row[name] for row in answers] == batch[column].tolist()
    described = service.client.get("/openapi.json", headers=service.headers).json()
    answer = described["paths"]["/v1/models/orders:predict"]["post"]["responses"]["200"]["content"]
    row = answer["application/json"]["schema"]["properties"]["predictions"]["items"]["properties"]
    assert "holds the outcome in 0.8 of the rows" in row["lower"]["description"] and "upper" in row
    service.model.log.flush()
    logged = request_log.read(service.services, DAY).sort_values("order", ignore_index=True)
    assert logged["prediction_upper"].tolist() == batch["prediction_upper"].tolist()

    monkeypatch.setenv("EVERGREEN_CONNECTION_SERVING", f"sqlite:///{tmp_path / 'serving.db'}")
    sink = orders.having(score={"sink": {"database": "serving", "table": "predictions"}})
    sink.run(export, DAY, 1)
    with closing(sqlite3.connect(tmp_path / "serving.db")) as database:
        rows = pd.read_sql('SELECT * FROM predictions ORDER BY "order"', database)
    assert rows["prediction_lower"].tolist() == batch["prediction_lower"].tolist()

    monkeypatch.setattr(type(service.services.tracking), "alias", _down)
    copied = Asked(orders)  # a service that starts without MLflow answers from its copy, intervals included
    assert copied.ready().get("from_copy")
    again = copied.post(as_records(orders.held("inputs", DAY))).json()["predictions"]
    assert again == answers


def _down(*_: Any) -> None:
    from ml.errors import Unavailable

    raise Unavailable("MLflow does not answer")


def test_scores_that_are_adapted_take_their_interval_along(orders: World) -> None:
    adapted = orders.having(score={"adapt": "intercept", "adapt_max_shift": 5.0})
    assert adapted.retrain().promoted
    adapted.ingest(DAY, now=NOW)
    batch = published(adapted)
    assert list(batch.columns) == [*COLUMNS[:-1], "raw_prediction", "model_version"]
    width = batch["prediction_upper"] - batch["prediction_lower"]
    assert np.allclose(width, width.iloc[0]) and (batch["prediction"] > batch["prediction_lower"]).all()


def test_a_refit_has_the_interval_of_the_model_that_was_judged(orders: World) -> None:
    world = orders.having(retrain={"refit": "after_gate", "refit_max_difference": 0.2})
    window, judgement = world.judge()
    refitted = world.run(refit, window, judgement)
    assert (refitted.judged_version, refitted.version) == (1, 2)
    assert world.run(promote, window, refitted).version == 2
    records = [recorded_models.recorded(version, world.services).interval for version in (1, 2)]
    scored = world.services.workspace(window.workspace).read_table("evaluation/holdout.parquet")
    declared = world.settings.fit.intervals
    assert declared is not None
    assert records == [calibrate(scored, declared)] * 2
    assert records[0].rows == len(scored) and records[0].days == 8  # type: ignore[union-attr]
    assert world.services.tracking.version_tags(2)["interval_coverage"] == "0.8"
    world.ingest(DAY, now=NOW)
    batch = published(world)
    assert np.allclose(batch["prediction_upper"] - batch["prediction"], records[0].half_width)  # type: ignore[union-attr]

    version = world.run(describe, window, refitted).version
    card = world.services.tracking.read_file(version, "card/model_card.md", Path.read_text)
    section = card.split("Prediction intervals")[1].split("\n## ")[0]
    assert "80%" in section and "960 rows of 8 days" in section
    assert f"{records[0].half_width:.4f}" in section  # type: ignore[union-attr]


def test_live_coverage_is_measured_and_too_little_of_it_is_an_alarm(orders: World, monkeypatch: Any) -> None:
    """Outcomes begin to scatter three times as much, around the same mean: only the intervals are wrong."""
    performance = {"window_days": 8, "min_days": 5, "max_gap": 5.0, "max_lost_skill": 100.0}
    world = orders.having(performance=performance, gate={**orders.params["gate"], "min_days": 5})
    assert world.retrain().promoted
    folder = Path(world.params["source"]["inputs"]).parent
    days = [DAY + timedelta(days=n) for n in range(8)]

    def wild(day: date) -> pd.DataFrame:
        frame = table(day)
        price = frame["shop"].map({"north": 2.0, "south": 5.0, "web": 9.0})
        mean = 3.0 * frame["weight"] + price
        return frame.assign(amount=mean + 3.0 * (frame["amount"] - mean))

    def reported(upto: date) -> tuple[Any, Any]:
        champion = world.run(resolve, upto)
        performance = world.run(measure_performance, champion)
        return performance, world.run(decide, champion, world.run(measure_drift, champion), performance)

    for day in days:
        deliver(folder, day, wild(day))
        world.ingest(day, now=NOW)
        world.score(day)
    report, decision = reported(days[-1])
    (finding,) = [finding for finding in report.findings if finding.kind == "interval_coverage"]
    assert report.expected["interval_coverage"] == 0.8
    assert finding.score == report.window["interval_coverage"].value < 0.5
    assert any(finding.kind == "interval_coverage" for finding in decision.findings)
    summary = day_summary.read(
        (world.home / "storage" / layout.monitoring.day_dir(days[-1]) / layout.monitoring.SUMMARY).read_bytes()
    )
    assert summary["performance"]["window"]["interval_coverage"]["value"] == finding.score


def test_intervals_come_with_the_next_training_and_go_with_the_one_that_has_none(orders: World) -> None:
    without = orders.having(fit={**RIDGE, "intervals": None})
    assert without.retrain().version == 1
    orders.ingest(DAY, now=NOW)
    assert list(published(orders).columns) == [*KEY, "prediction", "model_version"]
    assert set(Asked(orders).post(as_records(orders.held("inputs", DAY))[:1]).json()["predictions"][0]) == {"value"}

    window, judgement = orders.judge()
    assert (window.seen_before, judgement.version) == (False, 2)
    assert recorded_models.recorded(2, orders.services).interval is not None


def test_a_version_whose_width_is_not_recorded_scores_nothing(orders: World) -> None:
    assert orders.retrain().promoted
    orders.ingest(DAY, now=NOW)
    run_id = orders.services.tracking.version_tags(1)["run_id"]
    (orders.home / "storage" / layout.champions.model_record("registered", 1, run_id)).unlink()
    with pytest.raises(MissingArtifact, match="storage records no width of them"):
        orders.score(DAY)
