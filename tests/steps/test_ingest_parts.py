"""Each part of a partition for itself: bad labels, late labels, corrected labels, days without data."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.cli import withdraw
from ml.errors import DataRejected, EvergreenError, MissingArtifact, NoDataExpected, Unavailable
from ml.records import Asset, Landing, Rejection
from ml.steps.ingest import commit, deliveries, land, report_rejected, screen, source_day
from ml.steps.monitor import measure_performance
from ml.steps.retrain import pull
from ml.steps.score import resolve
from ml.views import page as overview
from ml.views.page.cache import MEMORY
from ml.wiring import Services
from tests.steps.conftest import LAST_DAY, MUCH_LATER, NEXT_DAY, REQUEST, World
from tests.steps.test_bad_input import DAY_AFTER, DEMO, Delivery, changed, delivery_to, of

THIRD_DAY = DAY_AFTER + timedelta(days=1)
UNKNOWN_KEYS = changed("flight", 9999, of(0, 120))


def corrected(labels: pd.DataFrame) -> pd.DataFrame:
    """Turn one label in twenty that was 0 to 1: too few to make the day doubtful."""
    return labels.assign(late=labels["late"].mask(np.arange(len(labels)) % 20 == 0, 1.0))


@pytest.fixture
def delivery(seeded: World) -> Delivery:
    """The healthy inputs of three days, and the labels that are due with them."""
    made = delivery_to(seeded)
    for day in (NEXT_DAY, DAY_AFTER, THIRD_DAY):
        made.deliver("inputs", day)
        made.deliver("labels", day - timedelta(days=1))
    return made


def landed(delivery: Delivery, day: date) -> Landing:
    found: Landing = delivery.world.run(land, day, now=MUCH_LATER)
    return found


def labelled(delivery: Delivery) -> set[date]:
    return set(delivery.world.services.registry.days("labels"))


def test_bad_labels_of_one_day_stop_no_other_day_and_are_reported_by_one_partition(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, UNKNOWN_KEYS)
    with pytest.raises(DataRejected, match=f"labels of {LAST_DAY} rejected: .*Inputs did not wait for this"):
        delivery.ingest_and_report(NEXT_DAY)
    with pytest.raises(DataRejected) as again:
        delivery.ingest_and_report(NEXT_DAY)  # cleared, and nothing has changed

    later = delivery.ingest_and_report(DAY_AFTER)
    assert [(each.day, each.partition) for each in later.rejected] == [(LAST_DAY, NEXT_DAY)]
    assert again.value.identity == later.rejected[0].identity
    assert {NEXT_DAY, DAY_AFTER} <= set(delivery.world.services.registry.days("inputs"))
    assert NEXT_DAY in labelled(delivery) and LAST_DAY not in labelled(delivery)

    delivery.deliver("labels", LAST_DAY, changed("flight", 9998, of(0, 120)))
    with pytest.raises(DataRejected) as other:
        delivery.ingest_and_report(THIRD_DAY)
    assert other.value.identity != again.value.identity, "other content, though as bad, is reported anew"

    delivery.deliver("labels", LAST_DAY)
    assert delivery.ingest_and_report(THIRD_DAY).rejected == ()
    assert LAST_DAY in labelled(delivery)


def test_the_very_call_that_commits_gives_what_was_rejected_beside_what_is_in(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, UNKNOWN_KEYS)
    ingested = delivery.world.ingest(NEXT_DAY)
    (rejected,) = ingested.rejected
    assert (rejected.asset, rejected.day, rejected.replaces) == ("labels", LAST_DAY, False)
    assert (ingested.rows, ingested.labelled_rows) == (len(DEMO.inputs(NEXT_DAY)), 0)


def test_rejected_inputs_and_labels_are_in_one_message(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, UNKNOWN_KEYS)
    delivery.deliver("inputs", NEXT_DAY, lambda frame: frame.drop(columns="dest"))
    with pytest.raises(DataRejected) as caught:
        delivery.world.ingest(NEXT_DAY)
    assert caught.value.about == f"inputs of {NEXT_DAY}, labels of {LAST_DAY}"
    assert "column 'dest' is missing" in str(caught.value) and "must be among that day's inputs" in str(caught.value)


def test_of_two_partitions_at_once_one_reports(delivery: Delivery) -> None:
    services, error = delivery.world.services, DataRejected("labels are bad")
    found = [
        deliveries.rejection(
            "labels", LAST_DAY, error, content="a", partition=day, replaces=False, services=services
        ).partition
        for day in (DAY_AFTER, NEXT_DAY)
    ]
    assert found == [DAY_AFTER, DAY_AFTER]


# --- late and corrected labels -----------------------------------------------------------------------


def test_labels_that_were_completed_and_corrected_are_taken_again(delivery: Delivery) -> None:
    whole = DEMO.labels(LAST_DAY)
    delivery.deliver("labels", LAST_DAY, lambda frame: frame.iloc[: int(len(frame) * 0.95)])
    first = delivery.world.ingest(NEXT_DAY)
    assert len(delivery.world.held("labels", LAST_DAY)) < len(whole)

    known = whole.index[whole["late"].notna()][:20]
    completed = whole.assign(late=whole["late"].where(~whole.index.isin(known), 1 - whole["late"]))
    delivery.deliver("labels", LAST_DAY, lambda frame: completed)
    second = delivery.world.ingest(DAY_AFTER)
    pd.testing.assert_frame_equal(delivery.world.held("labels", LAST_DAY), completed)
    assert second.changed and second.data_version != first.data_version
    registry = delivery.world.services.registry
    assert [each.partition for each in registry.arrivals(LAST_DAY, LAST_DAY)[LAST_DAY]] == [NEXT_DAY, DAY_AFTER]
    before = registry.open("labels", rev=first.data_version, first_day=LAST_DAY, last_day=LAST_DAY)
    assert len(pd.read_parquet(before[LAST_DAY])) < len(whole), "the old version stays readable"


def test_training_and_its_record_have_the_labels_as_they_are_now(delivery: Delivery) -> None:
    delivery.world.ingest(NEXT_DAY)
    before = delivery.world.run(pull, REQUEST)
    delivery.deliver("labels", LAST_DAY, corrected)
    delivery.world.ingest(DAY_AFTER)
    after = delivery.world.run(pull, REQUEST)
    assert after.fingerprint != before.fingerprint
    place = delivery.world.services.workspace(after.workspace)
    rows = place.read_table("data/rows.parquet")
    late = rows.loc[rows["day"] == str(LAST_DAY), "late"]
    assert late.sum() == corrected(DEMO.labels(LAST_DAY))["late"].sum() != DEMO.labels(LAST_DAY)["late"].sum()
    md5 = delivery.world.services.registry.days("labels")[LAST_DAY].md5
    assert place.read_json("data/window.json")["files"][f"labels/day={LAST_DAY}"] == md5


def test_live_performance_is_computed_from_the_corrected_labels(trained: World) -> None:
    delivery = delivery_to(trained.having(labels={"judge": False}))
    for day in (NEXT_DAY, DAY_AFTER, THIRD_DAY):
        delivery.deliver("inputs", day)
        delivery.deliver("labels", day - timedelta(days=1))
    delivery.world.ingest(NEXT_DAY)
    delivery.world.score(NEXT_DAY)
    delivery.world.ingest(DAY_AFTER)
    first = delivery.world.run(measure_performance, delivery.world.run(resolve, DAY_AFTER))
    delivery.deliver("labels", NEXT_DAY, lambda frame: frame.assign(late=1 - frame["late"]))
    delivery.world.ingest(THIRD_DAY)
    again = delivery.world.run(measure_performance, delivery.world.run(resolve, DAY_AFTER))
    assert first.labelled_day == again.labelled_day == NEXT_DAY
    assert again.metrics["roc_auc"] == pytest.approx(1 - first.metrics["roc_auc"])


def test_labels_that_have_not_changed_are_neither_judged_nor_committed_again(delivery: Delivery) -> None:
    for n in range(1, 8):
        delivery.deliver("labels", LAST_DAY - timedelta(days=n))
    landing = landed(delivery, NEXT_DAY)
    earlier = tuple(LAST_DAY - timedelta(days=n) for n in range(7, 0, -1))
    assert (landing.label_days, landing.unchanged_label_days) == ((LAST_DAY,), earlier)
    assert delivery.world.services.storage_folder(f"landing/day={NEXT_DAY}").names("labels") == [
        f"labels/day={LAST_DAY}.parquet"
    ]
    screening = delivery.world.run(screen, landing)
    assert [result.day for result in screening.results if result.asset == "labels"] == [LAST_DAY]


def test_labels_of_which_a_few_rows_were_set_aside_are_known_by_their_delivery(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, changed("flight", 9999, of(0, 5)))
    delivery.world.ingest(NEXT_DAY)
    assert landed(delivery, DAY_AFTER).label_days == (NEXT_DAY,)
    stricter = delivery.world.having(screen={"max_quarantined_share": 0.001})
    assert LAST_DAY in stricter.run(land, DAY_AFTER, now=MUCH_LATER).label_days, "their contract has changed"


def test_a_correction_that_is_rejected_leaves_the_labels_before_it(delivery: Delivery) -> None:
    delivery.world.ingest(NEXT_DAY)
    delivery.deliver("labels", LAST_DAY, UNKNOWN_KEYS)
    with pytest.raises(DataRejected, match="the registry keeps the one before"):
        delivery.ingest_and_report(DAY_AFTER)
    pd.testing.assert_frame_equal(delivery.world.held("labels", LAST_DAY), DEMO.labels(LAST_DAY))


def test_clearing_the_run_of_a_day_reads_its_own_labels_again(delivery: Delivery) -> None:
    delivery.world.ingest(NEXT_DAY)
    assert NEXT_DAY not in landed(delivery, NEXT_DAY).label_days, "they are not due yet"
    delivery.world.ingest(DAY_AFTER)
    delivery.deliver("labels", NEXT_DAY, corrected)
    assert delivery.world.ingest(NEXT_DAY).changed
    pd.testing.assert_frame_equal(delivery.world.held("labels", NEXT_DAY), corrected(DEMO.labels(NEXT_DAY)))
    arrivals = delivery.world.services.registry.arrivals(NEXT_DAY, NEXT_DAY)[NEXT_DAY]
    assert arrivals[-1].partition == DAY_AFTER, "no day before the newest could see them"


def test_clearing_the_run_of_a_day_whose_inputs_were_completed_lets_in_labels_that_spoke_of_missing_rows(
    delivery: Delivery,
) -> None:
    delivery.deliver("inputs", NEXT_DAY, lambda frame: frame.iloc[:-2])
    delivery.world.ingest(NEXT_DAY)
    delivery.world.ingest(DAY_AFTER)
    assert len(delivery.world.held("labels", NEXT_DAY)) == len(DEMO.labels(NEXT_DAY)) - 2
    delivery.deliver("inputs", NEXT_DAY)
    delivery.world.ingest(NEXT_DAY)
    pd.testing.assert_frame_equal(delivery.world.held("labels", NEXT_DAY), DEMO.labels(NEXT_DAY))


def test_labels_that_were_taken_out_stay_out_until_they_change_or_are_asked_for(delivery: Delivery) -> None:
    delivery.world.ingest(NEXT_DAY)
    delivery.world.run(withdraw, [LAST_DAY], assets=("labels",), reason="they are wrong")
    delivery.world.ingest(DAY_AFTER)
    assert LAST_DAY not in labelled(delivery)
    delivery.deliver("labels", LAST_DAY, corrected)
    delivery.world.ingest(DAY_AFTER)
    pd.testing.assert_frame_equal(delivery.world.held("labels", LAST_DAY), corrected(DEMO.labels(LAST_DAY)))


def test_labels_that_never_come_are_named_once_when_nobody_asks_for_them_any_more(delivery: Delivery) -> None:
    world = delivery.world.having(land={"catch_up_days": 1})
    delivery.path("labels", LAST_DAY).unlink()
    named = {day: world.ingest(day).lost_label_days for day in (NEXT_DAY, DAY_AFTER, THIRD_DAY)}
    assert named == {NEXT_DAY: (), DAY_AFTER: (), THIRD_DAY: (LAST_DAY,)}
    assert world.ingest(THIRD_DAY).lost_label_days == (LAST_DAY,), "the same run says the same again"
    fourth = THIRD_DAY + timedelta(days=1)
    delivery.deliver("inputs", fourth)
    delivery.deliver("labels", THIRD_DAY)
    assert world.ingest(fourth).lost_label_days == ()
    assert f"run Ingest of {LAST_DAY} again" in deliveries.lost(LAST_DAY, world.settings)
    delivery.deliver("labels", LAST_DAY)
    delivery.deliver("inputs", LAST_DAY)
    world.ingest(LAST_DAY)
    assert LAST_DAY in labelled(delivery)


def test_inputs_do_not_wait_for_a_source_of_labels_that_does_not_answer(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = source_day.fetch

    def silent(asset: Asset, day: date, path: Path, services: Services, **options: bool) -> None:
        if asset == "labels":
            raise Unavailable("labels.example.com gives no answer")
        real(asset, day, path, services, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(land, "fetch", silent)
    screening = delivery.world.run(screen, landed(delivery, NEXT_DAY))
    with pytest.raises(Unavailable, match=f"labels of .*{LAST_DAY} could not be read: labels.example.com"):
        delivery.world.run(commit, screening)
    assert NEXT_DAY in delivery.world.services.registry.days("inputs")
    assert delivery.world.run(commit, screening, defer_labels=True).rows > 0
    with pytest.raises(EvergreenError, match="Inputs do not wait for them"):
        delivery.world.run(report_rejected, screening)


# --- days without data -------------------------------------------------------------------------------


SATURDAY, SUNDAY, MONDAY = NEXT_DAY, DAY_AFTER, THIRD_DAY


@pytest.fixture
def business(seeded: World) -> Delivery:
    """A team that works from Monday to Friday: Friday's labels come on Saturday or later."""
    weekend: list[tuple[Asset, date]] = [
        (asset, day)
        for asset in ("inputs", "labels")
        for day in seeded.services.registry.days(asset)
        if day.weekday() >= 5
    ]
    seeded.services.registry.remove(weekend, message="Work from Monday to Friday")
    made = delivery_to(seeded)
    made.deliver("labels", LAST_DAY)
    made.deliver("inputs", MONDAY)
    return made


