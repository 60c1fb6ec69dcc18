"""The numbers of a model card: intervals by whole days, calibration, slices, limits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.core.gate.day_resampling import day_intervals
from ml.core.gate.holdout_tables import MOST_GROUPS, calibration_table, slice_tables
from ml.core.gate.model_limits import limits
from ml.core.metrics import calibration, measure
from tests import builders


def scored(kind: str, *, days: int = 12, per_day: int = 60, seed: int = 0, day_sd: float = 0.0) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    shared = np.repeat(chance.normal(0, day_sd, days), per_day)
    risk = np.round(1 / (1 + np.exp(-chance.normal(0, 1, days * per_day))), 2)  # rounded, so that some tie
    if kind == "classification":
        target = (chance.random(len(risk)) < np.clip(risk + shared, 0, 1)).astype(float)
    else:
        target = risk + shared + chance.normal(0, 0.1, len(risk))
    return pd.DataFrame(
        {"day": np.repeat([builders.day(n) for n in range(days)], per_day), "target": target, "challenger": risk}
    )


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_resample_is_measured_as_if_its_days_were_laid_out(kind: str) -> None:
    holdout = scored(kind)
    found = day_intervals(
        holdout, kind, confidence=0.95, seed=5, n_resamples=1
    )  # of one resample both ends are its metric
    drawn = np.random.default_rng(5).integers(0, 12, size=(1, 12))[0]
    laid_out = pd.concat(holdout.loc[holdout["day"] == builders.day(int(number))] for number in drawn)
    expected = measure(laid_out["target"], laid_out["challenger"], kind)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx((value, value), abs=1e-9), name


def test_days_that_share_their_luck_widen_the_interval() -> None:
    def width(day_sd: float) -> float:
        holdout = scored("regression", day_sd=day_sd)
        low, high = day_intervals(holdout, "regression", confidence=0.95, seed=0)["bias"]
        return high - low

    assert width(1.0) > 10 * width(0.0)


def test_an_interval_needs_two_days_and_a_ranking_two_classes() -> None:
    assert day_intervals(scored("classification", days=1), "classification", confidence=0.95, seed=0) == {}
    one_class = scored("classification").assign(target=1.0)
    found = day_intervals(one_class, "classification", confidence=0.95, seed=0)
    assert "roc_auc" not in found and "average_precision" not in found and "log_loss" in found


def test_the_calibration_table_is_that_of_the_metrics_with_an_interval() -> None:
    holdout = scored("classification")
    table = calibration_table(holdout, confidence=0.95, seed=0)
    expected = calibration(holdout["target"], holdout["challenger"])
    pd.testing.assert_frame_equal(table[["predicted", "observed", "rows"]], expected[["predicted", "observed", "rows"]])
    assert (table["low"] < table["observed"]).all() and (table["observed"] < table["high"]).all()


def sliced(rows: pd.DataFrame, holdout: pd.DataFrame, **sections: object):
    rules = {"slices": {"kind": "slices", "by": ["carrier", "number > 0", "absent"], "max_loss": 0.1}}
    return slice_tables(rows, holdout, builders.settings(**{"gate": {"rules": rules}, **sections}))


def test_slices_are_those_of_the_gate_largest_first_and_a_wrong_one_says_why() -> None:
    letters = "ABCDEFGHIJKL"
    rows = builders.rows(days=12, per_day=60, carriers=letters)
    holdout = scored("classification")
    carriers, sign, wrong = sliced(rows, holdout)
    sizes = [found.rows for found in carriers.slices]
    assert len(sizes) == MOST_GROUPS and sizes == sorted(sizes, reverse=True)
    assert carriers.left_out == len(letters) - MOST_GROUPS and sum(sizes) + carriers.left_out_rows == len(rows)
    assert {found.name for found in sign.slices} == {"number > 0", "not (number > 0)"}
    assert wrong.slices == () and "absent" in str(wrong.problem)
    largest = carriers.slices[0]
    inside = holdout.loc[(rows["carrier"] == largest.name.removeprefix("carrier = ")).to_numpy()]
    assert largest.observed == pytest.approx(inside["target"].mean()) and largest.gain is None


def test_a_gain_by_slice_leaves_out_the_days_that_the_champion_was_trained_on() -> None:
    holdout = scored("classification").assign(champion=0.5)
    old = holdout["day"] < builders.day(6)
    flattered = holdout.assign(champion_had_seen=old, champion=holdout["champion"].where(~old, holdout["target"]))
    honest = holdout.loc[~old].reset_index(drop=True)
    rows = builders.rows(days=12, per_day=60, carriers="A")
    (found, *_), (expected, *_) = sliced(rows, flattered), sliced(rows.loc[~old].reset_index(drop=True), honest)
    assert found.slices[0].gain == pytest.approx(expected.slices[0].gain)


def test_without_a_rule_the_categorical_features_are_cut_and_tables_that_differ_are_refused() -> None:
    rows, holdout = builders.rows(days=12, per_day=60), scored("classification")
    plain = builders.settings(features={"categorical": ["origin"]})
    assert [table.by for table in slice_tables(rows, holdout, plain)] == ["origin"]
    with pytest.raises(ValueError, match="720 rows and its predictions 719"):
        slice_tables(rows, holdout.head(719), plain)


def test_limits_are_counted_from_the_run() -> None:
    train, holdout = builders.rows(days=30, carriers="AB"), builders.rows(days=range(30, 40), carriers="ABZ")
    settings = builders.settings(
        features={"categorical": ["carrier"], "numeric": ["number"]}, drift={"environment": ["number"]}
    )
    predictions = holdout[["day"]].assign(champion_had_seen=holdout["day"] < builders.day(33))
    said = "\n".join(limits(train, holdout, predictions, settings, unlabelled="7 rows have no outcome."))
    unseen = int((holdout["carrier"] == "Z").sum())
    assert "fitted on 30 days" in said and "holdout of 10 days" in said
    assert f"{unseen} holdout rows" in said
    assert "1 of its 2 features belong to the environment (number)" in said
    assert "trained on 3 of the holdout's days" in said and "7 rows have no outcome." in said
