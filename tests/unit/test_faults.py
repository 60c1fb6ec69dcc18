"""Each fault changes what it says, on its days, and nothing else."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.backtest import faults
from ml.backtest.faults import CATALOGUE, on_inputs, on_labels, parse
from ml.errors import SettingsError
from tests.builders import day, rows

SPAN = f"from {day(3)} to {day(5)}"


def inputs(days: int = 8) -> pd.DataFrame:
    frame = rows(days=days).drop(columns=["late"])
    return frame.assign(minute=np.tile(np.arange(0, 1440, 72), days))


def changed(text: str, frame: pd.DataFrame | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the affected days before and after the fault, after seeing that the others are untouched."""
    true = inputs() if frame is None else frame
    kept = true.copy()
    arrived = on_inputs(parse(f"{text} {SPAN}"), true)
    assert_frame_equal(true, kept)
    is_true, is_arrived = (side["day"].between(day(3), day(5)) for side in (true, arrived))
    assert_frame_equal(
        true.loc[~is_true].reset_index(drop=True), arrived.loc[~is_arrived].reset_index(drop=True), check_dtype=False
    )
    return true.loc[is_true].reset_index(drop=True), arrived.loc[is_arrived].reset_index(drop=True)


EXAMPLES = {
    "COLUMN in UNIT": "number in km",
    "COLUMN times FACTOR": "number times 1000",
    "COLUMN shifted by MINUTES": "minute shifted by -300 minutes",
    "COLUMNS stuck [by COLUMN]": "number stuck by origin",
    "COLUMN noisy by FACTOR": "number noisy by 0.5",
    "COLUMN swapped with COLUMN": "number swapped with minute",
    "COLUMNS exchanged between COLUMN VALUE and VALUE": "number,minute exchanged between origin X and Y",
    "rows kept by SHARE": "rows kept by 0.6",
    "day repeated": "day repeated",
    "COLUMNS null [by SHARE]": "number,minute null by 0.5",
    "COLUMN VALUE recoded NEW": "carrier A recoded B",
    "COLUMN VALUE missing": "origin X missing",
    "day duplicated": "day duplicated",
    "outcome times FACTOR [where CONDITION]": "outcome times 2 where minute >= 1080",
    "labels all VALUE [where CONDITION]": "labels all 0 where minute >= 1080",
    "labels inverted [by SHARE] [where CONDITION]": "labels inverted by 0.2 where minute >= 1080",
    "labels shuffled": "labels shuffled",
    "labels VALUE and OTHER swapped": "labels 0 and 1 swapped",
    "labels VALUE read as NEW [by SHARE]": "labels 1 read as 0 by 0.5",
}


@pytest.mark.parametrize("kind", CATALOGUE)
def test_every_entry_of_the_catalogue_can_be_read(kind: str) -> None:
    fault = parse(f"{EXAMPLES[kind]}  from 2013-07-01")
    assert (fault.kind, fault.first_day, fault.last_day) == (kind, date(2013, 7, 1), None)
    assert fault.on_labels == kind.startswith(("outcome", "labels"))


