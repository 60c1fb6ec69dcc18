"""What the charts of performance over time draw follows from what monitoring and trainings have kept."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from ml.adapters.tracking.model_registry import Version
from ml.core.monitoring import day_summary
from ml.core.monitoring.day_summary import Day
from ml.records import Arrival
from ml.views import performance_series as series
from tests import builders
from tests.builders_performance import LAST, SECOND, TENURES, UNMEASURED, facts_of, trainings
from tests.unit.test_charts import DAY, decided, later, live

METRIC = "log_loss"


def day_of(monitored: date, labelled: date) -> Day:
    return Day(monitored, day_summary.summarise(decided(monitored), None, live(monitored, labelled=labelled)))


def test_of_two_days_that_measured_the_same_labels_the_newer_one_counts() -> None:
    measured = series.live_figures([day_of(DAY, DAY), day_of(later(1), DAY), Day(later(2), None)], [], metric=METRIC)
    assert (measured["days"], measured["monitored"]) == ([str(DAY)], [str(later(1))])


def test_the_base_rate_s_loss_is_the_loss_and_the_skill_together_and_of_no_other_figure() -> None:
    facts = facts_of(90)["live"]
    figures = {figure["name"]: figure for figure in facts["figures"]}
    assert facts["figures"][0]["name"] == METRIC
    loss, skill = figures[METRIC], figures["skill"]
    together = [value + gained for value, gained in zip(loss["value"], skill["value"], strict=True)]
    assert loss["base_rate"] == [round(value, 6) for value in together]
    assert set(figures["roc_auc"]["base_rate"]) == {None}


def test_a_day_is_of_the_version_that_served_it_and_one_without_labels_is_left_out() -> None:
    facts = facts_of(90)["live"]
    by_day = dict(zip(facts["days"], facts["served_by"], strict=True))
    assert by_day[str(SECOND - timedelta(days=1))] == 2 and by_day[str(SECOND)] == 3
    assert str(UNMEASURED) not in by_day
    assert series.live_figures([], TENURES, metric=METRIC)["days"] == []


def test_labels_have_the_delay_of_their_first_delivery_and_of_their_newest_correction() -> None:
    came = [Arrival(day=DAY, md5=md5, partition=later(days)) for md5, days in (("a", 1), ("b", 3), ("c", 8))]
    delays = series.label_delays({later(1): [Arrival(day=later(1), md5="a", partition=later(3))], DAY: came})
    assert delays == {"days": [str(DAY), str(later(1))], "first": [1, 2], "corrected": [8, None]}


def test_a_training_is_listed_with_what_its_fits_took() -> None:
    assert [(one["version"], one["seconds"]) for one in trainings()] == [(2, 20.0), (3, 30.0)]
    assert facts_of(90)["trainings"][0]["last_day"] == str(LAST - timedelta(days=41))


def test_the_fit_of_the_judged_version_is_part_of_the_training_of_its_refit() -> None:
    versions = [
        Version(version, f"run{version}", datetime(2013, 6, 1, tzinfo=UTC), (), {}, {"fit_seconds": 5.0 * version})
        for version in (1, 2)
    ]
    promotion = builders.decided("promotion", 2, effective=1, trained_until=0)
    promotion = promotion.model_copy(update={"payload": {**promotion.payload, "judged_version": 1}})
    (training,) = series.trainings(versions, [promotion])
    assert (training["version"], training["outcome"], training["seconds"]) == (2, "champion", 15.0)


def test_a_training_of_which_no_fit_was_timed_has_no_seconds() -> None:
    version = Version(1, "run", datetime(2013, 6, 1, tzinfo=UTC), (), {}, {})
    assert series.trainings([version], [])[0]["seconds"] is None
