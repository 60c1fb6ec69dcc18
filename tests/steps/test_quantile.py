"""A quantile in place of a mean goes through the whole loop, judged by its pinball loss."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.steps.ingest import seed
from ml.steps.monitor import decide, measure_drift, measure_performance
from ml.steps.retrain import describe, promote
from ml.steps.score import resolve
from tests.steps.conftest import World
from tests.steps.test_regression import DAYS, FIRST, NOW, ROWS, delivered, table

UPPER = {"estimator": "sklearn.linear_model.QuantileRegressor", "args": {"quantile": 0.9, "alpha": 0.0}}
METRIC = "pinball_0.9"


@pytest.fixture
def upper(tmp_path: Path) -> World:
    """Orders of which the 0.9 quantile is asked for."""
    world = delivered(tmp_path)
    world = world.having(
        task={"quantile": 0.9},
        fit=UPPER,
        gate={
            "metric": METRIC,
            "rules": {
                "covers": {"kind": "bound", "metric": "share_below", "at_least": 0.85, "at_most": 0.95},
                "base rate": {"kind": "base_rate"},
                "champion": {"kind": "champion", "min_gain": 0.0},
                "slices": {"kind": "slices", "by": ["shop"], "max_loss": 0.5, "min_rows": 20},
                "package": {"kind": "package"},
            },
        },
    )
    seed.run(FIRST, FIRST + timedelta(days=DAYS - 1), settings=world.settings, services=world.services)
    return world


def test_a_quantile_goes_through_the_whole_loop(upper: World) -> None:
    mean = upper.having(fit={"estimator": "sklearn.linear_model.Ridge", "args": {"alpha": 1.0}})
    _, held = mean.judge()
    rules = {ruling.rule: ruling for ruling in held.verdict.rulings}
    assert held.verdict.decision == "hold"
    assert rules["covers"].passed is False and 0.4 < rules["covers"].evidence["share_below"] < 0.6

    window, judgement = upper.judge()
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons
    rules = {ruling.rule: ruling for ruling in judgement.verdict.rulings}
    assert rules["base rate"].evidence[METRIC] < rules["base rate"].evidence["base_rate"]
    assert 0.85 < rules["covers"].evidence["share_below"] < 0.95
    assert upper.run(promote, window, judgement).version == judgement.version

    version = upper.run(describe, window, judgement).version
    card = upper.services.tracking.read_file(version, "card/model_card.md", Path.read_text)
    assert "The 0.9 quantile of amount" in card and "share at or below" in card

    day = FIRST + timedelta(days=DAYS)
    upper.ingest(day, now=NOW)
    _, scoring = upper.score(day)
    served = pd.read_parquet(scoring.uri)["prediction"].to_numpy()
    assert 0.8 < np.mean(table(day)["amount"].to_numpy() <= served) < 0.98
    upper.ingest(day + timedelta(days=1), now=NOW)
    champion = upper.run(resolve, day + timedelta(days=1))
    performance = upper.run(measure_performance, champion)
    assert performance.rows == ROWS and set(performance.metrics) == {METRIC, "share_below"}
    assert upper.run(decide, champion, upper.run(measure_drift, champion), performance).action == "nothing"


def test_another_quantile_is_not_compared_with_the_champion(upper: World) -> None:
    assert upper.retrain().promoted
    fit = {**UPPER, "args": {"quantile": 0.5, "alpha": 0.0}}
    rules = {"champion": {"kind": "champion", "min_gain": 0.0}}
    median = upper.having(task={"quantile": 0.5}, fit=fit, gate={"metric": "pinball_0.5", "rules": rules})
    _, judgement = median.judge()
    assert judgement.verdict.decision == "hold"
    (rule,) = [ruling for ruling in judgement.verdict.rulings if ruling.rule == "champion"]
    assert rule.passed is None
