"""Who is watched, for how long, and what counts as doing better."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.champions.previous_champion import Watch, compare, measure, watch_of
from ml.records import Champion, Logged, PreviousChampionComparison
from ml.settings import Gate, Rollback
from tests import builders

DAY = date(2013, 6, 1)
MAE = Gate(metric="mae")
WATCH = Watch(champion=2, previous=1, first_day=DAY, last_day=DAY + timedelta(days=13))


def came(kind: str, version: int, before: int | None, on: date, trained: date | None = None) -> Logged:
    """Write down that a version came to serve from ``on``, trained on days up to ``trained`` (the day before it)."""
    payload: dict[str, Any] = {"version": version, "previous_version": before}
    payload["window_last_day"] = (trained or on - timedelta(days=1)).isoformat()
    at = datetime(2013, 6, 1, tzinfo=UTC)
    name = f"{kind} {version} {on}"
    return Logged(decision_id=name, kind=kind, decided_at=at, fingerprint=None, effective_day=on, payload=payload)


LIFE = [
    came("promotion", 1, None, DAY - timedelta(days=30)),
    came("promotion", 2, 1, DAY),
    came("promotion", 3, 2, DAY + timedelta(days=5)),
    came("rollback", 2, 3, DAY + timedelta(days=9)),
]


class TestWatch:
    @pytest.mark.parametrize(("after", "version", "previous"), [(0, 2, 1), (4, 2, 1), (5, 3, 2), (8, 3, 2)])
    def test_a_promoted_version_is_held_against_the_one_it_replaced(
        self, after: int, version: int, previous: int
    ) -> None:
        watch, _ = watch_of(DAY + timedelta(days=after), version, LIFE, days=14)
        assert watch is not None
        assert (watch.champion, watch.previous) == (version, previous)

    def test_it_lasts_as_many_days_as_declared_from_the_day_on_which_the_version_serves(self) -> None:
        watch, _ = watch_of(DAY, 2, LIFE[:2], days=14)
        assert watch == WATCH

    def test_days_that_the_champion_was_trained_on_are_no_evidence(self) -> None:
        seen = DAY + timedelta(days=2)
        watch, _ = watch_of(DAY, 2, [LIFE[0], came("promotion", 2, 1, DAY, trained=seen)], days=14)
        assert watch is not None
        assert watch.first_day == seen + timedelta(days=1)

    @pytest.mark.parametrize(
        ("after", "version", "stated"),
        [
            (-5, 1, "no other version served before"),
            (10, 2, "came back by rollback"),
            (5, 2, "was not the champion in force"),
            (-40, 1, "was not the champion in force"),
            (0, None, "no champion serves"),
        ],
    )
    def test_nobody_else_is(self, after: int, version: int | None, stated: str) -> None:
        watch, reason = watch_of(DAY + timedelta(days=after), version, LIFE, days=14)
        assert watch is None
        assert stated in reason


def rows(gain: float, *, days: int = 14, day_sd: float = 0.0, seed: int = 0) -> pd.DataFrame:
    frame = builders.holdout(gain, days=days, day_sd=day_sd, seed=seed)
    return frame.rename(columns={"challenger": "previous"})


class TestCompare:
    def test_a_rival_that_is_better_every_day_is_found_and_said(self) -> None:
        found = compare(DAY, WATCH, rows(5.0, day_sd=1.0), gate=MAE, rollback=Rollback(), seed=1)
        assert found.gain is not None and found.low is not None and found.high is not None
        assert 0 < found.low < found.gain < found.high
        assert (found.champion_version, found.previous_version, found.days) == (2, 1, 14)
        assert "version 1, which served before, has a MAE lower by" in found.reason

    def test_fewer_days_than_declared_say_nothing(self) -> None:
        found = compare(DAY, WATCH, rows(5.0, days=4), gate=MAE, rollback=Rollback(), seed=1, left_out="; left out: x")
        assert (found.gain, found.low, found.high, found.days) == (None, None, None, 4)
        assert "of the 5 that a rollback needs" in found.reason and found.reason.endswith("left out: x")

    def test_no_day_at_all_says_nothing(self) -> None:
        found = compare(DAY, WATCH, rows(0.0).head(0), gate=MAE, rollback=Rollback(), seed=1)
        assert (found.gain, found.days, found.rows) == (None, 0, 0)

    @pytest.mark.parametrize("days", [5, 14])
    def test_a_prediction_that_is_no_number_says_nothing(self, days: int) -> None:
        frame = rows(5.0, days=days)
        frame.loc[3, "previous"] = np.nan
        found = compare(DAY, WATCH, frame, gate=MAE, rollback=Rollback(), seed=1)
        assert (found.gain, found.days, found.rows) == (None, days, 80 * days)
        assert found.reason.startswith(f"some prediction on the {days} labelled days is not a number")

    def test_equal_models_are_equal(self) -> None:
        frame = rows(0.0)
        frame["previous"] = frame["champion"]
        found = compare(DAY, WATCH, frame, gate=MAE, rollback=Rollback(), seed=1)
        assert (found.gain, found.low) == (0.0, 0.0)

    def test_five_lucky_days_are_not_enough(self) -> None:
        """Five days that all favour the rival come by chance too: with equal models once in 32 promotions."""
        frame = pd.DataFrame(
            {"day": list("abcde"), "target": 0.0, "champion": [1.1, 1.3, 1.02, 1.2, 1.05], "previous": 1.0}
        )
        found = compare(DAY, WATCH, frame, gate=MAE, rollback=Rollback(), seed=1)
        assert found.low is not None and found.gain is not None
        assert found.low < 0 < found.gain


def measured(
    after: int, *, arrived: set[int] | None = None, absent: set[int] | None = None, **sections: Any
) -> tuple[PreviousChampionComparison, list[date]]:
    """Compare on the day that is ``after`` days after version 2 came to serve; also name the days that were read.

    Labels of ``arrived`` days after it are there (None: of all), and predictions but for those of ``absent`` ones.
    """
    read: list[date] = []

    def labelled(first: date, last: date) -> set[date]:
        assert first >= DAY
        days = {first + timedelta(days=n) for n in range((last - first).days + 1)}
        return days if arrived is None else days & {DAY + timedelta(days=n) for n in arrived}

    def pair(watch: Watch, on: date) -> pd.DataFrame | None:
        assert (watch.champion, watch.previous) == (2, 1)
        read.append(on)
        if on in {DAY + timedelta(days=n) for n in absent or ()}:
            return None
        return rows(5.0, days=1, day_sd=1.0, seed=on.day).assign(day=str(on), more="column")

    task = {"kind": "regression", "label_delay_days": 2, **sections.pop("task", {})}
    champion = Champion(day=DAY + timedelta(days=after), version=2, reason="", data_version="")
    settings = builders.settings(task=task, gate={"metric": "mae"}, **sections)
    log = [came("promotion", 1, None, DAY - timedelta(days=30)), came("promotion", 2, 1, DAY)]
    return measure(champion, log, labelled=labelled, pair=pair, settings=settings), read


class TestMeasure:
    @pytest.mark.parametrize(
        ("after", "first", "last"),
        [(2, 0, 0), (9, 0, 7), (15, 0, 13), (22, 0, 13)],
        ids=["the first labels", "half-way", "all days", "labels are read again"],
    )
    def test_the_days_of_the_watch_whose_labels_can_be_there_are_compared(
        self, after: int, first: int, last: int
    ) -> None:
        found, read = measured(after)
        assert read == [DAY + timedelta(days=n) for n in range(first, last + 1)]
        assert (found.day, found.days, found.rows) == (DAY + timedelta(days=after), len(read), 80 * len(read))
        assert (found.gain is not None) is (len(read) >= 5)
        assert "left out" not in found.reason

    def test_a_watch_ends_once_labels_are_no_longer_read_again(self) -> None:
        found, read = measured(23)
        assert (found.gain, found.champion_version, found.previous_version, read) == (None, 2, None, [])
        assert found.reason == "the watch over version 2 ended on 2013-06-14"

    def test_where_data_come_weekly_a_watch_lasts_as_many_days_with_data(self) -> None:
        _, read = measured(100, land={"every_days": 7}, screen={"recent_days": 56})
        assert read[-1] == DAY + timedelta(days=97)

    def test_before_the_first_labels_nobody_is_compared(self) -> None:
        found, read = measured(1)
        assert (found.day, found.gain, read) == (DAY + timedelta(days=1), None, [])
        assert found.reason == "no day since 2013-06-01 has its labels yet"

    @pytest.mark.parametrize(("age", "said"), [(None, False), (6, True), (7, False)])
    def test_who_is_replaced_before_the_labels_of_enough_days_is_taken_back_by_hand(
        self, age: int | None, said: bool
    ) -> None:
        """Labels two days late, and five days that a rollback needs: the seventh day of serving is the first."""
        found, _ = measured(1, retrain={"max_age_days": age})
        assert ("task.label_delay_days (2) is longer than retrain.max_age_days" in found.reason) is said

    def test_labels_that_are_late_for_all_days_leave_nothing_to_compare(self) -> None:
        found, read = measured(9, arrived=set())
        assert (found.gain, found.reason, read) == (None, "no labels from 2013-06-01 to 2013-06-08 have arrived", [])

    def test_days_without_labels_or_predictions_are_left_out_and_named(self) -> None:
        found, read = measured(9, arrived=set(range(7)), absent={3})
        assert [on.day for on in read] == [1, 2, 3, 4, 5, 6, 7]
        assert (found.days, found.rows) == (6, 480) and found.gain is not None
        assert found.reason.endswith("; left out: 2013-06-04, 2013-06-08")

    def test_days_without_any_pair_of_predictions_are_no_evidence(self) -> None:
        found, _ = measured(3, absent={0, 1})
        assert (found.gain, found.days, found.rows) == (None, 0, 0)
        assert found.reason.endswith("; left out: 2013-06-01, 2013-06-02")

    def test_the_interval_is_as_sure_and_as_often_resampled_as_declared(self) -> None:
        sure, unsure = (measured(9, rollback={"confidence": share})[0] for share in (0.99, 0.8))
        assert sure.low is not None and unsure.low is not None and sure.low < unsure.low
        assert sure.gain == unsure.gain

    def test_who_is_not_watched_is_not_compared(self) -> None:
        found, read = measured(-1)
        assert (found.gain, read) == (None, [])
        assert found.reason == "version 2 was not the champion in force on 2013-05-31"
