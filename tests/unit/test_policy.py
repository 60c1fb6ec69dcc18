"""Who asks for a challenger, when, and in which words: the policy's truth table, and each of its sentences."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from ml.core.monitoring.policy import ChampionFacts, Facts, decide
from ml.core.monitoring.policy_facts import gaps
from ml.records import Decision, DriftReport, Finding, LivePerformance, PreviousChampionComparison
from tests.builders import settings

DAY = date(2013, 6, 1)
TOMORROW = DAY + timedelta(days=1)


def ago(days: int) -> date:
    return DAY - timedelta(days=days)


def found(kind: str, *, severity: str = "alarm", at_once: bool = False) -> Finding:
    return Finding.model_validate({"kind": kind, "severity": severity, "message": f"{kind} said", "at_once": at_once})


def inputs(status: str = "calm", *findings: Finding, back: int = 0, version: int | None = 3) -> DriftReport:
    return DriftReport.model_validate(
        {"day": ago(back), "status": status, "champion_version": version, "reason": "7 columns", "findings": findings}
    )


def live(status: str = "fine", *findings: Finding, back: int = 0, version: int | None = 3) -> LivePerformance:
    return LivePerformance(
        day=ago(back),
        labelled_day=ago(back + 1),
        rows=900,
        metrics={},
        reason="the gap",
        champion_version=version,
        status=status,  # type: ignore[arg-type]
        findings=findings,
    )


def previous(**changed: Any) -> PreviousChampionComparison:
    """The version before did better, but for what is ``changed``."""
    better = PreviousChampionComparison(
        day=DAY,
        champion_version=3,
        previous_version=2,
        days=6,
        rows=5400,
        gain=0.05,
        low=0.01,
        high=0.09,
        reason="it was better",
    )
    return better.model_copy(update=changed)


SERVES = ChampionFacts(version=3, promoted_on=ago(20), window_last_day=ago(21))
CALM: dict[str, Any] = {"drift": inputs(), "performance": live(), "newest_day": DAY, "champion": SERVES}
DRIFT = {"drift": inputs("drift", found("drift")), "earlier": (inputs("drift", found("drift"), back=1),)}
DECAY = {"performance": live("decay", found("decay")), "earlier": (live("decay", found("decay"), back=2),)}
OLD = {"champion": ChampionFacts(version=3, promoted_on=ago(29), window_last_day=ago(30))}
GONE = {"drift": inputs("calm", found("vanished_category", at_once=True))}
NULLS = {"drift": inputs("drift", found("drift"), found("null_share", at_once=True)), "earlier": DRIFT["earlier"]}
NOBODY = {"champion": None, "drift": inputs("unknown", version=None), "performance": None}
PAST = {"newest_day": TOMORROW}
COOLING = {"last_judged": ago(6)}
SPENT = {"requests": (ago(3), ago(1))}


def ask(*facts: dict[str, Any], **sections: Any) -> Decision:
    """Decide for a calm `DAY` but for the ``facts``, laid over it in their order."""
    together = dict(CALM)
    for each in facts:
        together |= each
    return decide(Facts(**together), settings=settings(**sections))


OFF = {"on_drift": False, "on_decay": False}
TRUTH_TABLE = [
    # what is the case                                       settings.retrain       action      state
    # -- calm, unknown, and too little for an alarm
    ([],                                                     {},                    "nothing",  "calm"),
    ([{"performance": None}],                                {},                    "nothing",  "calm"),
    ([{"drift": inputs("unknown")}],                         {},                    "nothing",  "unknown"),
    ([{"performance": live("unknown")}],                     {},                    "nothing",  "unknown"),
    ([{"drift": inputs("calm", found("drift", severity="warning"))}], {},           "nothing",  "calm"),
    ([DRIFT, {"earlier": ()}],                               {},                    "nothing",  "watching"),
    ([DRIFT, {"drift": inputs()}],                           {},                    "nothing",  "watching"),
    ([DRIFT, {"drift": inputs("unknown")}],                  {},                    "nothing",  "unknown"),
    ([DECAY, {"earlier": ()}],                               {},                    "nothing",  "watching"),
    # -- reasons for a challenger
    ([DRIFT],                                                {},                    "retrain",  "alarm"),
    ([DECAY],                                                {},                    "retrain",  "alarm"),
    ([GONE],                                                 {},                    "retrain",  "alarm"),
    ([OLD],                                                  {},                    "retrain",  "calm"),
    ([OLD, {"drift": inputs("unknown")}],                    {},                    "retrain",  "unknown"),
    ([{"new_days": 7}],                                      {"min_new_days": 7},   "retrain",  "calm"),
    ([OLD],                                                  {"max_age_days": 28},  "retrain",  "calm"),
    ([OLD],                                                  {"max_age_days": 29},  "nothing",  "calm"),
    ([NOBODY],                                               {},                    "retrain",  "unknown"),
    # -- reasons that are switched off
    ([DRIFT],                                                OFF,                   "nothing",  "alarm"),
    ([DECAY],                                                OFF,                   "nothing",  "alarm"),
    ([OLD],                                                  {"max_age_days": None}, "nothing", "calm"),
    ([{"new_days": 6}],                                      {"min_new_days": 7},   "nothing",  "calm"),
    ([{"new_days": 600}],                                    {},                    "nothing",  "calm"),
    # -- an alarm that a challenger would not answer
    ([{"drift": inputs("calm", found("missing_predictions", at_once=True))}], {},   "nothing",  "alarm"),
    ([{"performance": live("fine", found("label_coverage", at_once=True))}], {},    "nothing",  "alarm"),
    # -- what makes a wish wait, each by itself
    ([NULLS],                                                {},                    "nothing",  "alarm"),
    ([OLD, {"earlier": (inputs("calm", found("constant"), back=2),)}], {},          "nothing",  "watching"),
    ([DRIFT, {"absent_days": (ago(2),)}],                    {},                    "nothing",  "alarm"),
    ([DRIFT, {"tried": "judged"}],                           {},                    "nothing",  "alarm"),
    ([DRIFT, {"tried": "blocked"}],                           {},                    "nothing",  "alarm"),
    ([DRIFT, COOLING],                                       {},                    "nothing",  "alarm"),
    ([OLD, COOLING],                                         {},                    "nothing",  "calm"),
    ([DRIFT, COOLING],                                       {"cooldown_days": 6},  "retrain",  "alarm"),
    ([DRIFT, SPENT],                                         {},                    "nothing",  "alarm"),
    ([DRIFT, SPENT],                                         {"max_retrains_per_week": 3}, "retrain", "alarm"),
    # -- nobody serves: nothing makes it wait; a champion that may not judge the day is champion enough
    ([NOBODY, COOLING, SPENT, {"tried": "judged"}],          {},                    "retrain",  "unknown"),
    ([NOBODY, {"anyone_serves": True}],                      {},                    "nothing",  "unknown"),
    # -- the version before did better
    ([{"comparison": previous()}],                                 {},                    "rollback", "calm"),
    ([DRIFT, {"comparison": previous()}],                          {},                    "rollback", "alarm"),
    ([OLD, COOLING, NULLS, {"comparison": previous()}],            {},                    "rollback", "alarm"),
    # -- not the newest day: it never asks, and never alarms
    ([PAST],                                                 {},                    "nothing",  "calm"),
    ([PAST, DRIFT],                                          {},                    "nothing",  "watching"),
    ([PAST, OLD, {"comparison": previous()}],                      {},                    "nothing",  "calm"),
    ([PAST, NOBODY],                                         {},                    "nothing",  "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "retrain", "action", "state"), TRUTH_TABLE)
def test_the_truth_table(facts: list[dict[str, Any]], retrain: dict[str, Any], action: str, state: str) -> None:
    decision = ask(*facts, retrain=retrain)
    assert (decision.action, decision.state) == (action, state)
    assert decision.alarm is (state == "alarm")
    assert (decision.request is not None) is (action == "retrain")
    assert (decision.rollback is not None) is (action == "rollback")
    assert decision.reasons


class TestReasons:
    def test_all_that_wish_are_named_in_the_request(self) -> None:
        decision = ask(DRIFT, DECAY, OLD, {"earlier": DRIFT["earlier"] + DECAY["earlier"], "new_days": 9},
                       retrain={"min_new_days": 7})  # fmt: skip
        assert decision.reasons == (
            "drift on 2 of the newest 3 days: 7 columns",
            "decay on 2 of the newest 3 days: the gap",
            "age: version 3 has served 29 days, more than 28",
            "new data: 9 days were labelled since 2013-05-02, retrain.min_new_days is 7",
        )
        assert decision.request is not None
        assert decision.request.reasons == decision.reasons
        assert decision.request.requested_by == "monitor of 2013-06-01"

    def test_what_is_noticed_beside_a_wish_is_told_and_does_not_ask(self) -> None:
        decision = ask(DECAY, {"earlier": ()}, OLD)
        assert decision.reasons == (
            "age: version 3 has served 29 days, more than 28",
            "decay on 1 of the newest 3 days, an alarm needs 2: the gap",
        )
        assert decision.request is not None and decision.request.reasons == decision.reasons[:1]

    def test_what_speaks_for_itself_is_told_beside_the_columns_that_moved(self) -> None:
        decision = ask({"drift": inputs("drift", found("drift"), found("new_category", at_once=True))})
        assert decision.reasons == ("drift on 1 of the newest 3 days: 7 columns; new_category said",)

    def test_what_the_days_verdict_says_already_is_not_told_twice(self) -> None:
        report = inputs("drift", found("new_category", at_once=True))
        told = report.model_copy(update={"reason": "new_category said; 7 columns"})
        assert ask({"drift": told}).reasons == ("drift on 1 of the newest 3 days: new_category said; 7 columns",)

    def test_calm_says_how_long_the_champion_serves(self) -> None:
        assert ask().reasons == ("7 columns", "version 3 has served 20 days")

    @pytest.mark.parametrize(
        ("began", "said"),
        [(0, "has served 0 days"), (1, "has served 1 day"), (-1, f"serves from {TOMORROW} on")],
    )
    def test_nobody_has_served_less_than_no_day(self, began: int, said: str) -> None:
        told = ask({"champion": ChampionFacts(version=3, promoted_on=ago(began), window_last_day=ago(21))}).reasons
        assert told[-1] == f"version 3 {said}"

    def test_without_a_champion_it_is_said_why(self) -> None:
        assert ask(NOBODY).reasons == ("no champion serves yet",)
        assert ask(NOBODY, {"no_champion_reason": "the day is older than any"}).reasons == (
            "the day is older than any",
        )
        assert ask(NOBODY, {"anyone_serves": True}).reasons == ("drift unknown: no champion serves yet",)
        assert ask(NOBODY).champion_version is None

    def test_newly_labelled_days_are_counted_from_the_training_window_if_that_is_known(self) -> None:
        unknown = {"champion": ChampionFacts(version=3, promoted_on=ago(20)), "new_days": 9}
        assert ask(unknown, retrain={"min_new_days": 7}).reasons == (
            "new data: 9 days were labelled, retrain.min_new_days is 7",
        )

    def test_what_could_not_be_measured_is_said(self) -> None:
        assert ask({"drift": inputs("unknown"), "performance": live("unknown")}).reasons == (
            "drift unknown: 7 columns",
            "performance unknown: the gap",
            "version 3 has served 20 days",
        )

    def test_an_alarm_that_nobody_wants_a_challenger_for_is_said_all_the_same(self) -> None:
        assert ask(DRIFT, retrain=OFF).reasons[0] == (
            "drift on 2 of the newest 3 days: 7 columns (retrain.on_drift is off)"
        )
        assert ask(DECAY, retrain=OFF).reasons[0].endswith("(retrain.on_decay is off)")

    def test_findings_that_are_over_are_told_as_over(self) -> None:
        assert ask(DRIFT, {"drift": inputs()}).reasons[0] == "drift on 2013-05-31, no more on 2013-06-01"

    @pytest.mark.parametrize(
        ("blocked", "said"),
        [
            (COOLING, "waiting until 2013-06-02: a challenger was judged on 2013-05-26, cooldown is 7 days"),
            (SPENT, "waiting until 2013-06-05: challengers were requested on 2013-05-29, 2013-05-31, retrain.max_"),
            (
                {"tried": "judged"},
                "waiting until 2013-06-02: nothing new to train on, this very training was judged before",
            ),
            (
                {"tried": "blocked"},
                "waiting until 2013-06-02: nothing new to train on, this very training was rolled back before",
            ),
            (
                {"absent_days": (ago(2), ago(1))},
                "waiting until 2013-06-07: data of 2013-05-30, 2013-05-31 are rejected or missing; bring these days in",
            ),
            (
                {"performance": live("fine", found("null_share"))},
                "waiting until 2013-06-04: nobody retrains on broken data, found on 2013-06-01; correct these days",
            ),
        ],
    )
    def test_what_waits_says_why_and_until_when(self, blocked: dict[str, Any], said: str) -> None:
        decision = ask(OLD, blocked)
        assert decision.reasons[0] == "age: version 3 has served 29 days, more than 28"
        assert decision.reasons[-1].startswith(said)

    def test_what_waits_for_data_waits_from_the_newest_of_the_days_that_are_broken_or_absent(self) -> None:
        broken = {
            "performance": live("fine", found("null_share")),
            "earlier": (live("fine", found("null_share"), back=2), live("fine", found("constant"), back=1)),
        }
        (reason,) = [reason for reason in ask(OLD, broken).reasons if reason.startswith("waiting")]
        assert reason == (
            "waiting until 2013-06-04: nobody retrains on broken data, found on 2013-05-30, 2013-05-31, 2013-06-01; "
            "correct these days to ask sooner"
        )
        assert ask(OLD, {"absent_days": (ago(1), ago(3))}).reasons[-1].startswith("waiting until 2013-06-07: data of")

    def test_where_data_come_weekly_what_waits_for_days_with_data_waits_for_weeks(self) -> None:
        weekly = {"land": {"every_days": 7}, "screen": {"recent_days": 56}, "drift": {"structural": ["number"]}}
        absent = ask(DRIFT, {"absent_days": (ago(7),)}, **weekly)
        assert f"waiting until {ago(7) + timedelta(days=49)}: data of" in absent.reasons[-1]
        broken = ask(DRIFT, {"performance": live("fine", found("null_share", at_once=True))}, **weekly)
        assert f"waiting until {DAY + timedelta(days=21)}: nobody retrains on broken data" in broken.reasons[-1]

    def test_all_that_makes_it_wait_is_told_at_once(self) -> None:
        said = ask(DRIFT, COOLING, SPENT, {"tried": "judged"}).reasons
        assert [reason.partition(":")[0] for reason in said[1:]] == [
            "waiting until 2013-06-02", "waiting until 2013-06-02", "waiting until 2013-06-05",
        ]  # fmt: skip


class TestAlarm:
    """An alarm needs findings on k of the newest n days, the newest among them."""

    @pytest.mark.parametrize(
        ("alarm_days", "backs", "is_alarm"),
        [
            ((1, 1), [0], True),
            ((2, 3), [0], False),
            ((2, 3), [0, 1], True),
            ((2, 3), [0, 2], True),
            ((2, 3), [0, 3], False),
            ((2, 3), [1, 2], False),
            ((3, 3), [0, 2], False),
            ((3, 7), [0, 1, 6], True),
            ((3, 7), [0, 1, 7], False),
        ],
    )
    def test_k_of_n(self, alarm_days: tuple[int, int], backs: list[int], is_alarm: bool) -> None:
        earlier = tuple(inputs("drift", back=back) for back in backs if back)
        decision = ask({"drift": inputs("drift" if 0 in backs else "calm"), "earlier": earlier},
                       drift={"alarm_days": alarm_days})  # fmt: skip
        assert decision.alarm is is_alarm

    def test_where_each_day_stands_for_itself_days_are_not_counted_in_words(self) -> None:
        assert ask({"drift": inputs("drift")}, drift={"alarm_days": (1, 1)}).reasons == ("drift: 7 columns",)

    def test_a_day_counts_once_however_much_was_found(self) -> None:
        assert not ask({"drift": inputs("drift", found("drift"), found("new_category"))}).alarm
        twice = (inputs("drift", back=1), inputs("drift", back=1))
        assert not ask({"drift": inputs("drift"), "earlier": twice}, drift={"alarm_days": (3, 3)}).alarm

    @pytest.mark.parametrize("earlier", [inputs("unknown", back=1), inputs("drift", back=1, version=2),
                                         inputs("drift", back=1, version=None), inputs("drift", back=-1)])  # fmt: skip
    def test_unknown_days_other_champions_and_later_days_count_for_nothing(self, earlier: DriftReport) -> None:
        assert not ask({"drift": inputs("drift"), "earlier": (earlier,)}).alarm

    def test_fewer_columns_than_declared_are_no_drift(self) -> None:
        calm = inputs("calm", found("drift"))  # one column moved, drift.min_drifted_columns is 2
        assert ask({"drift": calm, "earlier": (calm.model_copy(update={"day": ago(1)}),)}).state == "calm"

    def test_a_feed_that_broke_is_not_drift_though_the_days_verdict_says_so(self) -> None:
        broke = inputs("drift", found("null_share", at_once=True))
        decision = ask({"drift": broke, "earlier": (inputs("drift", found("null_share"), back=1),)})
        assert decision.reasons[0] == "broken data on 2 of the newest 3 days: null_share said"
        assert decision.state == "alarm" and not any(reason.startswith("drift") for reason in decision.reasons)

    def test_findings_of_different_names_do_not_add_up(self) -> None:
        assert not ask({"drift": inputs("drift"), "earlier": (live("decay", back=1),)}).alarm

    def test_a_fault_on_every_row_is_found_though_no_distance_could_be_measured(self) -> None:
        decision = ask({"drift": inputs("unknown", found("null_share", at_once=True))})
        assert (decision.action, decision.state) == ("nothing", "alarm")

    def test_the_decay_of_another_version_is_not_this_champions(self) -> None:
        decay = live("decay", found("decay", at_once=True), version=2)
        assert not ask({"performance": decay}).alarm

    def test_the_findings_of_the_day_are_kept_warnings_too(self) -> None:
        warned, decayed = found("drift", severity="warning"), found("decay")
        decision = ask({"drift": inputs("calm", warned), "performance": live("decay", decayed)})
        assert (decision.findings, decision.champion_version) == ((warned, decayed), 3)


WARNED: dict[str, Any] = {
    "performance": live("fine", found("decay", severity="warning")),
    "earlier": (live("fine", found("decay", severity="warning"), back=2),),
}


class TestDecayThatIsAWarning:
    """Beyond the noise of its days, and not beyond that of a year: nobody is alarmed, a challenger is asked for."""

    def test_on_k_of_n_days_it_asks_without_an_alarm(self) -> None:
        decision = ask(WARNED)
        assert (decision.action, decision.state, decision.alarm) == ("retrain", "calm", False)
        assert decision.request is not None
        assert "decay, too little for an alarm: decay said" in decision.request.reasons

    def test_a_day_of_an_alarm_and_one_of_a_warning_ask_together(self) -> None:
        both = {**WARNED, "earlier": (live("decay", found("decay"), back=1),)}
        assert ask(both).action == "retrain"

    @pytest.mark.parametrize("earlier", [(), (live("fine", found("decay", severity="warning"), back=9),)])
    def test_a_single_day_asks_for_nothing(self, earlier: tuple[LivePerformance, ...]) -> None:
        assert ask({**WARNED, "earlier": earlier}).action == "nothing"

    def test_it_asks_only_where_decay_may(self) -> None:
        assert ask(WARNED, retrain={"on_decay": False}).action == "nothing"

    def test_once_it_is_over_it_asks_no_more(self) -> None:
        assert ask({"earlier": (*WARNED["earlier"], WARNED["performance"])}).action == "nothing"


class TestNewChampion:
    @pytest.mark.parametrize(("served", "state"), [(0, "calm"), (6, "calm"), (7, "unknown")])
    def test_one_too_new_to_be_measured_is_not_unknown(self, served: int, state: str) -> None:
        """With labels a day late, the seventh labelled day is there on the eighth."""
        new = ChampionFacts(version=3, promoted_on=ago(served))
        assert ask({"champion": new, "performance": live("unknown")}).state == state

    @pytest.mark.parametrize(
        ("served", "until"), [(0, f" the first live figure comes on {ago(-7)}, after 7 labelled days;"), (7, "")]
    )
    def test_the_day_of_the_first_figure_is_said_while_it_is_to_come(self, served: int, until: str) -> None:
        new = ChampionFacts(version=3, promoted_on=ago(served))
        decision = ask({"champion": new, "performance": live("unknown")})
        assert f"performance unknown:{until} the gap" in decision.reasons

    @pytest.mark.parametrize(("after", "state"), [(1, "calm"), (0, "unknown"), (-1, "unknown")])
    def test_a_first_figure_that_is_expected_on_another_day_is_awaited_until_then(self, after: int, state: str) -> None:
        late = live("unknown").model_copy(update={"expected_by": DAY + timedelta(days=after)})
        decision = ask({"performance": late})
        assert decision.state == state
        assert any("the first live figure comes on 2013-06-02" in said for said in decision.reasons) is (after > 0)


class TestWaiting:
    @pytest.mark.parametrize(("judged", "action"), [(0, "nothing"), (6, "nothing"), (7, "retrain"), (None, "retrain")])
    def test_the_cooldown_ends_on_its_last_day(self, judged: int | None, action: str) -> None:
        assert ask(DRIFT, {"last_judged": None if judged is None else ago(judged)}).action == action

    @pytest.mark.parametrize(
        ("rolled_back", "named"),
        [(ago(2), "the champion was rolled back on"), (ago(5), "a challenger was judged on"), (None, "a challenger")],
    )
    def test_what_is_waited_for_is_called_what_it_was(self, rolled_back: date | None, named: str) -> None:
        decision = ask(DRIFT, {"last_judged": ago(2), "rolled_back_on": rolled_back})
        assert f"waiting until {ago(-5)}: {named}" in "; ".join(decision.reasons)

    def test_a_judgement_of_a_later_day_does_not_cool(self) -> None:
        assert ask(DRIFT, {"last_judged": ago(-1)}).action == "retrain"

    def test_none_asks_on_the_day_of_the_judgement_itself(self) -> None:
        assert ask(DRIFT, {"last_judged": DAY}, retrain={"cooldown_days": 0}).action == "retrain"

    @pytest.mark.parametrize(
        ("asked", "action"),
        [([1, 2], "nothing"), ([1, 6], "nothing"), ([1, 7], "retrain"), ([1], "retrain"), ([-1, -2], "retrain"),
         ([1, 1], "retrain"), ([1, 2, 30, 31], "nothing")],
    )  # fmt: skip
    def test_the_budget_is_of_the_week_before_the_day(self, asked: list[int], action: str) -> None:
        assert ask(DRIFT, {"requests": tuple(map(ago, asked))}).action == action

    def test_a_spent_budget_is_there_again_once_enough_requests_are_a_week_old(self) -> None:
        """Three were asked for where two are allowed: the second of them has to grow old, too."""
        requests = {"requests": (ago(5), ago(3), ago(1))}
        assert ask(DRIFT, requests).reasons[-1] == (
            f"waiting until {ago(-4)}: challengers were requested on {ago(5)}, {ago(3)}, {ago(1)}, "
            "retrain.max_retrains_per_week is 2"
        )

    def test_who_may_be_asked_again_on_a_day_is_asked_on_that_day(self) -> None:
        """The day that is named is the first on which this alone no longer makes it wait."""
        for blocked in (COOLING, SPENT):
            until = date.fromisoformat(ask(OLD, blocked).reasons[-1].split()[2].rstrip(":"))
            for day, action in ((until - timedelta(days=1), "nothing"), (until, "retrain")):
                moved = {"drift": inputs(back=(DAY - day).days), "performance": None, "newest_day": day}
                assert ask(OLD, blocked, moved).action == action


class TestRollback:
    def test_a_version_before_that_does_better_beyond_noise_is_asked_back_with_the_evidence(self) -> None:
        decision = ask({"comparison": previous()})
        assert decision.reasons == ("it was better",)
        assert decision.rollback is not None
        assert decision.rollback.model_dump() == {
            "requested_by": "monitor of 2013-06-01",
            "reason": "it was better",
            "to_version": 2,
            "from_version": 3,
            "evidence": {"gain": 0.05, "low": 0.01, "high": 0.09, "days": 6.0, "rows": 5400.0},
        }

    def test_as_many_days_as_declared_are_enough(self) -> None:
        assert ask({"comparison": previous(days=5)}).action == "rollback"

    def test_it_goes_before_a_challenger_and_keeps_the_alarm(self) -> None:
        decision = ask(DRIFT, {"comparison": previous()})
        assert decision.reasons == ("drift on 2 of the newest 3 days: 7 columns", "it was better")

    @pytest.mark.parametrize(
        "lacking",
        [
            {"low": 0.0},
            {"low": -0.001},
            {"low": None, "gain": None, "high": None},
            {"days": 4},
            {"champion_version": 4},
            {"champion_version": None},
            {"previous_version": None},
        ],
        ids=", ".join,
    )
    def test_anything_less_rolls_nothing_back(self, lacking: dict[str, Any]) -> None:
        assert ask({"comparison": previous(**lacking)}).action == "nothing"

    def test_who_was_replaced_since_is_not_rolled_back_and_nobody_is_against_the_settings(self) -> None:
        replaced = ChampionFacts(version=3, promoted_on=ago(20), serves_now=False)
        assert ask({"comparison": previous(), "champion": replaced}).action == "nothing"
        assert ask({"comparison": previous()}, rollback={"automatic": False}).action == "nothing"


def test_a_day_that_is_not_the_newest_says_so() -> None:
    assert ask(PAST, DRIFT).reasons == (
        "2013-06-01 is not the newest day (2013-06-02), so nothing is requested for it: 7 columns",
    )


KNOWN = {ago(n) for n in range(60)}


class TestGaps:
    def test_a_day_that_should_be_there_is_named(self) -> None:
        assert gaps(KNOWN - {ago(3), ago(6), ago(7)}, last_day=DAY, days=7) == [ago(6), ago(3)]

    def test_who_rests_on_sundays_misses_none(self) -> None:
        assert gaps({day for day in KNOWN if day.weekday() != 6}, last_day=DAY, days=7) == []

    def test_a_young_registry_misses_nothing(self) -> None:
        assert gaps({DAY, ago(2), ago(9)}, last_day=DAY, days=7) == []

    def test_a_long_window_looks_at_the_weeks_before_it(self) -> None:
        """Of four weeks without Tuesdays, each is held against the Tuesdays before all of them."""
        tuesdays = {day for day in KNOWN if day.weekday() == 1 and day > ago(28)}
        assert gaps(KNOWN - tuesdays, last_day=DAY, days=28) == sorted(tuesdays)
