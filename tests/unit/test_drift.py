"""Columns have moved only if they went further than they ever did by themselves, and were measured."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.core.monitoring.drift import (
    distance,
    drift_findings,
    fewest_rows,
    importance_share,
    judge,
    method,
    never_measured,
    sample_days,
    too_few_rows,
    verdict,
    watched,
)
from ml.core.monitoring.drift_methods import HELLINGER, JENSEN_SHANNON, WASSERSTEIN
from ml.records import Limit
from ml.settings import Drift, Features, HistoryFeature, Methods
from tests.builders import column, rows

DRIFT = Drift(window_days=7, structural=("number", "carrier"), environment=("origin",))


def known(**limits: float | None) -> dict[str, Limit]:
    return {
        name: Limit(limit=limit, baseline_range=limit * 0.9, blocks=4)
        for name, limit in limits.items()
        if limit is not None
    }


class TestDistance:
    def test_a_shift_is_measured_in_standard_deviations_of_the_reference(self) -> None:
        reference = pd.Series([0.0, 2.0, 4.0])
        assert distance(reference, reference + 3) == pytest.approx(3 / np.std([0, 2, 4]))
        assert distance(reference, reference * 0 + 2) == pytest.approx((4 / 3) / np.std([0, 2, 4]))

    def test_a_constant_reference_is_not_divided_by_zero(self) -> None:
        assert distance(pd.Series([5.0, 5.0]), pd.Series([5.5])) == pytest.approx(0.5 / 0.001)

    def test_categories_by_hand(self) -> None:
        """Shares (1, 0) and (1/2, 1/2): the square root of the Jensen–Shannon divergence in nats."""
        middle = np.array([0.75, 0.25])
        divergence = 0.5 * np.log(1 / 0.75) + 0.5 * (0.5 * np.log(0.5 / middle)).sum()
        assert distance(pd.Series(["A", "A"]), pd.Series(["A", "B"])) == pytest.approx(np.sqrt(divergence))

    def test_categories_without_anything_in_common_are_as_far_as_can_be(self) -> None:
        assert distance(pd.Series(["A"]), pd.Series(["B", "C"])) == pytest.approx(np.sqrt(np.log(2)))

    @pytest.mark.parametrize("name", ["number", "carrier"])
    def test_a_column_is_no_distance_from_itself_whatever_its_order(self, name: str) -> None:
        values = rows()[name]
        assert distance(values, values.sample(frac=1, random_state=1)) == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.parametrize("name", ["number", "carrier"])
    def test_nulls_are_dropped_before(self, name: str) -> None:
        reference, current = rows()[name], rows(seed=1)[name]
        holey = pd.concat([current, pd.Series([None] * 50, dtype=current.dtype)])
        assert distance(reference, holey) == distance(reference, current)

    @pytest.mark.parametrize(
        "nothing", [pd.Series([], dtype=float), pd.Series([np.nan]), pd.Series([None], dtype="str")]
    )
    def test_a_side_without_any_value_has_no_distance(self, nothing: pd.Series) -> None:
        assert distance(nothing, rows()["number"]) is None
        assert distance(rows()["number"], nothing) is None

    @pytest.mark.parametrize(
        ("values", "name"),
        [
            (pd.Series([1, 2]), WASSERSTEIN),
            (pd.Series([1.5]), WASSERSTEIN),
            (pd.Series([1], dtype="Int64"), WASSERSTEIN),
            (pd.Series([True, False]), JENSEN_SHANNON),
            (pd.Series([True], dtype="boolean"), JENSEN_SHANNON),
            (pd.Series(["A"]), JENSEN_SHANNON),
            (pd.Series(["A"], dtype="category"), JENSEN_SHANNON),
        ],
    )
    def test_the_type_chooses_the_method(self, values: pd.Series, name: str) -> None:
        assert method(values) == name
        assert method(pd.concat([values] * 2000)) == name

    @pytest.mark.parametrize("numeric", ["wasserstein", "jensenshannon"])
    @pytest.mark.parametrize("categorical", ["jensenshannon", "hellinger"])
    def test_the_settings_choose_a_method_for_each_type(self, numeric: str, categorical: str) -> None:
        methods = Methods.model_validate({"numeric": numeric, "categorical": categorical})
        assert method(rows()["number"], methods) == numeric
        assert method(rows()["carrier"], methods) == categorical

    def test_the_hellinger_distance_by_hand(self) -> None:
        """Shares (1, 0) and (1/2, 1/2): the root of one minus the root of a half."""
        found = distance(pd.Series(["A", "A"]), pd.Series(["A", "B"]), Methods(categorical=HELLINGER))
        assert found == pytest.approx(np.sqrt(1 - np.sqrt(0.5)))

    @pytest.mark.parametrize("types", [("int64", "float64"), ("float64", "int64")])
    def test_equal_numbers_of_other_types_are_the_same_category(self, types: tuple[str, str]) -> None:
        before, now = (pd.Series([1, 2, 2]).astype(kind) for kind in types)
        assert distance(before, now, Methods(numeric=JENSEN_SHANNON)) == pytest.approx(0.0, abs=1e-12)

    def test_infinite_numbers_are_dropped_as_nulls_are(self) -> None:
        values = rows()["number"]
        assert distance(values, pd.concat([values, pd.Series([np.inf, -np.inf])])) == pytest.approx(0.0, abs=1e-12)

    def test_columns_without_a_role_are_not_watched(self) -> None:
        assert watched(DRIFT) == ["number", "carrier", "origin"]


class TestSampleDays:
    def test_each_day_keeps_the_same_share(self) -> None:
        frame = pd.concat([rows(days=[n], per_day=100 * (n + 1)) for n in range(5)], ignore_index=True)
        found = sample_days(frame, rows=300, seed=1)
        assert found.groupby("day").size().tolist() == [20, 40, 60, 80, 100]

    def test_rows_stay_whole_and_in_order_and_none_comes_twice(self) -> None:
        frame = rows()
        found = sample_days(frame, rows=50, seed=1)
        assert found.index.is_monotonic_increasing
        assert found.index.is_unique
        assert_frame_equal(found, frame.loc[found.index])

    def test_the_seed_decides(self) -> None:
        frame = rows()
        assert_frame_equal(sample_days(frame, rows=50, seed=1), sample_days(frame, rows=50, seed=1))
        assert not sample_days(frame, rows=50, seed=1).index.equals(sample_days(frame, rows=50, seed=2).index)

    @pytest.mark.parametrize("fits", [200, 201])
    def test_what_fits_is_kept_whole(self, fits: int) -> None:
        assert_frame_equal(sample_days(rows(), rows=fits, seed=1), rows())


class TestJudge:
    def drifted(self, score: float | None, limit: float | None) -> bool:
        drift = Drift(structural=("x",))
        (found,) = judge({"x": score}, {"x": WASSERSTEIN}, known(x=limit), drift)
        return found.drifted

    @pytest.mark.parametrize(("score", "limit", "expected"), [(0.11, 0.1, True), (0.1, 0.1, False), (0.05, 0.1, False)])
    def test_a_column_drifted_if_it_is_over_its_limit(self, score: float, limit: float, expected: bool) -> None:
        assert self.drifted(score, limit) is expected

    @pytest.mark.parametrize("score", [None, float("nan"), float("inf")])
    def test_a_score_that_is_none_is_never_drift(self, score: float | None) -> None:
        assert not self.drifted(score, 0.1)

    @pytest.mark.parametrize("limit", [None, float("nan"), float("inf")])
    def test_a_limit_that_is_none_is_never_drift(self, limit: float | None) -> None:
        assert not self.drifted(9.0, limit)

    @pytest.mark.parametrize("which", ["score", "limit"])
    @pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
    def test_what_is_not_finite_is_written_as_none_and_reads_as_unknown(self, which: str, value: float | None) -> None:
        facts = {"score": 0.05, "limit": 0.1} | {which: value}
        found = judge({"x": facts["score"]}, {}, known(x=facts["limit"]), Drift(structural=("x",)))
        assert getattr(found[0], which) is None
        assert verdict(found, Drift(structural=("x",)))[0] == "unknown"

    def test_every_watched_column_is_listed_with_its_role_measured_or_not(self) -> None:
        found = judge({"carrier": 0.2}, {"carrier": JENSEN_SHANNON}, known(carrier=0.1), DRIFT)
        assert [(c.column, c.role, c.method, c.drifted) for c in found] == [
            ("number", "structural", "unknown", False),
            ("carrier", "structural", JENSEN_SHANNON, True),
            ("origin", "environment", "unknown", False),
        ]

    def test_predictions_and_labels_are_judged_beside_the_columns_where_they_are_asked_for(self) -> None:
        found = judge(
            {"label": 0.3},
            {},
            known(label=0.2, prediction=0.5),
            DRIFT,
            also={"prediction": ["prediction"], "label": ["label"]},
        )
        assert [(c.column, c.role, c.drifted) for c in found[3:]] == [
            ("prediction", "prediction", False),
            ("label", "label", True),
        ]

    def test_each_column_carries_its_range_what_changed_and_what_it_is_worth(self) -> None:
        importance_shares = {"number": (0.02, True), "carrier": (0.0, False)}
        found = judge(
            {}, {}, known(number=0.1), DRIFT, importance_shares=importance_shares, changed={"number": "median 1 → 2"}
        )
        assert [(c.baseline_range, c.importance, c.matters, c.changed) for c in found] == [
            (pytest.approx(0.09), 0.02, True, "median 1 → 2"),
            (None, 0.0, False, ""),
            (None, None, None, ""),
        ]


class TestLeaning:
    FEATURES = Features(
        categorical=("carrier", "origin"), numeric=("number",), history=(HistoryFeature(by=("carrier",), days=(7, 28)),)
    )

    def test_a_column_is_worth_what_it_is_in_features_of_its_own_and_in_history(self) -> None:
        importance = {"carrier": -0.1, "history_carrier_7d": 0.02, "history_carrier_28d": 0.03, "number": 0.95}
        found = importance_share(["carrier", "number"], self.FEATURES, importance)
        assert found == {"carrier": (pytest.approx(0.05), True), "number": (0.95, True)}

    def test_what_is_next_to_nothing_of_all_importance_does_not_matter(self) -> None:
        found = importance_share(["carrier", "origin"], self.FEATURES, {"number": 1.0, "carrier": 0.01, "origin": 0.03})
        assert found == {"carrier": (0.01, False), "origin": (0.03, True)}

    def test_a_feature_of_which_no_importance_could_be_measured_is_not_taken_for_no_feature(self) -> None:
        found = importance_share(["carrier", "temp"], self.FEATURES, {"number": 1.0, "carrier": -0.1})
        assert found == {"carrier": (None, False), "temp": (0.0, False)}

    @pytest.mark.parametrize("importance", [None, {}, {"carrier": -0.1}])
    def test_without_importances_only_what_is_no_feature_is_known_not_to_matter(
        self, importance: dict[str, float] | None
    ) -> None:
        assert importance_share(["carrier", "temp"], self.FEATURES, importance) == {
            "carrier": (None, None),
            "temp": (0.0, False),
        }


class TestFindings:
    def test_structural_columns_alarm_and_everything_else_warns_the_worst_first(self) -> None:
        moved = (
            column("a", 0.2, 0.1),
            column("temp", 0.9, 0.1, role="environment"),
            column("prediction", 0.6, 0.5, role="prediction"),
            column("label", 0.3, 0.2, role="label"),
            column("calm", 0.05, 0.1),
            column("blind", None, 0.1),
        )
        assert [(f.kind, f.severity, f.column, f.at_once) for f in drift_findings(moved, DRIFT)] == [
            ("drift", "warning", "temp", False),
            ("drift", "alarm", "a", False),
            ("label_drift", "warning", "label", False),
            ("prediction_drift", "warning", "prediction", False),
        ]

    def test_labels_alarm_on_days_that_the_champion_was_not_trained_on_unless_they_may_only_warn(self) -> None:
        moved = (column("label", 0.3, 0.2, role="label"), column("prediction", 0.6, 0.5, role="prediction"))

        def severities(drift: Drift, *, are_new: bool) -> list[str]:
            return [finding.severity for finding in drift_findings(moved, drift, labels_are_new=are_new)]

        assert severities(DRIFT, are_new=True) == ["alarm", "warning"]
        assert severities(DRIFT, are_new=False) == ["warning", "warning"]
        quiet = DRIFT.model_copy(update={"labels": "warning"})
        assert severities(quiet, are_new=True) == ["warning", "warning"]

    @pytest.mark.parametrize(
        ("score", "matters", "severity"),
        [(0.2, True, "alarm"), (0.19, True, "warning"), (9.0, False, "warning"), (9.0, None, "warning")],
    )
    def test_the_environment_alarms_where_the_champion_depends_on_a_column_that_moved_far(
        self, score: float, matters: bool | None, severity: str
    ) -> None:
        moved = column("temp", score, 0.1, role="environment").model_copy(update={"matters": matters})
        (found,) = drift_findings([moved], DRIFT)
        assert found.severity == severity
        status, reason = verdict((column("a", 0.05, 0.1), moved), DRIFT)
        assert status == ("drift" if severity == "alarm" else "calm")
        assert ("temp 0.20 (limit 0.10)" in reason) == (severity == "alarm")

    def test_fewer_columns_than_count_as_drift_only_warn(self) -> None:
        (found,) = drift_findings([column("a", 0.2, 0.1)], Drift(min_drifted_columns=2))
        assert found.severity == "warning"

    def test_the_sentence_says_how_far_what_changed_and_whether_it_matters(self) -> None:
        moved = column("dest", 0.11, 0.1).model_copy(
            update={"baseline_range": 0.09, "matters": False, "changed": "ORD's share 5 % → 9 %"}
        )
        (found,) = drift_findings([moved], DRIFT)
        assert found.message == (
            "dest 0.11 (baseline range up to 0.09, limit 0.10): ORD's share 5 % → 9 %; the champion does not need it"
        )
        assert (found.score, found.limit, found.matters) == (0.11, 0.1, False)


class TestVerdict:
    CALM = (column("a", 0.05, 0.1), column("b", 0.05, 0.1))

    def test_calm_if_every_structural_column_was_measured_and_none_moved(self) -> None:
        assert verdict(self.CALM, DRIFT) == ("calm", "none of 2 structural columns moved beyond its limit")

    def test_drift_names_what_moved_the_furthest_for_its_limit_first(self) -> None:
        found = verdict((column("a", 0.9, 0.8), column("b", 0.3, 0.1), *self.CALM), DRIFT)
        assert found == (
            "drift",
            "2 of 4 structural columns moved: b 0.30 (limit 0.10), a 0.90 (limit 0.80)",
        )

    def test_the_environment_alone_is_calm_and_is_never_missed(self) -> None:
        weather = (column("temp", 9.0, 0.1, role="environment"), column("wind", None, None, role="environment"))
        assert verdict((*self.CALM, *weather), DRIFT)[0] == "calm"

    @pytest.mark.parametrize(("score", "limit"), [(None, 0.1), (0.05, None)])
    def test_unknown_if_a_structural_column_could_not_be_measured(
        self, score: float | None, limit: float | None
    ) -> None:
        found = verdict((*self.CALM, column("c", score, limit)), DRIFT)
        assert found == ("unknown", "could not be measured: c")

    def test_what_moved_is_drift_even_if_another_could_not_be_measured(self) -> None:
        assert verdict((column("a", 0.3, 0.1), column("b", None, 0.1)), DRIFT)[0] == "drift"

    def test_unknown_without_any_structural_column(self) -> None:
        assert verdict((column("temp", 9.0, 0.1, role="environment"),), DRIFT)[0] == "unknown"
        assert verdict((), DRIFT)[0] == "unknown"

    @pytest.mark.parametrize(("moved", "status"), [(1, "calm"), (2, "drift"), (3, "drift")])
    def test_as_many_must_move_as_the_settings_say(self, moved: int, status: str) -> None:
        drift = Drift(min_drifted_columns=2)
        columns = [column(str(n), 0.3 if n < moved else 0.05, 0.1) for n in range(4)]
        assert verdict(columns, drift)[0] == status


class TestFewRows:
    """A window is measured if it has half the rows of the reference's own windows."""

    @pytest.mark.parametrize(
        ("by_day", "least"),
        [((900,) * 90, 500), ((24,) * 90, 84), ((24, 24, 2000), 84), ((5,) * 90, 30), ((), 30)],
    )
    def test_how_many_rows_are_needed_follows_from_the_reference(self, by_day: tuple[int, ...], least: int) -> None:
        assert fewest_rows(Drift(window_days=7), by_day) == least

    def test_an_explicit_number_wins(self) -> None:
        assert fewest_rows(Drift(min_rows=7), (24,) * 90) == 7

    def test_the_reason_names_the_setting_or_where_the_number_comes_from(self) -> None:
        first, last = date(2024, 1, 1), date(2024, 1, 7)
        assert too_few_rows(84, first, last, Drift(), (24,) * 90) is None
        few = too_few_rows(83, first, last, Drift(), (24,) * 90)
        assert few == (
            "only 83 rows from 2024-01-01 to 2024-01-07, 84 are needed, half of what a usual window of the reference "
            "holds"
        )
        assert "drift.min_rows is 500" in (too_few_rows(168, first, last, Drift(min_rows=500), (24,) * 90) or "")

    def test_what_can_never_be_measured_says_which_numbers_would_work(self) -> None:
        assert never_measured(Drift(), (24,) * 90) == () == never_measured(Drift(min_rows=500), (900,) * 90)
        (finding,) = never_measured(Drift(min_rows=500), (24,) * 90)
        assert (finding.kind, finding.severity) == ("unmeasured_drift", "alarm")
        assert finding.message.endswith("lower drift.min_rows to 84 or leave it out, or raise drift.window_days to 21")
        (finding,) = never_measured(Drift(), (2,) * 90)
        assert finding.message.endswith("have 14 rows, and a window needs 30: raise drift.window_days to 15")