def test_a_weekday_that_never_has_data_is_no_fault_and_labels_come_all_the_same(business: Delivery) -> None:
    assert SATURDAY.strftime("%A") == "Saturday"
    ingested = business.ingest_and_report(SATURDAY)
    assert (ingested.rows, ingested.labelled_rows) == (0, len(DEMO.labels(LAST_DAY)))
    assert ingested.rest.startswith(f"no data are expected on Saturday {SATURDAY}: no Saturday of the ")
    assert LAST_DAY in labelled(business)
    with pytest.raises(NoDataExpected, match=f"no data are expected on Saturday {SATURDAY}.* nothing to score"):
        business.world.run(resolve, SATURDAY)
    assert business.ingest_and_report(SUNDAY).rows == 0
    monday = business.ingest_and_report(MONDAY)
    assert (monday.rows, monday.rest, monday.rejected) == (len(DEMO.inputs(MONDAY)), "", ())


def test_a_file_without_rows_is_legal_on_such_a_day_only(business: Delivery) -> None:
    business.deliver("inputs", SATURDAY, lambda frame: frame.head(0))
    assert business.ingest_and_report(SATURDAY).rest
    business.path("inputs", SUNDAY).write_bytes(b"")
    assert business.ingest_and_report(SUNDAY).rest
    business.deliver("inputs", MONDAY, lambda frame: frame.head(0))
    with pytest.raises(DataRejected, match="no row"):
        business.world.ingest(MONDAY)


