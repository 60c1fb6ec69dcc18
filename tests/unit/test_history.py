"""Who may score a day, read out of the decisions: never a model that had seen that day."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

import pytest

from ml.core.history import Reign, champion_of, last_judged, reigns
from ml.records import Logged
from tests.builders import day, decided


def on(number: int) -> date:
    return date.fromisoformat(day(number))


def promoted(version: int, *, effective: int, trained_until: int) -> Logged:
    return decided("promotion", version, effective=effective, trained_until=trained_until)


TWO = [promoted(1, effective=40, trained_until=38), promoted(2, effective=60, trained_until=58)]


def serves(number: int, decisions: list[Logged], *, allow_future: bool = False) -> int | None:
    reign, _ = champion_of(on(number), decisions, allow_future=allow_future)
    return reign.version if reign else None


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
        reign, reason = champion_of(on(39), TWO)
        assert reign == Reign(1, on(40), on(38))
        assert reason == f"version 1: promoted later, but trained on days up to {day(38)} only"

    def test_the_newest_that_had_not_seen_the_day_is_taken(self) -> None:
        early = [promoted(n, effective=40 + n, trained_until=20 + n) for n in (1, 2, 3)]
        assert [serves(n, early) for n in (22, 23, 24, 39)] == [1, 2, 3, 3]

    @pytest.mark.parametrize("number", [38, 10, -500])
    def test_a_day_that_every_champion_had_seen_is_refused_with_the_next_move(self, number: int) -> None:
        reign, reason = champion_of(on(number), TWO)
        assert reign is None
        assert f"days up to {day(38)} or later, so none may score {day(number)}" in reason
        assert "set score.force_future_model" in reason

    def test_forced_the_first_champion_scores_it_and_says_so(self) -> None:
        reign, reason = champion_of(on(10), TWO, allow_future=True)
        assert reign == Reign(1, on(40), on(38))
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
        assert reigns(TWO[::-1]) == [Reign(2, on(60), on(58)), Reign(1, on(40), on(38))]


class TestLastJudged:
    JUDGED: ClassVar = [
        decided("promotion", 1, effective=41, trained_until=38, judged_on=40),
        decided("hold", 2, effective=None, trained_until=48, judged_on=50),
        decided("rollback", 1, effective=70, trained_until=38, judged_on=70),
        decided("retrain_request", 1, effective=80, trained_until=None, judged_on=80),
    ]

    @pytest.mark.parametrize(("until", "expected"), [(39, None), (40, 40), (49, 40), (50, 50), (99, 50)])
    def test_it_is_the_newest_promotion_or_hold_not_after_the_day(self, until: int, expected: int | None) -> None:
        found = last_judged(self.JUDGED, until=on(until))
        assert found == (None if expected is None else on(expected))
        assert found == last_judged(self.JUDGED[::-1], until=on(until))

    def test_a_judgement_without_a_day_does_not_count(self) -> None:
        assert last_judged([decided("hold", 2, effective=None, trained_until=48)], until=on(99)) is None
