"""What a version's charts draw: the curves are scikit-learn's, the comparison is the gate's, the size is bounded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from ml.core import metrics
from ml.core.gate import holdout_curves as curves
from ml.core.gate.comparison import new_to_both, paired_gain
from ml.core.gate.holdout_charts import _margin, charts
from ml.core.gate.holdout_tables import calibration_table
from ml.core.monitoring.day_summary import plain
from ml.core.predictions import array
from ml.records import Ruling, Verdict
from ml.views import gain
from tests.builders_charts import CLASSES, holdout, settings_of, verdict

MOST_BYTES = 120_000


def drawn(kind: str, **changed: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a holdout beside what the charts draw of it, as it comes out of JSON."""
    scored, rows = holdout(kind)
    scored = scored.assign(**changed)
    task = {"classes": list(CLASSES)} if kind == "multiclass" else {}
    facts = charts(scored, rows, settings_of(kind, **task), verdict())
    return scored, json.loads(json.dumps(plain(facts), allow_nan=False))


@pytest.fixture(scope="module")
def classified() -> tuple[pd.DataFrame, dict[str, Any]]:
    return drawn("classification")


@pytest.mark.parametrize("model", ["challenger", "champion"])
def test_every_threshold_counts_what_is_decided_at_it(
    classified: tuple[pd.DataFrame, dict[str, Any]], model: str
) -> None:
    scored, facts = classified
    (side,) = facts["sides"]
    target = scored["target"] == 1
    counts = side["models"][model]["decisions"]
    for at, threshold in enumerate(side["thresholds"]):
        decided = scored[model] >= threshold
        expected = [(decided & target).sum(), (decided & ~target).sum(), (~decided & target).sum()]
        names = ("true_positives", "false_positives", "false_negatives")
        assert [counts[name][at] for name in names] == expected, threshold
        assert sum(counts[name][at] for name in counts) == len(scored)


def test_the_thresholds_tell_scores_apart_that_crowd_together() -> None:
    scores = np.linspace(0.001, 0.009, 500)
    assert ((scores.min() < curves.thresholds(scores)) & (curves.thresholds(scores) < scores.max())).sum() > 50