def test_data_that_come_on_such_a_day_are_taken(business: Delivery) -> None:
    business.deliver("inputs", SATURDAY)
    ingested = business.ingest_and_report(SATURDAY)
    assert (ingested.rows, ingested.rest) == (len(DEMO.inputs(SATURDAY)), "")


def test_an_expected_day_that_is_absent_is_an_error_that_says_how_to_declare_it(business: Delivery) -> None:
    business.path("inputs", MONDAY).unlink()
    with pytest.raises(MissingArtifact, match="leave Monday out of land.calendar"):
        business.world.ingest(MONDAY)
    closed = business.world.having(land={"closed": [MONDAY.isoformat()]})
    assert closed.ingest(MONDAY).rest == f"no data are expected on Monday {MONDAY}: land.closed names it"
    daily = business.world.having(land={"calendar": "daily"})
    with pytest.raises(MissingArtifact, match=f"nothing for {SATURDAY}"):
        daily.ingest(SATURDAY)


def test_history_without_week_ends_is_whole(seeded: World) -> None:
    from ml.steps.ingest import seed

    delivery = delivery_to(seeded)
    first = THIRD_DAY
    days = [first + timedelta(days=n) for n in range(28)]
    for day in (day for day in days if day.weekday() < 5 and day != days[9]):
        delivery.deliver("inputs", day)
        delivery.deliver("labels", day)
    weekends: list[tuple[Asset, date]] = [
        ("inputs", day) for day in seeded.services.registry.days("inputs") if day.weekday() >= 5
    ]
    seeded.services.registry.remove(weekends, message="Work from Monday to Friday")
    world = delivery.world
    found = seed.run(days[0], days[-1], settings=world.settings, services=world.services)
    assert found["rejected"] == [f"inputs of {days[9]}"]
    assert found["rest_days"] == [str(day) for day in days if day.weekday() >= 5]
    assert np.isin([day.weekday() for day in world.services.registry.days("inputs") if day >= first], range(5)).all()


