"""Which labels a scored day could see: what had arrived, as it was then, and nothing that came later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.core.data.arrivals import as_seen, contents_of, facts_of, not_as_present, read_facts
from ml.core.training.lagged_means import add_history, history_names
from ml.core.training.lineage import fingerprint
from ml.records import Arrival, Content
from ml.settings import HistoryFeature
from tests.builders import FIRST_DAY, day, rows, settings

HISTORY = (HistoryFeature(by=(), days=(1, 7)), HistoryFeature(by=("carrier",), days=(2, 28)))
NAMES = history_names(HISTORY)
DAYS = 40


def on(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def arrived(number: int, *steps: tuple[int, str]) -> dict[date, list[Arrival]]:
    return {on(number): [Arrival(day=on(number), md5=md5, partition=on(came)) for came, md5 in steps]}


def contents(present: dict[date, str], arrivals: dict[date, list[Arrival]], *, delay: int = 1) -> list[Content]:
    return contents_of(present, arrivals, label_delay_days=delay)


def seen(
    present: dict[date, str], arrivals: dict[date, list[Arrival]], *, first: int, last: int
) -> tuple[Content, ...]:
    return not_as_present(
        contents(present, arrivals), present, HISTORY, label_delay_days=1, first_day=on(first), last_day=on(last)
    )


class TestContents:
    def test_labels_count_from_the_partition_that_brought_them_but_never_before_they_are_due(self) -> None:
        (early,) = contents({on(5): "a"}, arrived(5, (5, "a")))
        assert (early.first, early.until) == (on(6), None)
        (late,) = contents({on(5): "a"}, arrived(5, (8, "a")))
        assert (late.first, late.until) == (on(8), None)

    def test_a_correction_is_seen_from_its_partition_on_and_what_it_replaced_until_then(self) -> None:
        found = contents({on(5): "b"}, arrived(5, (6, "a"), (9, "b")))
        assert [(each.md5, each.first, each.until) for each in found] == [("a", on(6), on(9)), ("b", on(9), None)]

    def test_what_nobody_could_see_in_between_is_left_out(self) -> None:
        found = contents({on(5): "c"}, arrived(5, (6, "a"), (9, "b"), (9, "c")))
        assert [each.md5 for each in found] == ["a", "c"]
        assert [each.md5 for each in contents({on(5): "a"}, arrived(5, (6, "a"), (9, "a")))] == ["a"]

    def test_a_day_of_which_nobody_wrote_it_down_came_when_it_was_due(self) -> None:
        assert [each.first for each in contents({on(5): "a"}, {}, delay=3)] == [on(8)]
        (other,) = contents({on(5): "z"}, arrived(5, (9, "a")))
        assert (other.md5, other.first) == ("z", on(6))


class TestWhatDiffers:
    def test_labels_on_time_make_no_difference(self) -> None:
        present = {on(number): "a" for number in range(30)}
        arrivals = {k: v for number in range(30) for k, v in arrived(number, (number + 1, "a")).items()}
        assert seen(present, arrivals, first=10, last=29) == ()

    def test_late_labels_do_where_a_day_of_the_window_looked_back_on_them(self) -> None:
        (found,) = seen({on(5): "a"}, arrived(5, (8, "a")), first=6, last=20)
        assert (found.md5, found.first, found.until) == ("a", on(8), None)
        assert seen({on(5): "a"}, arrived(5, (8, "a")), first=8, last=20) == ()  # day 8 saw them
        assert seen({on(5): "a"}, arrived(5, (8, "a")), first=34, last=50) == ()  # too long ago for any

    def test_a_correction_after_the_window_leaves_what_was_seen_before_it(self) -> None:
        (found,) = seen({on(5): "b"}, arrived(5, (6, "a"), (30, "b")), first=6, last=20)
        assert (found.md5, found.first, found.until) == ("a", on(6), None)

    def test_labels_that_came_after_the_window_were_seen_by_nobody(self) -> None:
        (found,) = seen({on(5): "a"}, arrived(5, (30, "a")), first=6, last=20)
        assert found.md5 == ""

    def test_they_survive_the_way_through_json(self) -> None:
        found = seen({on(5): "b"}, arrived(5, (8, "a"), (9, "b")), first=6, last=20)
        assert read_facts(facts_of(found)) == found


def whole_targets(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def broken_targets(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(late=frame["late"] * 0.1 + np.random.default_rng(3).normal(size=len(frame)))


@pytest.mark.parametrize("with_targets", [whole_targets, broken_targets])
@pytest.mark.parametrize("delay", [0, 1, 2])
def test_training_sees_bit_for_bit_what_each_day_saw_when_it_was_scored(with_targets: Any, delay: int) -> None:
    """Labels come 0, 1, 2 and 5 days late, or never; some are corrected when others have been scored."""
    frame = with_targets(rows(days=DAYS, per_day=7))
    wrong = frame.assign(late=1 - frame["late"])
    lateness = [0, 1, 2, 5, None, 0, 0]
    arrivals: dict[date, list[Arrival]] = {}
    known = {"a": frame, "b": wrong}
    for number in range(DAYS):
        late = lateness[number % len(lateness)]
        if late is None:
            continue
        came = on(number + max(delay, 1) + late)
        arrivals[on(number)] = [Arrival(day=on(number), md5=f"a{number}", partition=came)]
        if number % 5 == 0:
            first = Arrival(day=on(number), md5=f"b{number}", partition=came)
            last = arrivals[on(number)][0].model_copy(update={"partition": came + timedelta(days=3)})
            arrivals[on(number)] = [first, last]

    served = []
    for number in range(12, DAYS):  # as it was served: of each label day what had come by then
        parts = []
        for label_day, steps in arrivals.items():
            there = [step.md5 for step in steps if step.partition <= on(number)]
            if there:
                source = known[there[-1][0]]
                parts.append(source.loc[source["day"] == label_day.isoformat()])
        today = frame.loc[frame["day"] == day(number)]
        served.append(add_history(today, pd.concat(parts), HISTORY, target="late", label_delay_days=delay))

    present = {label_day: steps[-1].md5 for label_day, steps in arrivals.items()}
    found = not_as_present(
        contents_of(present, arrivals, label_delay_days=delay),
        present,
        HISTORY,
        label_delay_days=delay,
        first_day=on(12),
        last_day=on(DAYS - 1),
    )
    labelled = frame.loc[frame["day"].isin([label_day.isoformat() for label_day in arrivals])]
    earlier = {f"b{n}": wrong.loc[wrong["day"] == day(n)] for n in range(0, DAYS, 5)}
    window = frame.loc[frame["day"] >= day(12)]
    trained = add_history(window, as_seen(labelled, earlier, found), HISTORY, target="late", label_delay_days=delay)
    assert_frame_equal(pd.concat(served)[NAMES], trained[NAMES], check_exact=True)
    without = add_history(window, labelled, HISTORY, target="late", label_delay_days=delay)
    assert not trained[NAMES].equals(without[NAMES])


def test_only_arrivals_that_change_features_change_the_fingerprint() -> None:
    def named(contents: Sequence[Content]) -> str:
        return fingerprint([], settings(), first_day=on(6), code_sha256="c", lock_sha256="l", seen=contents)

    on_time = seen({on(5): "a"}, arrived(5, (6, "a")), first=6, last=20)
    late = seen({on(5): "a"}, arrived(5, (8, "a")), first=6, last=20)
    assert named(on_time) == named(()) != named(late)
    assert named(late) == named(seen({on(5): "a"}, arrived(5, (8, "a")), first=6, last=20))
