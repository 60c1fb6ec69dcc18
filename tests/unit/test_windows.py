"""Which days are trained on, which are read for history only, and what is said if they are too few."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, ClassVar

import pytest

from ml.core.data.days import days_between
from ml.core.data.windows import Chosen, choose, holdout_first_day
from ml.errors import MissingArtifact

FIRST = date(2013, 1, 1)


def on(number: int) -> date:
    return FIRST + timedelta(days=number)


DAYS = days_between(FIRST, on(59))


def chosen(labelled: list[date] = DAYS, **asked: Any) -> Chosen:
    return choose(labelled, **{"last_day": None, "days": None, "min_days": 2, "lookback_days": 0, **asked})


def refused(labelled: list[date] = DAYS, **asked: Any) -> str:
    with pytest.raises(MissingArtifact) as caught:
        chosen(labelled, **asked)
    return str(caught.value)


class TestGrowing:
    def test_it_takes_every_labelled_day(self) -> None:
        found = chosen(lookback_days=10)
        assert found == Chosen(days=tuple(DAYS), lookback=())
        assert (found.first_day, found.last_day) == (on(0), on(59))

    def test_it_ends_at_the_day_asked_for(self) -> None:
        assert chosen(last_day=on(40)).days == tuple(DAYS[:41])

    def test_days_come_in_order_whatever_the_order_they_are_known_in(self) -> None:
        assert chosen(DAYS[::-1]) == chosen()
        assert choose(set(DAYS), last_day=None, days=None, min_days=2, lookback_days=0) == chosen()


class TestTrailing:
    def test_it_takes_so_many_days_up_to_the_newest(self) -> None:
        assert chosen(days=10).days == tuple(DAYS[50:])

    def test_it_takes_so_many_days_up_to_the_day_asked_for(self) -> None:
        assert chosen(days=10, last_day=on(40)).days == tuple(DAYS[31:41])

    def test_the_whole_history_can_be_asked_for_and_not_a_day_more(self) -> None:
        assert chosen(days=60).days == tuple(DAYS)
        assert refused(days=61) == (
            "a window of 61 days up to 2013-03-01 would begin on 2012-12-31, but the first labelled day is "
            "2013-01-01; ask for at most 60 days, or land more history"
        )

    def test_the_lookback_is_read_before_it_and_not_trained_on(self) -> None:
        found = chosen(days=10, lookback_days=5)
        assert found.lookback == tuple(DAYS[45:50])
        assert found.days == tuple(DAYS[50:])

    def test_the_lookback_takes_what_there_is(self) -> None:
        assert chosen(days=58, lookback_days=28).lookback == tuple(DAYS[:2])


class TestGaps:
    HOLEY: ClassVar = [day for day in DAYS if day not in {on(52), on(53), on(47)}]

    def test_a_window_does_not_reach_back_for_days_that_are_missing(self) -> None:
        found = chosen(self.HOLEY, days=10, lookback_days=4)
        assert found.days == tuple(d for d in DAYS[50:] if d not in {on(52), on(53)})
        assert found.lookback == (on(46), on(48), on(49))

    def test_a_window_ends_at_the_day_asked_for_even_if_that_day_is_missing(self) -> None:
        found = chosen(self.HOLEY, days=4, last_day=on(53))
        assert found.days == (on(50), on(51))

    def test_days_after_the_newest_labelled_one_are_missing_days(self) -> None:
        assert chosen(days=10, last_day=on(62)).days == tuple(DAYS[53:])


class TestTooShort:
    def test_as_many_days_as_are_needed_are_enough_and_one_fewer_is_not(self) -> None:
        assert len(chosen(min_days=60).days) == 60
        assert refused(min_days=61) == (
            "only 60 labelled days from 2013-01-01 to 2013-03-01, fewer than pull.min_days (61); "
            "ingest more days, or lower pull.min_days"
        )

    def test_missing_days_do_not_count(self) -> None:
        assert "only 8 labelled days" in refused(TestGaps.HOLEY, days=10, min_days=10)

    def test_no_labelled_day_at_all_is_said_with_the_next_move(self) -> None:
        said = "the data registry holds no labelled day: run 'make setup' or ingest some days; of days that are there"
        assert refused([]).startswith(said)
        assert "no labelled day up to 2012-12-31: run" in refused(last_day=on(-1))


def test_the_holdout_begins_at_the_newest_days_whatever_their_order() -> None:
    days = [on(9), on(2), on(5), on(7), on(0)]
    assert holdout_first_day(days, 1) == on(9)
    assert holdout_first_day(days, 3) == on(5)
    assert holdout_first_day(set(days), 5) == on(0)


class TestExcluded:
    def test_days_are_left_out_and_read_where_means_look_back_on_them(self) -> None:
        strike = [on(30), on(31)]
        window = chosen(days=40, lookback_days=5, excluded=strike)
        assert window.days == tuple(day for day in DAYS[20:] if day not in strike)
        assert (window.excluded, window.lookback) == (tuple(strike), tuple(DAYS[15:20]))
        assert window.read_days == tuple(DAYS[15:])
        assert chosen(days=40, excluded=strike).read_days == window.days, "nothing looks back"

    def test_a_window_ends_and_begins_with_a_day_that_counts(self) -> None:
        window = chosen(days=10, lookback_days=3, excluded=[on(50), on(58), on(59)])
        assert (window.first_day, window.last_day, window.excluded) == (on(48), on(57), (on(50),))
        first = chosen(lookback_days=3, excluded=[on(0), on(1)])
        assert (first.first_day, first.lookback, first.excluded) == (on(2), (on(0), on(1)), ())

    def test_too_few_that_are_left_are_an_error_with_the_next_move(self) -> None:
        message = refused(days=40, min_days=30, excluded=DAYS[35:55])
        assert "that are not excluded (20 are)" in message and "'evergreen exclude --undo'" in message