# --- what people see of it -----------------------------------------------------------------------------


def page(delivery: Delivery, part: str, day: date = NEXT_DAY) -> dict[str, Any]:
    MEMORY.forget()
    services = delivery.world.services
    found: dict[str, Any] = overview.now(services, today=day) if part == "now" else overview.data(services)
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


def test_rejected_labels_are_on_the_page_until_they_are_corrected(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, UNKNOWN_KEYS)
    delivery.world.ingest(NEXT_DAY)
    for part in ("now", "data"):
        (rejected,) = page(delivery, part)["rejected"]
        assert rejected["what"] == f"labels of {LAST_DAY}"
        assert f"Next: fix the source and run Ingest of {NEXT_DAY} again" in rejected["message"]
        assert rejected["next"].startswith("fix the source") and len(rejected["reasons"]) > 1
        assert "Report:" not in rejected["message"] and not rejected["message"].startswith("labels of")
        assert overview.file(delivery.world.services, rejected["report"]).media_type.startswith("text/html")
    assert str(LAST_DAY) not in page(delivery, "data")["awaited_labels"], (
        "they came, and it is said what became of them"
    )

    delivery.deliver("labels", LAST_DAY)
    delivery.world.ingest(DAY_AFTER)
    assert page(delivery, "now")["rejected"] == []
    (entry,) = page(delivery, "data")["quarantine"]
    assert entry["corrected"] is True
    assert entry["rows"] > 0
    assert any("among that day's inputs" in reason["message"] for reason in entry["reasons"])


