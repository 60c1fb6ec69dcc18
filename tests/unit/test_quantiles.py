"""A quantile is measured by its pinball loss, beside its own constant, and never as if it were a mean."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_pinball_loss

from ml.backtest import measures
from ml.core import gate, predictions
from ml.core.built_in_metrics import of_name
from ml.core.gate import gate_evidence
from ml.core.gate.day_resampling import day_intervals
from ml.core.metrics import find, label, measure, measured_of, row_loss
from ml.core.monitoring.performance import assess, expected
from ml.core.training import estimators
from ml.core.training.lineage import same_recipe
from ml.errors import SettingsError
from ml.settings import METRICS, Settings
from ml.views import charts
from tests import builders

UPPER = 0.9
REGRESSOR = {"estimator": "sklearn.linear_model.QuantileRegressor", "args": {"quantile": UPPER}}
NORMAL_90 = 1.2815515655446004


def given(quantile: float | None = UPPER, **sections: Any) -> Settings:
    return builders.settings(
        **{
            "task": {"kind": "regression", "quantile": quantile},
            "fit": REGRESSOR,
            "gate": {"metric": "pinball_0.9", "min_rows": 10, "rules": {"base rate": {"kind": "base_rate"}}},
            **sections,
        }
    )


def said(**sections: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        given(**sections)
    return str(caught.value)


def outcomes(*, days: int = 14, per_day: int = 200, seed: int = 0) -> pd.DataFrame:
    """Build rows of which ``number`` is the mean, with normal noise around it."""
    chance = np.random.default_rng(seed)
    number = chance.normal(size=days * per_day)
    day = np.repeat([builders.day(at) for at in range(days)], per_day)
    return pd.DataFrame({"day": day, "number": number, "target": 5 * number + chance.normal(size=days * per_day)})


class TestMetric:
    @pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9, 0.975])
    def test_it_is_scikit_learns(self, quantile: float) -> None:
        rows = outcomes()
        found = measure(rows["target"], 5 * rows["number"], "regression", quantile)
        reference = mean_pinball_loss(rows["target"], 5 * rows["number"], alpha=quantile)
        assert found[f"pinball_{quantile:g}"] == pytest.approx(reference)
        assert set(found) == {f"pinball_{quantile:g}", "share_below"}

    def test_of_constants_that_of_the_base_rate_costs_least(self) -> None:
        target = outcomes()["target"].to_numpy()
        chosen = predictions.base_rate(target, given().task)
        assert np.mean(target <= chosen) == pytest.approx(UPPER, abs=0.001)

        def loss(constant: float) -> float:
            return float(row_loss(target, np.full(len(target), constant), "pinball_0.9").mean())

        assert all(loss(chosen) <= loss(chosen + apart) for apart in (-1.0, -0.05, 0.05, 1.0))
        assert loss(chosen) < loss(float(target.mean())) * 0.7

    def test_a_share_beyond_any_doubt_is_counted(self) -> None:
        assert measure([1.0, 2.0, 3.0, 4.0], [1.0, 2.5, 2.5, 9.0], "regression", 0.5)["share_below"] == 0.75

    @pytest.mark.parametrize(
        "name", ["pinball_", "pinball_0", "pinball_1", "pinball_0.90", "pinball_nan", "pinbal_0.9"]
    )
    def test_what_names_no_quantile_is_no_metric(self, name: str) -> None:
        assert of_name(name) is None
        with pytest.raises(SettingsError, match="is not a metric"):
            find(name)

    def test_it_is_found_by_name_and_not_listed(self) -> None:
        assert find("pinball_0.9").is_loss and label("pinball_0.9") == "pinball loss of 0.9"
        assert not any(name.startswith("pinball") for name in METRICS.names())
        assert "pinball_0.9" not in {metric.name for metric in measured_of("regression")}

    def test_it_has_an_interval_of_whole_days_and_of_weeks(self) -> None:
        rows = outcomes(days=28)
        rows = rows.assign(prediction=5 * rows["number"] + NORMAL_90, challenger=5 * rows["number"] + NORMAL_90)
        by_day = day_intervals(rows, "regression", confidence=0.95, seed=0, quantile=UPPER)
        low, high = by_day["share_below"]
        assert low < UPPER < high and high - low < 0.05
        by_week = measures.measured(rows, "regression", quantile=UPPER)
        assert list(by_week) == ["pinball_0.9", "share_below"]
        assert (by_week["pinball_0.9"].low or 0) < by_week["pinball_0.9"].value < (by_week["pinball_0.9"].high or 0)


class TestSettings:
    def test_the_metric_of_the_quantile_is_the_one_that_judges(self) -> None:
        assert given().gate.metric == "pinball_0.9"
        assert "use one of ['pinball_0.9']" in said(gate={"metric": "rmse"})
        assert "use one of ['pinball_0.9']" in said(gate={"metric": "pinball_0.8"})
        assert "use one of ['pinball_0.9']" in said(gate={"metric": "share_below"})

    def test_without_a_quantile_no_pinball_loss_judges(self) -> None:
        assert "declare it as task.quantile" in said(task={"kind": "regression"})

    def test_rules_name_what_is_measured_of_a_quantile(self) -> None:
        bound = {"kind": "bound", "metric": "share_below", "at_least": 0.85, "at_most": 0.95}
        assert given(gate={"metric": "pinball_0.9", "rules": {"covers": bound}}).gate.rules
        message = said(gate={"metric": "pinball_0.9", "rules": {"covers": {**bound, "metric": "r2"}}})
        assert "does not measure: r2" in message and "share_below" in message

    @pytest.mark.parametrize("quantile", [0.0, 1.0, -0.1, 0.12345678])
    def test_it_lies_between_0_and_1(self, quantile: float) -> None:
        assert "task.quantile" in said(quantile=quantile) or "six digits" in said(quantile=quantile)

    def test_classes_have_no_quantile(self) -> None:
        message = said(task={"kind": "classification", "quantile": 0.5})
        assert "quantile is of numbers" in message and "classification" in message

    def test_scores_that_follow_the_mean_are_refused(self) -> None:
        assert "score.adapt" in said(score={"adapt": "intercept"})

    @pytest.mark.parametrize(
        ("estimator", "args"),
        [
            ("sklearn.linear_model.QuantileRegressor", {"quantile": 0.8}),
            ("sklearn.linear_model.QuantileRegressor", {}),
            ("sklearn.ensemble.HistGradientBoostingRegressor", {"loss": "quantile", "quantile": 0.1}),
            ("sklearn.ensemble.GradientBoostingRegressor", {"loss": "quantile", "alpha": 0.95}),
            ("lightgbm.LGBMRegressor", {"objective": "quantile", "alpha": 0.5}),
            ("xgboost.XGBRegressor", {"objective": "reg:quantileerror", "quantile_alpha": 0.5}),
        ],
    )
    def test_an_estimator_of_another_quantile_is_refused(self, estimator: str, args: dict[str, Any]) -> None:
        settings = given(fit={"estimator": estimator, "args": args})
        with pytest.raises(SettingsError, match=r"task\.quantile is 0\.9"):
            estimators.build(settings.task, settings.features, settings.fit)

    @pytest.mark.parametrize(
        ("estimator", "args"),
        [
            ("sklearn.linear_model.QuantileRegressor", {"quantile": 0.9}),
            ("sklearn.ensemble.HistGradientBoostingRegressor", {"loss": "quantile", "quantile": 0.9}),
            ("sklearn.ensemble.GradientBoostingRegressor", {"loss": "quantile", "alpha": 0.9}),
            ("sklearn.linear_model.Ridge", {"alpha": 1.0}),  # whatever it predicts, the gate finds out
        ],
    )
    def test_an_estimator_of_this_quantile_is_taken(self, estimator: str, args: dict[str, Any]) -> None:
        settings = given(fit={"estimator": estimator, "args": args})
        assert estimators.build(settings.task, settings.features, settings.fit)

    def test_another_quantile_is_another_recipe(self) -> None:
        other = given(0.8, fit={**REGRESSOR, "args": {"quantile": 0.8}}, gate={"metric": "pinball_0.8"})
        assert same_recipe(given(), given()) and not same_recipe(given(), other)


class TestGate:
    def evidence(self, challenger: np.ndarray, champion: np.ndarray | None = None) -> gate.Evidence:
        settings, rows = given(), outcomes()
        train = outcomes(seed=1).rename(columns={"target": "late"})
        scored = gate_evidence.scored_holdout(train, rows.rename(columns={"target": "late"}), challenger, settings)
        if champion is not None:
            scored = gate_evidence.with_champion(scored, champion, trained_until="2012-12-31")
        return gate_evidence.collect(
            scored,
            rows,
            gate_evidence.measure(scored, settings),
            settings,
            against_champion=champion is not None,
            refresh=False,
            leakage=None,
            when_judged={},
            blocked=False,
        )

    def test_the_upper_quantile_wins_over_the_mean_though_its_squared_error_is_larger(self) -> None:
        mean = 5 * outcomes()["number"].to_numpy()
        found = self.evidence(mean + NORMAL_90, champion=mean)
        assert found.comparison is not None and found.comparison.low > 0.05
        assert self.evidence(mean, champion=mean + NORMAL_90).comparison.high < -0.05  # type: ignore[union-attr]

    def test_the_base_rate_is_the_quantile_of_training(self) -> None:
        number, settings = outcomes()["number"].to_numpy(), given()
        good = gate.decide(settings.gate, self.evidence(5 * number + NORMAL_90))
        (rule,) = [ruling for ruling in good.rulings if ruling.rule == "base rate"]
        assert good.decision == "promote" and rule.evidence["pinball_0.9"] < rule.evidence["base_rate"]
        nothing = gate.decide(settings.gate, self.evidence(np.full(len(number), 0.0)))
        assert nothing.decision == "hold" and "base rate" in nothing.reasons[0]


class TestLive:
    def live(self, off_by: float) -> Any:
        settings = given()
        rows = outcomes(seed=3).assign(version=1)
        rows = rows.assign(prediction=5 * rows["number"] + NORMAL_90 + off_by)
        holdout = outcomes(seed=4)
        holdout = holdout.assign(challenger=5 * holdout["number"] + NORMAL_90, base_rate=6.5)
        return assess(date(2013, 1, 15), 1, rows, [], expected=expected(holdout, settings), settings=settings)

    def test_a_quantile_that_holds_is_fine(self) -> None:
        found = self.live(0.0)
        assert (found.status, found.findings) == ("fine", ())
        assert found.window["gap"].value == pytest.approx(0.0, abs=0.02)
        assert found.window["share_below"].value == pytest.approx(UPPER, abs=0.02)
        assert found.expected["pinball_0.9"] == pytest.approx(found.window["pinball_0.9"].value, rel=0.1)

    def test_outcomes_that_are_above_it_too_often_are_decay(self) -> None:
        found = self.live(-0.8)
        assert found.status == "decay"
        assert "of the outcomes are at or below what version 1 predicts" in found.findings[0].message
        assert "task.quantile is 0.9" in found.findings[0].message
        (finding,) = found.findings
        assert (finding.kind, finding.severity, finding.matters) == ("decay", "alarm", True)
        assert (finding.score, finding.limit) == (round(found.window["gap"].value, 6), 0.07)

    def test_the_page_names_the_gap_of_a_quantile(self) -> None:
        summary = self.live(0.0).model_dump(mode="json")
        figures = {figure["name"]: figure for figure in charts.figures(summary, metric="pinball_0.9")}
        assert list(figures)[:3] == ["pinball_0.9", "gap", "skill"]
        assert figures["gap"]["label"] == "share of outcomes at or below the prediction minus the quantile"
        assert figures["pinball_0.9"]["better"] == "lower"