@pytest.mark.parametrize(
    "text", [f"{example} {SPAN}" for example in EXAMPLES.values() if not example.startswith(("outcome", "labels"))]
)
def test_a_fault_arrives_alike_day_by_day_and_at_once(text: str) -> None:
    """Whoever replays a year has one day in hand, and the true days before the fault."""
    fault, true = parse(text), inputs()
    before = true.loc[true["day"] < day(3)]
    daily = [on_inputs(fault, part.reset_index(drop=True), before=before) for _, part in true.groupby("day")]
    assert_frame_equal(pd.concat(daily, ignore_index=True), on_inputs(fault, true), check_dtype=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number in km", "names no first day"),
        ("number in furlongs from 2013-07-01", "unit 'furlongs' is not one of km, C, m/s, hours"),
        ("number in km from July", "Invalid isoformat"),
        ("number in km from 2013-07-02 to 2013-07-01", "ends before it begins"),
        ("gremlins from 2013-07-01", "nothing is known under that name"),
        ("outcome times 2 where carrier from 2013-07-01", "a column, and no condition"),
        ("outcome times 2 where f(x) from 2013-07-01", "neither a column nor a condition"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_catalogue(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        parse(text)
    assert all(entry in str(caught.value) for entry in CATALOGUE)


@pytest.mark.parametrize("what", ["nowhere null", "number stuck by nowhere"])
def test_a_column_that_is_not_there_is_refused(what: str) -> None:
    with pytest.raises(SettingsError, match="do not have: nowhere"):
        on_inputs(parse(f"{what} {SPAN}"), inputs())


@pytest.mark.parametrize(("unit", "of", "gives"), [("km", 10, 16.09344), ("C", 212, 100), ("m/s", 10, 4.4704)])
def test_units(unit: str, of: float, gives: float) -> None:
    frame = inputs().assign(number=of)
    assert changed(f"number in {unit}", frame)[1]["number"].unique() == pytest.approx([gives])


def test_a_shifted_clock_stays_on_the_clock() -> None:
    true, arrived = changed("minute shifted by 300")
    assert arrived["minute"].tolist() == ((true["minute"] + 300) % 1440).tolist()
    assert arrived["minute"].dtype == true["minute"].dtype


def test_a_stuck_feed_repeats_the_last_value_before_of_each_group() -> None:
    true = inputs()
    last = true.loc[true["day"] == day(2)]
    by_origin = last.groupby("origin")["number"].last()
    _, arrived = changed("number stuck by origin")
    assert arrived.groupby("origin")["number"].unique().map(list).to_dict() == {k: [v] for k, v in by_origin.items()}
    _, arrived = changed("number stuck")
    assert arrived["number"].unique().tolist() == [last["number"].iloc[-1]]


def test_a_feed_cannot_be_stuck_at_nothing() -> None:
    with pytest.raises(SettingsError, match="no earlier day is there"):
        on_inputs(parse(f"number stuck from {day(0)}"), inputs())


def test_a_null_feed_leaves_the_other_columns() -> None:
    true, arrived = changed("number,minute null")
    assert arrived[["number", "minute"]].isna().all(axis=None)
    assert_frame_equal(arrived[["id", "carrier"]], true[["id", "carrier"]])


def test_recoding_one_category_or_all() -> None:
    true, arrived = changed("carrier A recoded Z")
    assert ((true["carrier"] == "A") == (arrived["carrier"] == "Z")).all()
    assert set(changed("carrier * recoded unknown")[1]["carrier"]) == {"unknown"}


def test_a_missing_category_takes_its_rows_along() -> None:
    true, arrived = changed("origin X missing")
    assert_frame_equal(arrived, true.loc[true["origin"] != "X"].reset_index(drop=True))


def test_a_duplicated_day_brings_every_row_twice() -> None:
    true, arrived = changed("day duplicated")
    assert arrived.groupby(["day", "id"]).size().unique().tolist() == [2]
    assert len(arrived) == 2 * len(true)


def test_a_cut_feed_keeps_a_share_of_each_day() -> None:
    true = pd.concat([inputs()] * 20, ignore_index=True).sort_values("day", ignore_index=True)
    _, arrived = changed("rows kept by 0.6", true)
    shares = arrived.groupby("day").size() / true.loc[true["day"].between(day(3), day(5))].groupby("day").size()
    assert len(shares) == 3 and shares.between(0.5, 0.7).all()


def test_a_repeated_day_is_the_last_good_one_under_each_days_name() -> None:
    _, arrived = changed("day repeated")
    good = inputs().loc[lambda rows: rows["day"] == day(2)].drop(columns="day").reset_index(drop=True)
    for _, rows_of_day in arrived.groupby("day"):
        assert_frame_equal(rows_of_day.drop(columns="day").reset_index(drop=True), good)


def test_a_feed_with_holes_has_nulls_in_a_share_of_the_rows() -> None:
    true = pd.concat([inputs()] * 20, ignore_index=True).sort_values("day", ignore_index=True)
    before, arrived = changed("number null by 0.3", true)
    assert arrived["number"].isna().mean() - before["number"].isna().mean() == pytest.approx(0.3, abs=0.08)
    assert arrived["minute"].equals(before["minute"])


def test_swapped_columns_stand_in_each_others_place() -> None:
    before, arrived = changed("number swapped with minute")
    assert arrived["number"].tolist() == before["minute"].tolist()
    assert arrived["minute"].tolist() == before["number"].tolist()


def test_places_get_what_belongs_to_each_other_and_the_others_keep_theirs() -> None:
    true = inputs()
    first, second = sorted(true["origin"].dropna().unique())[:2]
    before, arrived = changed(f"number exchanged between origin {first} and {second}")
    own, others = (before["origin"] == name for name in (first, second))
    assert set(arrived.loc[own, "number"]) <= set(before.loc[others, "number"])
    assert set(arrived.loc[others, "number"]) <= set(before.loc[own, "number"])
    assert arrived.loc[~own & ~others].equals(before.loc[~own & ~others])


def test_noise_is_as_large_as_it_says() -> None:
    true = pd.concat([inputs()] * 20, ignore_index=True).sort_values("day", ignore_index=True)
    before, arrived = changed("minute noisy by 0.5", true)
    noise = arrived["minute"] - before["minute"]
    assert noise.std() == pytest.approx(0.5 * before["minute"].std(), rel=0.15)


@pytest.mark.parametrize("where", ["carrier == 'A'", "carrier in ['A', 'B'] and id >= 3"])
def test_a_rate_can_be_doubled_wherever_a_condition_holds(where: str) -> None:
    true = rows(days=8, per_day=400, seed=1).assign(late=lambda frame: (frame.index % 5 == 0).astype(float))
    labels = true[["day", "id", "late"]]
    found = on_labels(parse(f"outcome times 2 where {where} {SPAN}"), labels, true, key=["day", "id"], target="late")
    holds = true.eval(where)
    inside = labels["day"].between(day(3), day(5)) & holds
    assert_frame_equal(found.loc[~inside], labels.loc[~inside])
    assert found.loc[inside, "late"].mean() == pytest.approx(2 * labels.loc[inside, "late"].mean(), rel=0.02)


def test_a_condition_that_cannot_be_asked_of_a_column_is_refused() -> None:
    true = rows(days=8)
    fault = parse(f"outcome times 2 where carrier >= 3 {SPAN}")
    with pytest.raises(SettingsError, match="holds text and cannot be compared with 3"):
        on_labels(fault, true[["day", "id", "late"]], true, key=["day", "id"], target="late")


def test_a_doubled_rate_holds_where_it_says_and_keeps_unknown_outcomes() -> None:
    true = rows(days=8, per_day=400, seed=1)
    late = pd.Series(np.random.default_rng(1).random(len(true)) < 0.2).astype(float)
    labels = true[["day", "id"]].assign(late=late.where(true["id"] % 50 > 0))
    fault = parse(f"outcome times 2 where id >= 200 {SPAN}")
    found = on_labels(fault, labels, true, key=["day", "id"], target="late")
    inside = labels["day"].between(day(3), day(5)) & (labels["id"] >= 200)
    assert_frame_equal(found.loc[~inside], labels.loc[~inside])
    assert found["late"].isna().equals(labels["late"].isna())
    assert found.loc[inside, "late"].mean() == pytest.approx(2 * labels.loc[inside, "late"].mean())
    again = on_labels(fault, labels, true, key=["day", "id"], target="late")
    assert_frame_equal(found, again)


def test_a_rate_can_fall_and_never_rises_over_one() -> None:
    labels = rows(days=1, per_day=100)[["day", "id", "late"]]
    share = labels["late"].mean()
    for factor, rate in ((0.5, share / 2), (9, 1.0)):
        fault = parse(f"outcome times {factor} from {day(0)}")
        found = on_labels(fault, labels, labels, key=["day", "id"], target="late")
        assert found["late"].mean() == pytest.approx(rate, abs=0.01)


def test_other_targets_are_multiplied() -> None:
    labels = rows(days=1, regression=True)[["day", "id", "late"]]
    found = on_labels(parse(f"outcome times 3 from {day(0)}"), labels, labels, key=["day", "id"], target="late")
    assert found["late"].tolist() == (labels["late"] * 3).tolist()


def test_faults_of_inputs_leave_labels_alone_and_the_other_way_round() -> None:
    frame = inputs()
    labels = rows(days=8)[["day", "id", "late"]]
    assert on_labels(parse(f"number null {SPAN}"), labels, frame, key=["day", "id"], target="late") is labels
    assert on_inputs(parse(f"outcome times 2 {SPAN}"), frame) is frame


def test_the_units_are_named_in_the_catalogue() -> None:
    assert all(unit in CATALOGUE["COLUMN in UNIT"] for unit in faults.UNITS)


# --- feeds of labels ---------------------------------------------------------------------------------


def sent(text: str, values: list[object]) -> list[object]:
    frame = pd.DataFrame({"day": day(0), "id": range(len(values)), "late": values})
    fault = parse(f"{text} from {day(0)} to {day(0)}")
    found = on_labels(fault, frame, frame, key=["day", "id"], target="late")
    assert_frame_equal(found, on_labels(fault, frame, frame, key=["day", "id"], target="late"))
    later = frame.assign(day=day(1))
    assert_frame_equal(on_labels(fault, later, later, key=["day", "id"], target="late"), later)
    return list(found["late"])


def test_a_dead_feed_sends_one_value_and_leaves_what_never_came() -> None:
    found = sent("labels all 0", [1.0, 0.0, None, 1.0])
    assert found[:2] + found[3:] == [0.0, 0.0, 0.0] and np.isnan(found[2])
    assert sent("labels all low", ["low", "high"]) == ["low", "low"]


@pytest.mark.parametrize(("feed", "part"), [("labels all 0", [0.0, 0.0]), ("labels inverted", [0.0, 1.0])])
def test_a_feed_of_a_part_leaves_the_labels_of_the_rest(feed: str, part: list[float]) -> None:
    frame = pd.DataFrame({"day": day(3), "id": range(4), "shop": list("abab"), "late": [1.0, 1.0, 0.0, 0.0]})
    labels = frame[["day", "id", "late"]]
    arrived = on_labels(parse(f"{feed} where shop == 'a' {SPAN}"), labels, frame, key=["day", "id"], target="late")
    assert list(arrived["late"]) == [part[0], 1.0, part[1], 0.0]
    with pytest.raises(SettingsError, match="is a column, and no condition"):
        parse(f"{feed} where shop {SPAN}")


def test_inverted_labels_are_the_opposite_of_each_kind() -> None:
    assert sent("labels inverted", [1.0, 0.0, 0.0]) == [0.0, 1.0, 1.0]
    assert sent("labels inverted", [True, False]) == [False, True]
    assert sent("labels inverted", [2.0, 5.0, 10.0]) == [10.0, 7.0, 2.0]
    assert sent("labels inverted", ["a", "b", "c"]) == ["c", "b", "a"]
    turned = np.mean(np.array(sent("labels inverted by 0.2", [0.0] * 500 + [1.0] * 500)) != [0.0] * 500 + [1.0] * 500)
    assert 0.15 < turned < 0.25


def test_shuffled_labels_keep_their_values() -> None:
    values: list[object] = [float(n) for n in range(50)]
    found = sent("labels shuffled", values)
    assert sorted(found) == values and found != values  # type: ignore[type-var]


def test_swapped_labels_stand_for_each_other_and_the_others_stay() -> None:
    assert sent("labels low and high swapped", ["low", "middle", "high", "low"]) == ["high", "middle", "low", "high"]
    assert sent("labels 0 and 2 swapped", [0.0, 1.0, 2.0]) == [2.0, 1.0, 0.0]


def test_some_labels_are_read_as_others_or_lost() -> None:
    halved = sent("labels 1 read as 0 by 0.5", [1.0] * 400 + [0.0] * 100)
    assert 150 < sum(halved) < 250 and halved[400:] == [0.0] * 100  # type: ignore[arg-type]
    lost = np.isnan(np.array(sent("labels 1 read as null by 0.5", [1.0] * 400), dtype=float)).sum()
    assert 150 < lost < 250
    with pytest.raises(SettingsError, match="name a number"):
        sent("labels all late", [1.0, 0.0])