def test_a_rejected_correction_says_that_the_registry_keeps_the_content_before(delivery: Delivery) -> None:
    delivery.world.ingest(NEXT_DAY)
    delivery.deliver("labels", LAST_DAY, UNKNOWN_KEYS)
    delivery.world.ingest(DAY_AFTER)
    (rejected,) = page(delivery, "now", DAY_AFTER)["rejected"]
    assert rejected["what"] == f"labels of {LAST_DAY}"
    assert rejected["message"].endswith("The registry keeps the content before it")

    delivery.deliver("labels", LAST_DAY)  # as it was at first: nothing to commit, and nothing to say any more
    delivery.world.ingest(THIRD_DAY)
    assert page(delivery, "now", THIRD_DAY)["rejected"] == []


def test_inputs_that_cannot_even_be_read_are_a_rejected_day_and_not_a_missing_one(delivery: Delivery) -> None:
    delivery.path("inputs", NEXT_DAY).write_bytes(b"PAR1 cut")
    with pytest.raises(DataRejected):
        delivery.world.ingest(NEXT_DAY)
    (rejected,) = page(delivery, "now")["rejected"]
    assert (rejected["asset"], rejected["day"], rejected["report"]) == ("inputs", str(NEXT_DAY), None)
    found = page(delivery, "data")
    assert (found["days"][0]["day"], found["days"][0]["state"]) == (str(NEXT_DAY), "rejected")
    assert found["days"][0]["inputs"]["rejected"] and found["missing_days"] == []
    assert page(delivery, "now")["data"]["rejected_days"] == [str(NEXT_DAY)]


