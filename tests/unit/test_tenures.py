"""Who may score a day, read out of the decisions: never a model that had seen that day."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

import pytest

from ml.core.champions.tenures import (
    Tenure,
    blocked,
    champion_before,
    champion_of,
    champion_tenures,
    judged_version,
    last_judged,
    promoted_on,
    tenure_on,
)
from ml.records import Logged
from tests.builders import day, decided


def on(number: int) -> date:
    return date.fromisoformat(day(number))


def promoted(version: int, *, effective: int, trained_until: int) -> Logged:
    return decided("promotion", version, effective=effective, trained_until=trained_until)


TWO = [promoted(1, effective=40, trained_until=38), promoted(2, effective=60, trained_until=58)]


def serves(number: int, decisions: list[Logged], *, allow_future: bool = False) -> int | None:
    tenure, _ = champion_of(on(number), decisions, allow_future=allow_future)
    return tenure.version if tenure else None


class TestAsOfTheDay:
    @pytest.mark.parametrize(("number", "version"), [(40, 1), (59, 1), (60, 2), (1000, 2)])
    def test_the_champion_of_that_day_scores_it(self, number: int, version: int) -> None:
        assert serves(number, TWO) == version

    def test_the_reason_says_since_when(self) -> None:
        assert champion_of(on(45), TWO)[1] == f"version 1 is champion since {day(40)}"

    def test_a_rollback_counts_from_its_day_on(self) -> None:
        back = [*TWO, decided("rollback", 1, effective=70, trained_until=38)]
        assert [serves(n, back) for n in (59, 69, 70)] == [1, 2, 1]

    def test_of_two_decisions_for_a_day_the_last_wins(self) -> None:
        again = [*TWO, promoted(3, effective=60, trained_until=58)]
        assert serves(60, again) == 3

    def test_what_was_decided_last_wins_even_if_it_was_for_an_earlier_day(self) -> None:
        """Order is that of the decisions: the alias in the model registry moved in that order too."""
        late = [*TWO, decided("rollback", 1, effective=50, trained_until=38)]
        assert serves(65, late) == 1

    @pytest.mark.parametrize("kind", ["hold", "retrain_request", "something else"])
    def test_decisions_of_other_kinds_crown_nobody(self, kind: str) -> None:
        assert serves(65, [*TWO, decided(kind, 3, effective=61, trained_until=38)]) == 2


class TestBeforeTheFirstChampion:
    def test_a_day_after_its_window_is_scored_by_the_one_promoted_later(self) -> None:
        tenure, reason = champion_of(on(39), TWO)
        assert tenure == Tenure(1, on(40), on(38))
        assert reason == f"version 1: promoted later, but trained on days up to {day(38)} only"

    def test_the_newest_that_had_not_seen_the_day_is_taken(self) -> None:
        early = [promoted(n, effective=40 + n, trained_until=20 + n) for n in (1, 2, 3)]
        assert [serves(n, early) for n in (22, 23, 24, 39)] == [1, 2, 3, 3]

    @pytest.mark.parametrize("number", [38, 10, -500])
    def test_a_day_that_every_champion_had_seen_is_refused_with_the_next_move(self, number: int) -> None:
        tenure, reason = champion_of(on(number), TWO)
        assert tenure is None
        assert f"days up to {day(38)} or later, so none may score {day(number)}" in reason
        assert "set score.force_future_model" in reason

    def test_forced_the_first_champion_scores_it_and_says_so(self) -> None:
        tenure, reason = champion_of(on(10), TWO, allow_future=True)
        assert tenure == Tenure(1, on(40), on(38))
        assert reason == f"version 1: forced, although it was trained on days after {day(10)}"

    def test_forcing_does_not_displace_one_that_may(self) -> None:
        assert serves(39, TWO, allow_future=True) == 1
        assert serves(65, TWO, allow_future=True) == 2


class TestWindowOverlaps:
    SEEN: ClassVar = [promoted(1, effective=40, trained_until=38), promoted(2, effective=60, trained_until=65)]

    def test_a_champion_that_was_trained_on_the_day_may_not_score_it(self) -> None:
        assert [serves(n, self.SEEN) for n in (60, 65, 66)] == [1, 1, 2]

    def test_the_reason_says_that_an_earlier_champion_steps_in(self) -> None:
        assert champion_of(on(62), self.SEEN)[1] == (
            f"version 1: an earlier champion, but trained on days up to {day(38)} only"
        )

    def test_with_nobody_else_the_day_is_refused(self) -> None:
        assert serves(62, self.SEEN[1:]) is None

    def test_forced_it_scores_the_day_all_the_same(self) -> None:
        assert serves(62, self.SEEN, allow_future=True) == 2


class TestWithoutEvidence:
    def test_nobody_serves_where_nothing_was_promoted(self) -> None:
        for decisions in ([], [decided("hold", 1, effective=None, trained_until=38, judged_on=40)]):
            for allow in (False, True):
                assert champion_of(on(50), decisions, allow_future=allow) == (
                    None,
                    "no champion has been promoted yet",
                )

    @pytest.mark.parametrize(
        "broken",
        [
            decided("promotion", None, effective=61, trained_until=38),
            decided("promotion", 9, effective=None, trained_until=38),
            decided("promotion", 9, effective=61, trained_until=None),
        ],
        ids=["no version", "no day", "no window"],
    )
    def test_a_decision_that_lacks_a_fact_crowns_nobody(self, broken: Logged) -> None:
        assert serves(65, [*TWO, broken]) == 2

    def test_reigns_come_in_the_order_in_which_they_were_decided(self) -> None:
        assert champion_tenures(TWO[::-1]) == [Tenure(2, on(60), on(58)), Tenure(1, on(40), on(38))]


class TestReignOnADay:
    BACK: ClassVar = champion_tenures([*TWO, decided("rollback", 1, effective=70, trained_until=38)])

    @pytest.mark.parametrize(("number", "began"), [(40, 40), (69, 40), (70, 70), (99, 70), (39, 40)])
    def test_a_version_that_comes_back_later_has_served_since_it_first_came(self, number: int, began: int) -> None:
        assert tenure_on(1, on(number), self.BACK).effective_day == on(began)


class TestLastJudged:
    JUDGED: ClassVar = [
        decided("promotion", 1, effective=41, trained_until=38, judged_on=40),
        decided("hold", 2, effective=None, trained_until=48, judged_on=50),
        decided("rejection", 3, effective=None, trained_until=58, judged_on=60),
        decided("rollback", 1, effective=70, trained_until=38, judged_on=70),
        decided("retrain_request", 1, effective=80, trained_until=None, judged_on=80),
    ]

    @pytest.mark.parametrize(("until", "expected"), [(39, None), (40, 40), (49, 40), (50, 50), (69, 60), (99, 70)])
    def test_it_is_the_newest_promotion_hold_rejection_or_rollback_not_after_the_day(
        self, until: int, expected: int | None
    ) -> None:
        found = last_judged(self.JUDGED, until=on(until))
        assert found == (None if expected is None else on(expected))
        assert found == last_judged(self.JUDGED[::-1], until=on(until))

    def test_rollbacks_alone_can_be_asked_for(self) -> None:
        assert last_judged(self.JUDGED, until=on(99), kinds=("rollback",)) == on(70)
        assert last_judged(self.JUDGED, until=on(69), kinds=("rollback",)) is None

    def test_a_judgement_without_a_day_does_not_count(self) -> None:
        assert last_judged([decided("hold", 2, effective=None, trained_until=48)], until=on(99)) is None


def decided_with(kind: str, version: int, *, effective: int, fingerprint: str, **facts: object) -> Logged:
    plain = decided(kind, version, effective=effective, trained_until=effective - 2)
    return plain.model_copy(update={"fingerprint": fingerprint, "payload": {**plain.payload, **facts}})


def rolled_back(version: int, fingerprint: str, *, away_from: str, effective: int = 90) -> Logged:
    return decided_with(
        "rollback", version, effective=effective, fingerprint=fingerprint, blocked_fingerprint=away_from
    )


THREE = [
    decided_with("promotion", 1, effective=40, fingerprint="a"),
    decided_with("promotion", 2, effective=60, fingerprint="b"),
    decided_with("promotion", 3, effective=80, fingerprint="c"),
]


class TestBarred:
    def test_a_rollback_bars_what_it_removed(self) -> None:
        assert blocked(THREE) == set()
        assert blocked([*THREE, rolled_back(2, "b", away_from="c")]) == {"c"}

    def test_each_further_rollback_bars_one_more(self) -> None:
        assert blocked([*THREE, rolled_back(2, "b", away_from="c"), rolled_back(1, "a", away_from="b")]) == {"b", "c"}

    def test_who_is_rolled_back_to_is_barred_no_more(self) -> None:
        assert blocked([*THREE, rolled_back(2, "b", away_from="c"), rolled_back(3, "c", away_from="b")]) == {"b"}

    def test_a_rollback_without_a_fingerprint_bars_nobody(self) -> None:
        assert blocked([*THREE, decided("rollback", 2, effective=90, trained_until=58)]) == set()


class TestChampionBefore:
    @pytest.mark.parametrize(
        ("decisions", "version"),
        [
            (THREE, 2),
            (THREE[:1], None),
            ([], None),
            ([*THREE, rolled_back(2, "b", away_from="c")], 1),
            ([*THREE, rolled_back(1, "a", away_from="c")], 2),
            ([*THREE, rolled_back(2, "b", away_from="c"), rolled_back(1, "a", away_from="b")], None),
        ],
        ids=["the one before", "only one", "nobody", "after a rollback", "after a leap back", "all were bad"],
    )
    def test_it_is_the_newest_other_champion_that_was_not_rolled_back(
        self, decisions: list[Logged], version: int | None
    ) -> None:
        found = champion_before(decisions)
        assert (found.payload["version"] if found else None) == version


class TestWhoWasChampion:
    @pytest.mark.parametrize(("number", "version"), [(39, None), (40, 1), (79, 2), (80, 3), (1000, 3)])
    def test_of_a_day(self, number: int, version: int | None) -> None:
        found = promoted_on(on(number), THREE)
        assert (found.payload["version"] if found else None) == version

    def test_now(self) -> None:
        back = [*THREE, rolled_back(2, "b", away_from="c", effective=81)]
        assert promoted_on(None, back) == back[-1]


class TestJudgedVersion:
    """A refit serves in the place of the version that was judged."""

    LOG: ClassVar = [
        decided_with("promotion", 3, effective=60, fingerprint="c", judged_version=2),
        decided_with("promotion", 4, effective=61, fingerprint="d"),
        decided_with("hold", 6, effective=62, fingerprint="e", judged_version=5),
        decided_with("promotion", 6, effective=62, fingerprint="e", judged_version=None),
    ]

    @pytest.mark.parametrize(("version", "judged"), [(3, 2), (2, 2), (4, 4), (6, 5), (9, 9)])
    def test_it_is_another_one_only_where_it_is_a_refit(self, version: int, judged: int) -> None:
        assert judged_version(version, self.LOG) == judged


class TestAfterAWithdrawal:
    """MLflow lost the champion's model, and no version before it could serve."""

    GONE = decided("withdrawal", None, effective=70, trained_until=None)
    LOG: ClassVar = [*TWO, GONE.model_copy(update={"payload": GONE.payload | {"withdrawn_version": 2}})]

    @pytest.mark.parametrize("number", [45, 65, 71])
    def test_nobody_scores_a_day(self, number: int) -> None:
        assert serves(number, self.LOG) is None
        assert "was withdrawn" in champion_of(on(number), self.LOG)[1]

    def test_nobody_is_champion_and_nobody_was_before(self) -> None:
        assert promoted_on(None, self.LOG) is None
        assert champion_before(self.LOG) is None

    def test_the_next_winner_serves(self) -> None:
        assert serves(85, [*self.LOG, promoted(3, effective=80, trained_until=78)]) == 3
