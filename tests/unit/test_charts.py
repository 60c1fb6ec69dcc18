"""What the overview page draws follows from what was kept, whatever is missing, old or broken."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ml.core.monitoring import day_summary, health
from ml.core.monitoring.day_summary import Day, Facts
from ml.core.monitoring.health import Freshness
from ml.records import ColumnDrift, Decision, DriftReport, Finding, Interval, LivePerformance, Logged
from ml.settings import Gate
from ml.views import charts, decision_view
from tests import builders

DAY = date(2013, 6, 20)
FRESH = Freshness("fresh", 0, "as due")


def later(days: int) -> date:
    return DAY + timedelta(days=days)


def column(name: str = "carrier", score: float | None = 0.3, limit: float | None = 0.2, **more: Any) -> ColumnDrift:
    facts = {"role": "structural", "method": "jensenshannon", "drifted": False} | more
    return ColumnDrift(column=name, score=score, limit=limit, **facts)  # type: ignore[arg-type]


def drift(day: date = DAY, *columns: ColumnDrift, version: int = 3, status: str = "calm", **more: Any) -> DriftReport:
    return DriftReport.model_validate(
        {"day": day, "status": status, "champion_version": version, "reason": "nothing moved", "report_uri": "there"}
        | {"columns": columns or (column(),)}
        | more
    )


def live(
    day: date = DAY, *, version: int = 3, labelled: date | None = None, metric: str = "log_loss"
) -> LivePerformance:
    return LivePerformance(
        day=day,
        labelled_day=labelled or day - timedelta(days=1),
        rows=940,
        metrics={metric: 0.51},
        reason="the gap is small",
        champion_version=version,
        status="fine",
        window={metric: Interval(value=0.5, low=0.47, high=0.53), "gap": Interval(value=0.02)},
        expected={metric: 0.49, "skill": 0.05},
    )


def decided(day: date = DAY, state: str = "calm", **more: Any) -> Decision:
    facts = {"action": "nothing", "reasons": ("all is well",), "alarm": state == "alarm", "champion_version": 3}
    return Decision.model_validate({"day": day, "state": state} | facts | more)


def monitored(day: date = DAY, state: str = "calm", *columns: ColumnDrift, version: int = 3) -> Day:
    decision = decided(day, state, champion_version=version)
    return Day(day, day_summary.summarise(decision, drift(day, *columns, version=version), live(day, version=version)))


def logged(kind: str, day: date = DAY, *, key: str = "", effective: date | None = None, **payload: Any) -> Logged:
    return Logged(
        decision_id=key or f"{kind} of {day}",
        kind=kind,
        decided_at=datetime(day.year, day.month, day.day, 6, tzinfo=UTC),
        fingerprint=payload.pop("fingerprint", None),
        effective_day=effective,
        payload=payload,
    )


def promoted(version: int, day: date, over: int | None = None, **more: Any) -> Logged:
    facts = {"version": version, "previous_version": over, "window_last_day": str(day - timedelta(days=2))}
    return logged("promotion", day, effective=day, fingerprint=f"print {version}", **facts | more)


def ruling(rule: str, passed: bool | None, *, kind: str = "bound", **facts: Any) -> dict[str, Any]:
    typed = {"comparison": facts.pop("comparison", None), "slices": facts.pop("slices", None)}
    return {"rule": rule, "kind": kind, "passed": passed, "evidence": facts, "reason": f"{rule} said so", **typed}


class TestDaybook:
    def test_a_summary_survives_its_file(self) -> None:
        facts = day_summary.summarise(decided(), drift(), live())
        assert day_summary.read(day_summary.text(facts).encode()) == facts

    def test_a_summary_of_25_columns_is_a_few_kilobytes(self) -> None:
        columns = [column(f"a_rather_long_column_name_{n}") for n in range(25)]
        assert len(day_summary.text(day_summary.summarise(decided(), drift(DAY, *columns), live()))) < 6000

    def test_no_number_that_json_does_not_know_gets_in(self) -> None:
        performance = live().model_copy(update={"metrics": {"log_loss": math.nan}, "estimated": math.inf})
        facts = day_summary.summarise(decided(), drift(DAY, column(score=math.nan)), performance)
        json.dumps(facts, allow_nan=False)
        assert facts["performance"]["metrics"]["log_loss"] is None
        assert day_summary.columns(facts["drift"])[0][day_summary.COLUMN.index("score")] is None

    def test_a_day_without_drift_or_performance_is_a_day_all_the_same(self) -> None:
        facts = day_summary.summarise(decided(), None, None)
        assert (facts["drift"], facts["performance"], facts["state"]) == (None, None, "calm")

    @pytest.mark.parametrize("broken", [b"", b"[]", b"{}", b'{"shape": 99}', b'{"shape"', b"\xff\xfe"])
    def test_what_is_no_summary_is_refused(self, broken: bytes) -> None:
        with pytest.raises(ValueError):
            day_summary.read(broken)


class TestStanding:
    def test_it_is_calm_only_if_all_of_it_is_known_to_be(self) -> None:
        facts = monitored().facts
        state, said = health.state_of(facts, since=None, serves=True, days_behind=0, data=FRESH)
        assert (state, said) == ("calm", f"Calm on {DAY}: all is well")

    @pytest.mark.parametrize(
        ("serves", "newest", "behind", "data", "state", "said"),
        [
            (False, "calm", 0, FRESH, "unknown", "run Retrain"),
            (True, None, 0, FRESH, "unknown", "No day was monitored"),
            (True, "calm", 2, FRESH, "unknown", "Monitor is 2 days behind"),
            (True, "calm", 1, FRESH, "calm", "Calm"),
            (True, "calm", 0, Freshness("late", 2, "two days late"), "watching", "two days late"),
            (True, "unknown", 0, Freshness("late", 2, "two days late"), "unknown", "Unknown on"),
            (True, "watching", 0, FRESH, "watching", "Watching on"),
            (True, "alarm", 5, Freshness("late", 2, "two days late"), "alarm", f"Alarm since {later(-2)}"),
            (True, "of a later version", 0, FRESH, "unknown", "Unknown on"),
        ],
    )
    def test_what_is_missing_or_late_is_never_calm(
        self, serves: bool, newest: str | None, behind: int, data: Freshness, state: str, said: str
    ) -> None:
        facts = {**monitored().facts, "state": newest} if newest else None  # type: ignore[dict-item]
        found = health.state_of(facts, since=later(-2), serves=serves, days_behind=behind, data=data)
        assert found[0] == state
        assert said in found[1]

    def test_rejected_data_are_never_calm(self) -> None:
        named = ["labels of 2013-04-01"]
        facts = monitored().facts
        state, said = health.state_of(facts, since=None, serves=True, days_behind=0, data=FRESH, rejected=named)
        assert (state, said) == ("watching", "Rejected: labels of 2013-04-01, see below")
        late = Freshness("late", 2, "two days late")
        assert (
            "two days late"
            in health.state_of(facts, since=None, serves=True, days_behind=0, data=late, rejected=named)[1]
        )

    def test_an_alarm_goes_back_over_days_that_nobody_knows_of(self) -> None:
        days = [monitored(later(0), "alarm"), monitored(later(1)), monitored(later(2), "alarm"), Day(later(3), None)]
        days += [Day(later(4), None, "broken"), monitored(later(5), "alarm")]
        assert health.alarm_since(days) == later(2)

    def test_there_is_no_alarm_if_the_newest_day_is_in_none(self) -> None:
        assert health.alarm_since([monitored(DAY, "alarm"), monitored(later(1), "watching")]) is None
        assert health.alarm_since([]) is None

    @pytest.mark.parametrize(
        ("newest", "just_due", "status", "late"),
        [
            (None, False, "none", None),
            (0, False, "fresh", 0),
            (1, False, "fresh", 0),
            (-1, True, "due", 1),
            (-1, False, "late", 1),
            (-3, True, "late", 3),
        ],
    )
    def test_data_are_held_against_what_is_due(
        self, newest: int | None, just_due: bool, status: str, late: int | None
    ) -> None:
        day = None if newest is None else later(newest)
        assert health.freshness(day, day, due=DAY, just_due=just_due, starting=True).status != "late"
        found = health.freshness(day, day, due=DAY, just_due=just_due)
        assert (found.status, found.days_late) == (status, late)

    def test_a_calm_day_whose_performance_nobody_knows_is_watched(self) -> None:
        reasons = ("no column moved", "performance unknown: the first live figure comes on 2013-04-08; so far 0 days")
        facts = day_summary.summarise(decided(state="calm", reasons=reasons), None, None)
        state, sentence = health.state_of(facts, since=None, serves=True, days_behind=0, data=FRESH)
        assert state == "watching"
        assert "live performance unknown: the first live figure comes on 2013-04-08" in sentence

    @pytest.mark.parametrize(("state", "shown"), [("watching", "alarm"), ("calm", "watching")])
    def test_an_alarm_that_is_not_over_stays_on_the_page_whoever_serves(self, state: str, shown: str) -> None:
        facts = day_summary.summarise(decided(state=state), None, None)
        found = health.state_of(facts, since=None, serves=True, days_behind=0, data=FRESH, open_since=later(-5))
        assert found[0] == shown
        assert str(later(-5)) in found[1]

    @pytest.mark.parametrize(("state", "shown"), [("watching", "alarm"), ("calm", "watching")])
    def test_data_that_are_late_or_rejected_do_not_hide_an_alarm(self, state: str, shown: str) -> None:
        facts = day_summary.summarise(decided(state=state), None, None)
        late = health.Freshness("late", 3, "The newest day is old")
        found = health.state_of(
            facts, since=None, serves=True, days_behind=0, data=late, open_since=later(-5), rejected=["labels of today"]
        )
        assert found[0] == shown
        assert str(later(-5)) in found[1]
        assert "Rejected: labels of today, see below; The newest day is old" in found[1]

    def test_while_make_up_is_at_work_nothing_is_to_be_done(self) -> None:
        assert health.first_move(labelled_days=3, least=35, starting=True)["action"] == "wait"
        _, sentence = health.state_of(None, since=None, serves=False, days_behind=0, data=FRESH, starting=True)
        assert "Nothing is to be done" in sentence

    def test_the_first_move_is_to_get_enough_days_and_then_to_train(self) -> None:
        assert health.first_move(labelled_days=3, least=35)["action"] == "ingest"
        assert health.first_move(labelled_days=35, least=35)["action"] == "retrain"


class TestTimeline:
    def test_each_day_has_its_metric_with_an_interval_and_the_promise(self) -> None:
        (entry,) = charts.timeline([monitored()], metric="log_loss")
        assert (entry["value"], entry["expected"]) == (0.51, 0.49)
        assert entry["window"] == {"value": 0.5, "low": 0.47, "high": 0.53}
        assert entry["gap"] == {"value": 0.02, "low": None, "high": None}
        assert entry["skill"] is None
        assert entry["report"] == f"monitor/day={DAY}/version=3/drift.html"

    def test_a_regression_has_its_own_metric(self) -> None:
        facts = day_summary.summarise(decided(), drift(), live(metric="rmse"))
        (entry,) = charts.timeline([Day(DAY, facts)], metric="rmse")
        assert entry["value"] == 0.51
        figures = charts.figures(facts["performance"], metric="rmse")
        assert figures[0]["name"] == "rmse"
        labels = {figure["name"]: figure["label"] for figure in figures}
        assert labels["skill"] == "mean squared error below the base rate's", "squares: not in the unit of rmse"

    def test_a_labelled_day_is_drawn_once_as_it_was_measured_last(self) -> None:
        facts = [day_summary.summarise(decided(later(n)), None, live(later(n), labelled=DAY)) for n in (1, 2)]
        first, second = charts.timeline([Day(later(n + 1), one) for n, one in enumerate(facts)], metric="log_loss")
        assert (first["value"], second["value"]) == (None, 0.51)

    def test_a_day_that_cannot_be_read_is_listed_and_one_without_monitoring_is_not(self) -> None:
        found = charts.timeline([Day(DAY, None), Day(later(1), None, "broken"), monitored(later(2))], metric="brier")
        assert found[0] == {"day": str(later(1)), "unreadable": "broken"}
        assert [entry["day"] for entry in found] == [str(later(1)), str(later(2))]
        assert found[1]["value"] is None

    def test_an_alarm_is_one_mark_from_its_first_day_to_its_last(self) -> None:
        states = ["calm", "alarm", "alarm", "calm", "alarm"]
        marks = charts.marks([monitored(later(n), state) for n, state in enumerate(states)], [])
        assert [(mark["kind"], mark["day"], mark["last_day"]) for mark in marks] == [
            ("alarm", str(later(1)), str(later(2))),
            ("alarm", str(later(4)), str(later(4))),
        ]

    @pytest.mark.parametrize(("severity", "count"), [("alarm", 1), ("warning", 2)])
    def test_an_alarm_goes_on_under_the_version_that_comes_to_serve(self, severity: Any, count: int) -> None:
        """Monitoring counts the days of a new version anew, and watches on the first of them."""
        finding = Finding(kind="drift", severity=severity, message="distance moved", column="distance")
        days = []
        for number, (state, version) in enumerate([("alarm", 3), ("watching", 4), ("alarm", 4)]):
            decision = decided(later(number), state, champion_version=version, findings=(finding,))
            days.append(Day(later(number), day_summary.summarise(decision, None, None)))
        marks = charts.marks(days, [])
        assert len(marks) == count
        assert (marks[0]["day"], marks[-1]["last_day"]) == (str(DAY), str(later(2)))

    def test_every_kind_of_decision_is_a_mark_on_the_day_it_belongs_to(self) -> None:
        log = [
            promoted(3, later(4), over=2),
            logged("hold", later(1), judged_on=str(later(2)), version=4, champion_version=3),
            logged("rejection", later(3), version=5, judged_on="some day"),
            logged("retrain_request", DAY, effective=DAY, reasons=["drift"]),
            logged("rollback", later(5), effective=later(6), version=2, from_version=3, reason="worse"),
            logged("something else", DAY),
        ]
        found = {mark["kind"]: (mark["day"], mark["label"]) for mark in charts.marks([], log)}
        assert found == {
            "retrain_request": (str(DAY), "challenger requested: drift"),
            "hold": (str(later(2)), "version 4 held"),
            "rejection": (str(later(3)), "version 5 rejected"),
            "promotion": (str(later(4)), "version 3 promoted over version 2"),
            "rollback": (str(later(6)), "rolled back to version 2 from version 3: worse"),
        }

    def test_nobody_served_before_the_first_promotion(self) -> None:
        assert charts.champion_tenures([logged("hold")]) == []

    def test_reigns_follow_each_other_and_the_last_of_a_day_wins(self) -> None:
        log = [promoted(1, DAY), promoted(2, later(3), over=1), promoted(3, later(3), over=2), promoted(2, later(9))]
        assert [(r["version"], r["first_day"], r["last_day"]) for r in charts.champion_tenures(log)] == [
            (1, str(DAY), str(later(2))),
            (3, str(later(3)), str(later(8))),
            (2, str(later(9)), None),
        ]


class TestDriftMap:
    def test_a_cell_is_a_distance_and_a_multiple_of_its_limit(self) -> None:
        found = charts.drift_map([monitored(DAY, "calm", column(score=0.3, limit=0.2, baseline_range=0.12))])
        (carrier,) = found["columns"]
        assert (carrier["score"], carrier["ratio"], carrier["role"]) == ([0.3], [1.5], "structural")
        assert carrier["versions"]["3"]["baseline_range"] == 0.12
        assert found["reports"] == [f"monitor/day={DAY}/version=3/drift.html"]

    def test_days_without_monitoring_are_gaps_not_calm(self) -> None:
        found = charts.drift_map(
            [monitored(DAY), Day(later(1), None), Day(later(2), None, "broken"), monitored(later(3))]
        )
        assert found["days"] == [str(later(n)) for n in range(4)]
        assert found["status"] == ["calm", "unknown", "unknown", "calm"]
        assert found["columns"][0]["ratio"] == [1.5, None, None, 1.5]
        assert found["unreadable"] == [{"day": str(later(2)), "message": "broken"}]

    def test_columns_that_come_and_go_keep_their_places(self) -> None:
        old, new = column("old", 0.1), column("label", 0.4, 0.8, role="label")
        found = charts.drift_map([monitored(DAY, "calm", new, old), monitored(later(1), "calm", new, column("<b>"))])
        assert [entry["column"] for entry in found["columns"]] == ["old", "<b>", "label"]
        assert found["columns"][0]["ratio"] == [0.5, None]

    def test_a_limit_belongs_to_its_version(self) -> None:
        days = [monitored(DAY, "calm", column(limit=0.3), version=2), monitored(later(1), "calm", column(limit=0.6))]
        (carrier,) = charts.drift_map(days)["columns"]
        assert carrier["ratio"] == [1.0, 0.5]
        assert {version: about["limit"] for version, about in carrier["versions"].items()} == {"2": 0.3, "3": 0.6}

    @pytest.mark.parametrize(("score", "limit"), [(None, 0.2), (0.3, None), (None, None), (0.3, 0.0)])
    def test_what_was_not_measured_has_no_ratio(self, score: float | None, limit: float | None) -> None:
        found = charts.drift_map([monitored(DAY, "calm", column(score=score, limit=limit))])
        assert found["columns"][0]["ratio"] == [None]

    def test_no_day_is_an_empty_map(self) -> None:
        found = charts.drift_map([Day(DAY, None)])
        assert (found["days"], found["columns"], found["first_day"]) == ([], [], None)


class TestDecisions:
    def test_a_decision_is_told_rule_by_rule(self) -> None:
        rulings = [ruling("ranks", True, roc_auc=0.7), ruling("champion", False, gain=0.0), ruling("package", None)]
        entry = logged(
            "hold",
            version=4,
            champion_version=3,
            judged_on=str(DAY),
            requested_by="alice",
            verdict={"decision": "hold", "reasons": ["not better"], "rulings": rulings},
        )
        found = decision_view.opened(entry, Gate())
        assert [one["outcome"] for one in found["rulings"]] == ["passed", "failed", "no evidence"]
        assert found["rules"] == {"passed": 1, "failed": 1, "missing": 1}
        assert (found["verdict"], found["reasons"][0], found["requested_by"]) == ("hold", "not better", "alice")
        assert found["facts"]["judged_on"] == str(DAY)

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            {"verdict": None},
            {"verdict": "promote"},
            {"verdict": {"rulings": None}},
            {"approval": "yes"},
            {"verdict": {"rulings": [None, {"rule": "x"}]}},
            {"judged_on": 7, "version": "9", "evidence": [1]},
        ],
    )
    def test_an_old_or_odd_decision_is_told_as_far_as_it_goes(self, payload: dict[str, Any]) -> None:
        found = day_summary.plain(decision_view.opened(logged("hold", **payload), Gate()))
        json.dumps(found, allow_nan=False)
        assert found["kind"] == "hold"

    def test_a_request_is_open_until_something_was_judged(self) -> None:
        asked = logged("retrain_request", DAY, effective=DAY)
        assert decision_view.open_request([promoted(1, DAY), asked]) == asked
        assert decision_view.open_request([asked, logged("hold", later(1))]) is None
        assert decision_view.open_request([]) is None


class TestVersions:
    LOG = (
        promoted(1, DAY),
        promoted(2, later(1), over=1),
        logged("rollback", later(2), effective=later(3), version=1, from_version=2, fingerprint="print 1")
        .model_copy(update={"payload": {"version": 1, "from_version": 2, "window_last_day": str(DAY),
                                        "blocked_fingerprint": "print 2"}}),
        promoted(3, later(5), over=1, judged_version=30),
        logged("hold", later(6), version=4),
        logged("rejection", later(7), version=5),
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("version", "outcome"),
        [
            (1, "replaced"),
            (2, "rolled back"),
            (3, "champion"),
            (30, "judged"),
            (4, "held"),
            (5, "rejected"),
            (6, "registered"),
        ],
    )
    def test_what_became_of_a_version_is_a_word(self, version: int, outcome: str) -> None:
        assert decision_view.outcome(version, self.LOG) == outcome

    def test_figures_stand_beside_base_rate_and_champion(self) -> None:
        measured = {
            "log_loss": 0.49,
            "base_rate_log_loss": 0.55,
            "champion_log_loss": 0.5,
            "brier": 0.1,
            "fit_seconds": 3.0,
        }
        first, second = decision_view.figures(measured, metric="log_loss")
        assert (first["value"], first["base_rate"], first["champion"], first["better"]) == (0.49, 0.55, 0.5, "lower")
        assert second["name"] == "brier"

    def test_slices_are_those_of_rules_over_slices(self) -> None:
        by_carrier = {"measure": "gain", "values": {"carrier = EV": -0.03, "carrier = AA": 0.01}}
        by_origin = {"measure": "brier", "values": {"origin = JFK": 0.1}}
        rulings = decision_view.opened(
            logged(
                "hold",
                verdict={
                    "decision": "hold",
                    "rulings": [
                        ruling("slices", False, kind="slices", slices=by_carrier, max_loss=0.02),
                        ruling("slices without a champion", True, kind="slices", max_loss=0.02),
                        ruling("gaps", True, kind="slice_gap", slices=by_origin, gap=0.1, max_gap=0.2),
                        ruling("champion", True, kind="champion", comparison={"gain": 0.01}, max_loss=0.002),
                        ruling("calibration", True, calibration_error=0.1, calibration_gap=0.0, max_gap=0.2),
                        ruling("made up", True, kind="made_up", staleness=3.0, max_gap=0.2, gain=1.0),
                    ],
                },
            ),
            Gate(),
        )["rulings"]
        found = decision_view.slices(rulings)
        assert [one["rule"] for one in found] == ["slices", "gaps"]
        assert list(found[0]["values"]) == ["carrier = EV", "carrier = AA"]
        assert [one["measure"] for one in found] == ["gain", "brier"]

    def test_two_versions_are_compared_metric_by_metric(self) -> None:
        a = {"log_loss": 0.49, "roc_auc": 0.6, "bias": -0.1, "prevalence": 0.2, "brier": 0.1}
        b = {"log_loss": 0.5, "roc_auc": 0.7, "bias": 0.3, "prevalence": 0.3, "brier": 0.1, "rmse": 1.0}
        found = {row["name"]: row["best"] for row in decision_view.compared_metrics(a, b, metric="log_loss")}
        assert found == {"log_loss": "a", "bias": "a", "brier": None, "prevalence": None, "rmse": None, "roc_auc": "b"}
        assert next(iter(found)) == "log_loss"

    def test_the_gate_in_which_two_versions_met_is_found_either_way_round(self) -> None:
        gain = {"gain": 0.004, "low": 0.001, "high": 0.007}
        made_up = ruling("made up", True, kind="made_up", gain=9.0)
        verdict = {"decision": "promote", "rulings": [made_up, ruling("mine", True, comparison=gain)]}
        log = [promoted(3, DAY, over=2, verdict=verdict)]
        for pair in ((2, 3), (3, 2)):
            found = decision_view.paired(*pair, log, Gate())
            assert found is not None
            assert (found["champion"], found["challenger"], found["gain"]) == (2, 3, 0.004)
        assert decision_view.paired(1, 3, log, Gate()) is None

    def test_two_champions_that_are_refits_are_compared_by_the_versions_that_were_judged_in_their_place(self) -> None:
        gain = {"gain": 0.004, "low": 0.001, "high": 0.007}
        verdict = {"decision": "promote", "rulings": [ruling("mine", True, comparison=gain)]}
        first = promoted(2, DAY, judged_version=1)
        log = [first, promoted(4, later(7), over=2, judged_version=3, verdict=verdict)]
        for pair in ((4, 2), (2, 4), (3, 2), (3, 1)):
            found = decision_view.paired(*pair, log, Gate())
            assert found is not None
            assert (found["champion"], found["challenger"], found["gain"]) == (2, 3, 0.004)
            assert found["version"] == 4  # with it the charts are kept
        assert decision_view.paired(4, 3, log, Gate()) is None  # a refit and its own twin never met

    def test_a_comparison_begins_with_the_gain_its_interval_and_the_margin(self) -> None:
        gain = {"gain": 0.004, "low": 0.001, "high": 0.007, "days": 14}
        compared = ruling("champion", True, kind="champion", comparison=gain, min_gain=0.001)
        found = decision_view.paired(2, 3, [promoted(3, DAY, over=2, verdict={"rulings": [compared]})], Gate())
        assert found is not None
        assert "+0.0040 (95 % interval +0.0010 to +0.0070, margin +0.0010) on the same 14 days" in found["sentence"]

    @pytest.mark.parametrize(
        ("by", "shown"), [("bea", "try more regularisation"), ("monitor of 2013-06-01", None), ("replay", None)]
    )
    def test_what_a_person_typed_is_in_the_line_of_a_hold(self, by: str, shown: str | None) -> None:
        entry = logged("hold", version=3, requested_by=by, requested_because=["try more regularisation"])
        assert decision_view.row(entry, Gate())["because"] == shown

    def test_only_the_versions_that_were_judged_for_another_are_twins(self) -> None:
        log = [promoted(2, DAY, judged_version=1), logged("hold", later(1), version=3), promoted(4, later(2))]
        assert decision_view.twins(log) == {1}

    def test_the_refit_of_a_twin_holds_the_card_of_both(self) -> None:
        log = [promoted(2, DAY, judged_version=1), logged("hold", later(1), version=3), promoted(4, later(2))]
        assert [decision_view.refit_of(version, log) for version in (1, 2, 3, 4)] == [2, None, None, None]

    def test_lineage_says_what_it_knows(self) -> None:
        facts: Facts = {"data_version": "abc", "settings": {"fit": {"estimator": "tree", "args": {"depth": 3}}}}
        found = {fact["what"]: fact["value"] for fact in decision_view.lineage(facts)}
        assert found == {"data version": "abc", "estimator": "tree", "estimator arguments": "depth=3"}
        assert decision_view.lineage({}) == []


def test_findings_go_into_the_summary_with_their_words() -> None:
    finding = Finding(kind="null_share", severity="alarm", message="<script> is null", column="<script>", at_once=True)
    facts = day_summary.summarise(decided(findings=(finding,)), None, None)
    assert facts["findings"][0]["message"] == "<script> is null"


class TestAWithdrawal:
    """MLflow lost version 2, and nobody serves since."""

    @staticmethod
    def log() -> list[Logged]:
        first = builders.decided("promotion", 2, effective=60, trained_until=58)
        gone = builders.decided("withdrawal", None, effective=70, trained_until=None)
        facts = {"from_version": 2, "withdrawn_version": 2, "reason": "version 2 was deleted"}
        return [first, gone.model_copy(update={"payload": gone.payload | facts})]

    def test_is_a_mark_in_words(self) -> None:
        assert charts.marks([], self.log())[-1]["label"] == "version 2 withdrawn: version 2 was deleted"

    def test_ends_the_time_in_which_the_version_served(self) -> None:
        (served,) = charts.champion_tenures(self.log())
        assert (served["version"], served["last_day"]) == (2, builders.day(69))

    def test_is_what_became_of_the_version(self) -> None:
        assert decision_view.outcome(2, self.log()) == "withdrawn"
        assert decision_view.paired(2, 1, self.log(), Gate()) is None