def test_a_withdrawn_day_is_called_so_with_its_reason_until_it_comes_back(delivery: Delivery) -> None:
    for day in (NEXT_DAY, DAY_AFTER):
        delivery.world.ingest(day)
    services = delivery.world.services
    withdraw.run(
        [NEXT_DAY], assets=["inputs", "labels"], reason="a wrong feed", settings=services.settings, services=services
    )
    found = page(delivery, "data")
    days = {entry["day"]: entry for entry in found["days"]}
    assert (days[str(NEXT_DAY)]["state"], days[str(NEXT_DAY)]["reason"]) == ("withdrawn", "a wrong feed")
    assert days[str(NEXT_DAY)]["inputs"]["withdrawn"] == "a wrong feed"
    assert found["missing_days"] == [] and str(NEXT_DAY) not in found["awaited_labels"]
    assert {(each["asset"], each["day"]) for each in found["withdrawn"]} == {
        ("inputs", str(NEXT_DAY)), ("labels", str(NEXT_DAY)),
    }  # fmt: skip
    withdraw.run([DAY_AFTER], assets=["inputs"], reason="", settings=services.settings, services=services)
    data = page(delivery, "now", DAY_AFTER)["data"]
    assert data["status"] == "fresh" and f"withdrawn: {NEXT_DAY}, {DAY_AFTER}" in data["sentence"]

    delivery.world.ingest(NEXT_DAY)
    assert page(delivery, "data")["days"][1]["state"] == "held"


def test_what_was_written_down_and_cannot_be_read_is_named(delivery: Delivery) -> None:
    delivery.world.services.storage.put_bytes(f"rejected/labels/day={LAST_DAY}.json", b"{")
    problems = page(delivery, "now")["problems"]
    assert any(f"rejected/labels/day={LAST_DAY}.json cannot be read" in problem["message"] for problem in problems)


def test_several_rejections_are_a_line_and_a_report_each(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, UNKNOWN_KEYS)
    delivery.deliver("inputs", NEXT_DAY, lambda frame: frame.drop(columns="dest"))
    with pytest.raises(DataRejected) as caught:
        delivery.world.ingest(NEXT_DAY)
    first, *lines = str(caught.value).splitlines()
    assert first == "2 deliveries rejected:"
    assert [line[: line.index(" rejected")] for line in lines] == [
        f"- inputs of {NEXT_DAY}", f"- labels of {LAST_DAY}",
    ]  # fmt: skip
    assert [about for about, _ in caught.value.reports] == [f"inputs of {NEXT_DAY}", f"labels of {LAST_DAY}"]
    assert len(caught.value.reasons) == 2
    assert {failure["about"] for failure in caught.value.failures} == {about for about, _ in caught.value.reports}


def test_what_rejects_several_days_is_said_once_with_its_days() -> None:
    reason = "data/orders/7.csv, line 3: a quotation mark is not closed"
    rejected = [
        Rejection(
            asset="labels", day=LAST_DAY - timedelta(days=back), reason=reason, identity=str(back), partition=NEXT_DAY
        )
        for back in range(5)
    ]
    inputs = Rejection(asset="inputs", day=NEXT_DAY, reason=reason, identity="i", partition=NEXT_DAY)
    first, line = str(deliveries.rejected_error([inputs, *rejected])).splitlines()
    assert first == "6 deliveries rejected:"
    oldest = LAST_DAY - timedelta(days=4)
    assert line == f"- inputs of {NEXT_DAY}, labels of {oldest} to {LAST_DAY} (5 days): {reason}"
    few = str(deliveries.rejected_error(rejected[:2])).splitlines()[1]
    assert few == f"- labels of {LAST_DAY - timedelta(days=1)}, {LAST_DAY}: {reason}"