def test_the_curves_lie_on_those_of_scikit_learn_and_carry_its_areas(
    classified: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    scored, facts = classified
    of = facts["sides"][0]["models"]["challenger"]
    false_positive, true_positive, _ = sklearn_metrics.roc_curve(scored["target"], scored["challenger"])
    points = {(float(f"{x:.6g}"), float(f"{y:.6g}")) for x, y in zip(false_positive, true_positive, strict=True)}
    shown = list(zip(of["roc"]["false_positive_rate"], of["roc"]["true_positive_rate"], strict=True))
    assert set(shown) <= points
    assert (shown[0], shown[-1], len(shown) <= curves.POINTS) == ((0.0, 0.0), (1.0, 1.0), True)
    measured = metrics.measure(scored["target"], scored["challenger"], "classification")
    assert of["roc"]["area"] == pytest.approx(measured["roc_auc"])
    assert of["precision_recall"]["average_precision"] == pytest.approx(measured["average_precision"])
    assert of["precision_recall"]["recall"][0] == 1.0


def test_the_calibration_is_that_of_the_model_card(classified: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    scored, facts = classified
    settings = settings_of("classification")
    table = calibration_table(scored, confidence=settings.gate.confidence, seed=settings.fit.seed)
    shown = facts["sides"][0]["models"]["challenger"]["calibration"]
    for name in ("predicted", "observed", "low", "high", "rows"):
        assert shown[name] == pytest.approx(table[name].tolist(), rel=1e-5), name
    scores = facts["sides"][0]["models"]["challenger"]["scores"]
    assert sum(scores["positive"]) == scored["target"].sum()
    assert sum(scores["positive"]) + sum(scores["negative"]) == len(scored)


def test_the_gain_by_day_is_that_of_the_days_new_to_both_and_its_mean_is_the_gates(
    classified: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    scored, facts = classified
    settings = settings_of("classification")
    gate = settings.gate
    expected = paired_gain(
        new_to_both(scored), metric=gate.metric, confidence=gate.confidence,
        n_resamples=gate.bootstrap_rounds, seed=settings.fit.seed,
    )  # fmt: skip
    assert expected is not None
    paired, days = facts["paired"], facts["by_day"]
    assert (paired["gain"], paired["low"], paired["high"]) == (expected.gain, expected.low, expected.high)
    assert paired["margin"] == {"rule": "champion", "setting": "max_loss", "gain": -0.005}

    assert days["difference"][:2] == [None, None]
    weighed = zip(days["difference"][2:], days["rows"][2:], strict=True)
    mean = sum(gain * rows for gain, rows in weighed) / sum(days["rows"][2:])
    assert mean == pytest.approx(expected.gain, rel=1e-4)


def test_the_margin_of_a_refresh_is_what_would_have_tipped_it_as_in_words() -> None:
    evidence = {"posterior_gain": 0.0007, "tips_at": -0.011, "refresh_max_loss": 0.01}
    ruling = Ruling(rule="champion", kind="champion", passed=True, reason="", evidence=evidence)
    margin = _margin(Verdict(decision="promote", reasons=(), rulings=(ruling,)))
    assert margin == {"rule": "champion", "setting": "tips_at", "gain": -0.011}
    compared = gain.of(
        [ruling.model_dump() | {"comparison": {"gain": 0.0, "low": -1.0, "high": 1.0, "days": 9}}],
        settings_of("classification").gate,
    )
    assert compared is not None and compared["margin"] == -0.011


def test_slices_carry_their_gain_with_an_interval_and_their_rows(
    classified: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    scored, facts = classified
    assert {one["name"] for one in facts["slices"]} == {f"carrier = {name}" for name in ("AA", "B6", "<i>UA</i>", "DL")}
    assert sum(one["rows"] for one in facts["slices"]) == len(new_to_both(scored))
    assert all(one["low"] < one["gain"] < one["high"] for one in facts["slices"])


def test_without_a_champion_there_is_no_gain_and_everything_else() -> None:
    scored, rows = holdout("classification")
    facts = charts(
        scored.drop(columns=["champion", "champion_had_seen"]), rows, settings_of("classification"), verdict()
    )
    assert (facts["paired"], facts["by_day"]["difference"], facts["differences"]) == (None, None, None)
    assert list(facts["sides"][0]["models"]) == ["challenger"]
    assert {one["gain"] for one in facts["slices"]} == {None}
    assert all(one["value"] > 0 for one in facts["slices"])


def test_one_outcome_alone_has_no_ranking_and_still_a_threshold() -> None:
    _, facts = drawn("classification", target=0.0)
    of = facts["sides"][0]["models"]["challenger"]
    assert "roc" not in of and "precision_recall" not in of
    assert of["decisions"]["true_positives"] == [0] * len(facts["sides"][0]["thresholds"])


def test_a_regression_has_residuals_whose_rows_are_all_rows() -> None:
    scored, facts = drawn("regression")
    residuals = facts["residuals"]["challenger"]
    assert facts["sides"] == []
    assert sum(residuals["histogram"]["rows"]) == sum(residuals["by_prediction"]["rows"]) == len(scored)
    residual = scored["target"] - scored["challenger"]
    assert residuals["histogram"]["edges"][0] == pytest.approx(residual.min(), rel=1e-5)
    group = residual[scored["challenger"].rank(pct=True) > 0.95]
    assert residuals["by_prediction"]["median"][-1] == pytest.approx(group.median(), rel=1e-5)
    assert residuals["by_prediction"]["high"][-1] == pytest.approx(group.quantile(0.9), rel=1e-5)


def test_of_several_classes_each_counts_against_the_rest() -> None:
    scored, facts = drawn("multiclass")
    assert [side["name"] for side in facts["sides"]] == list(CLASSES)
    for number, side in enumerate(facts["sides"]):
        is_class = (scored["target"] == number).astype(float)
        assert side["positives"] == is_class.sum()
        area = sklearn_metrics.roc_auc_score(is_class, array(scored["challenger"])[:, number])
        assert side["models"]["challenger"]["roc"]["area"] == pytest.approx(area)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_ten_times_the_rows_are_of_the_same_size(kind: str) -> None:
    scored, rows = holdout(kind)
    many, many_rows = (pd.concat([frame] * 10, ignore_index=True) for frame in (scored, rows))
    sizes = [len(json.dumps(plain(charts(*pair, settings_of(kind), verdict()))))
             for pair in ((scored, rows), (many, many_rows))]  # fmt: skip
    assert max(sizes) < MOST_BYTES
    assert sizes[1] < 1.3 * sizes[0]
