"""What is proposed for a table of several days, and what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.data.planted_errors import KINDS, errors_for
from ml.core.data.suite_changes import changes_of
from ml.core.data.suite_proposals import ProposedExpectation, propose_predictions, propose_suite, propose_window
from ml.core.data.suite_proposals.limits import limits_that_held, outward
from ml.settings import Task

TASK = Task(name="sales", kind="classification", target="sold", key=("day", "id"), label_delay_days=1)
DAYS = [str(day.date()) for day in pd.date_range("2024-01-01", periods=40)]


@pytest.fixture(scope="module")
def inputs() -> pd.DataFrame:
    chance = np.random.default_rng(7)
    rows = 50 * len(DAYS)
    net = chance.integers(10, 500, rows).astype(float)
    return pd.DataFrame(
        {
            "day": np.repeat(DAYS, 50),
            "id": np.arange(rows),
            "shop": chance.choice(["north", "south", "mid 1"], rows),
            "code": [f"A{n:03d}-x" for n in chance.integers(0, 900, rows)],
            "net": net,
            "gross": net + chance.integers(0, 80, rows),
            "shown_gross": 0.0,
            "rate": np.clip(chance.normal(90, 20, rows), 0, 100),
            "extra": np.where(chance.random(rows) < 0.2, np.nan, chance.normal(size=rows)),
        }
    ).assign(shown_gross=lambda frame: frame["gross"])


@pytest.fixture(scope="module")
def labels(inputs: pd.DataFrame) -> pd.DataFrame:
    return inputs[["day", "id"]].assign(sold=(inputs["net"] > 200).astype(float))


@pytest.fixture(scope="module")
def proposals(inputs: pd.DataFrame) -> list[ProposedExpectation]:
    return propose_suite(inputs, asset="inputs", task=TASK)


def of(proposals: list[ProposedExpectation], kind: str, *columns: str) -> ProposedExpectation | None:
    return next((p for p in proposals if p.type.endswith(kind) and p.columns == columns), None)


def test_each_says_its_reason_and_its_level(proposals: list[ProposedExpectation]) -> None:
    assert all(p.reason and p.level in ("row", "table") for p in proposals)
    assert all(p.as_entry()["meta"]["proposed"] is True for p in proposals)


def test_a_closed_category_gets_its_set_and_a_code_its_form(proposals: list[ProposedExpectation]) -> None:
    shop, code = of(proposals, "to_be_in_set", "shop"), of(proposals, "match_regex", "code")
    assert shop is not None
    assert shop.kwargs["value_set"] == ["mid 1", "north", "south"]
    assert code is not None
    assert code.kwargs["regex"] == r"^[A-Z0-9]{4}\-[a-z]{1}$"


def test_a_category_that_still_grows_stays_open(inputs: pd.DataFrame) -> None:
    grown = inputs.assign(shop=inputs["shop"].where(inputs["day"] < DAYS[-3], "new"))
    assert of(propose_suite(grown, asset="inputs", task=TASK), "to_be_in_set", "shop") is None


def test_ranges_have_room_and_ends_by_nature_have_none(proposals: list[ProposedExpectation]) -> None:
    net, rate = of(proposals, "values_to_be_between", "net"), of(proposals, "values_to_be_between", "rate")
    assert net is not None
    assert 0 < net.kwargs["min_value"] < 10
    assert net.kwargs["max_value"] > 600
    assert rate is not None
    assert rate.kwargs["max_value"] == 100


def test_relations_that_held_on_every_row_are_found(proposals: list[ProposedExpectation]) -> None:
    assert of(proposals, "greater_than_b", "gross", "net") is not None
    assert of(proposals, "greater_than_b", "net", "gross") is None
    assert of(proposals, "pair_values_to_be_equal", "gross", "shown_gross") is not None


def test_nulls_are_bounded_where_there_are_some_and_forbidden_where_there_are_none(
    proposals: list[ProposedExpectation],
) -> None:
    assert of(proposals, "not_be_null", "net") is not None
    assert of(proposals, "not_be_null", "extra") is None
    share = of(proposals, "proportion_of_non_null_values_to_be_between", "extra")
    assert share is not None
    assert share.kwargs["min_value"] == {"$PARAMETER": "min_non_null_share__extra"}


def test_a_day_that_may_have_no_value_gets_no_limit_that_refuses_it(inputs: pd.DataFrame) -> None:
    """On some days a column is null in each row; on others it has a single value."""
    empty = inputs["day"].isin(DAYS[5::7])
    single = inputs["day"].isin(DAYS[3::7]) & inputs.duplicated("day")
    table = inputs.assign(extra=inputs["rate"].mask(empty), rate=inputs["rate"].mask(single))
    proposals = propose_suite(table, asset="inputs", task=TASK)
    kinds = ("expect_column_proportion_of_non_null_values_to_be_between", "not_be_null", "mean_to_be_between")
    kinds = (*kinds, "quantile_values_to_be_between", "stdev_to_be_between")
    assert not any(of(proposals, kind, "extra") for kind in kinds)
    assert of(proposals, "mean_to_be_between", "rate") is not None
    assert of(proposals, "stdev_to_be_between", "rate") is None
    assert of(propose_suite(inputs, asset="inputs", task=TASK), "stdev_to_be_between", "rate") is not None


EMPTY_OR = "expect_column_to_be_empty_or_proportion_of_non_null_values_to_be_between"


def test_days_with_values_keep_their_share_where_others_have_none(inputs: pd.DataFrame) -> None:
    empty = inputs["day"].isin(DAYS[5::7])
    table = inputs.assign(rate=inputs["rate"].mask(empty), extra=inputs["extra"].mask(empty))
    proposals = propose_suite(table, asset="inputs", task=TASK)
    full, partly = of(proposals, EMPTY_OR, "rate"), of(proposals, EMPTY_OR, "extra")
    run = {"max_empty_days": 2, "empty_days_before": {"$PARAMETER": "empty_days_before__rate"}}
    assert full is not None and full.kwargs == {"column": "rate", "min_value": 0.9, **run} and full.level == "table"
    assert "On 5 of 40 days it has no value" in full.reason
    worst = inputs.loc[~empty, "extra"].isna().groupby(inputs["day"]).mean().max()
    assert partly is not None and 0.3 < partly.kwargs["min_value"] < 1 - worst


@pytest.mark.parametrize(("longest", "most"), [(3, 6), (8, None)])
def test_so_many_days_in_a_row_may_have_no_value_as_twice_the_most_so_far(
    inputs: pd.DataFrame, longest: int, most: int | None
) -> None:
    empty = inputs["day"].isin([*DAYS[-longest:], DAYS[4]])
    proposals = propose_suite(inputs.assign(rate=inputs["rate"].mask(empty)), asset="inputs", task=TASK)
    proposal = of(proposals, EMPTY_OR, "rate")
    assert proposal is not None and proposal.kwargs.get("max_empty_days") == most


@pytest.mark.parametrize("rows", [1, 10])
def test_a_column_that_comes_now_and_then_gets_no_share(inputs: pd.DataFrame, rows: int) -> None:
    """Of 50 rows one holds a value on some days, or only the newest days have that few."""
    days = DAYS[3::7] if rows == 1 else DAYS[-4:]
    few = inputs["day"].isin(days) & (inputs.groupby("day").cumcount() >= rows)
    table = inputs.assign(rate=inputs["rate"].mask(inputs["day"].isin(DAYS[5::7]) | few))
    proposals = propose_suite(table, asset="inputs", task=TASK)
    assert not [p for p in proposals if p.columns == ("rate",) and "null" in p.type]


@pytest.mark.parametrize("more", [0, 1, 2])
@pytest.mark.parametrize("side", [0, 3])
def test_a_quantile_between_two_of_few_values_may_be_either(more: int, side: int) -> None:
    """A panel has the same shops each month, fifteen of each of four kinds: its median is between the second and third.

    Great Expectations takes the nearest value of the day, so one row more on one side moves it by a whole step.
    """
    panel = np.repeat([0, 1, 2, 3], 15)
    table = pd.DataFrame({"day": np.repeat(DAYS, len(panel)), "id": range(40 * 60), "kind": np.tile(panel, 40)})
    proposal = of(propose_suite(table, asset="inputs", task=TASK), "quantile_values_to_be_between", "kind")
    assert proposal is not None
    asked = proposal.kwargs["quantile_ranges"]
    next_day = pd.Series([*panel, *[side] * more])
    for quantile, (low, high) in zip(asked["quantiles"], asked["value_ranges"], strict=True):
        assert low <= next_day.quantile(quantile, interpolation="nearest") <= high


def test_a_share_that_was_once_full_may_be_full_for_a_whole_day(inputs: pd.DataFrame) -> None:
    """As a humidity of 100 % in one hour of the past. Of amounts that were once 100 by chance nothing is known."""
    share = pd.Series(np.random.default_rng(3).normal(60, 8, len(inputs)))
    full = share.mask(share.index == 700, 100.0)
    for values, bounded in ((share, True), (full, False), (full.mask(full.index == 900, -5.0), True)):
        stdev = of(propose_suite(inputs.assign(rate=values), asset="inputs", task=TASK), "stdev_to_be_between", "rate")
        assert stdev is not None and ("min_value" in stdev.kwargs) is bounded


def test_a_day_may_hardly_vary_where_values_pile_up_at_the_end_of_their_scale(
    proposals: list[ProposedExpectation],
) -> None:
    """As a humidity that reaches 100 %: on a day of fog it is that all day long. The spread is bounded above still."""
    free, saturated = (of(proposals, "stdev_to_be_between", column) for column in ("net", "rate"))
    assert free is not None and free.kwargs["min_value"] > 0
    assert saturated is not None and "min_value" not in saturated.kwargs and saturated.kwargs["max_value"] > 0


def test_labels_window_and_predictions_follow(
    inputs: pd.DataFrame, labels: pd.DataFrame, proposals: list[ProposedExpectation]
) -> None:
    of_labels = propose_suite(labels, asset="labels", task=TASK)
    target = of(of_labels, "in_set", "sold")
    assert target is not None
    assert target.kwargs["value_set"] == [0, 1]
    assert of(of_labels, "min_to_be_between", "input_coverage") is not None
    window = propose_window(proposals, of_labels, TASK)
    assert {p.level for p in window} == {"table"}
    assert of(window, "not_be_null", "sold") is not None
    assert not any("row_count" in p.type or "mean" in p.type for p in window)
    predictions = propose_predictions(proposals, TASK)
    assert predictions[0].kwargs["column_set"] == ["day", "id", "prediction", "decision", "model_version"]


def test_limits_have_the_room_that_the_past_needed() -> None:
    calm = [5.0 + (day % 3) for day in range(40)]
    assert limits_that_held(calm) == (4.0, 8.0)
    rising = [float(day) for day in range(40)]
    _low, high = limits_that_held(rising) or (0.0, 0.0)
    assert high >= 39 * 2
    assert limits_that_held([1.0] * 5) is None
    assert outward(0.123456, 0.129999) == (0.12345, 0.13)


@pytest.fixture(scope="module")
def related() -> pd.DataFrame:
    chance = np.random.default_rng(3)
    rows = 60 * len(DAYS)
    start, minutes = chance.integers(300, 1440, rows), chance.integers(30, 400, rows)
    town = chance.integers(0, 12, rows)
    return pd.DataFrame(
        {
            "day": np.repeat(DAYS, 60),
            "id": np.arange(rows),
            "town": [f"T{n:02d}" for n in town],
            "county": [f"C{n // 3}" for n in town],
            "start": start,
            "minutes": minutes,
            "end": (start + minutes) % 1440,
            "knots": np.round(chance.integers(0, 30, rows) * 1.15078, 6),
        }
    )


def test_what_follows_is_found(related: pd.DataFrame) -> None:
    proposals = propose_suite(related, asset="inputs", task=TASK)
    clock = next(p for p in proposals if p.type == "expect_weighted_sum_to_be_between")
    assert set(clock.columns) == {"start", "minutes", "end"}
    assert clock.kwargs["modulus"] == 1440
    county = of(proposals, "follow_from_others", "town", "county")
    assert county is not None
    assert ["T05", "C1"] in county.kwargs["known"]
    step = of(proposals, "multiples_of", "knots")
    assert step is not None
    assert step.kwargs["step"] == pytest.approx(1.15078)


def test_an_order_by_chance_is_not_taken_for_one_by_nature(related: pd.DataFrame) -> None:
    proposals = propose_suite(related, asset="inputs", task=TASK)
    assert (
        of(proposals, "greater_than_b", "end", "start") is None
        or "mostly" in of(proposals, "greater_than_b", "end", "start").kwargs
    )


def test_what_a_person_wrote_stays() -> None:
    kind = "expect_column_values_to_be_between"

    def entry(column: str, most: int, *, proposed: bool) -> dict[str, object]:
        meta = {"level": "row", **({"proposed": True} if proposed else {})}
        return {"type": kind, "kwargs": {"column": column, "max_value": most}, "meta": meta}

    suite = [entry("a", 1, proposed=False), entry("b", 1, proposed=True), entry("c", 1, proposed=True)]
    proposals = [entry("a", 2, proposed=True), entry("b", 2, proposed=True), entry("d", 2, proposed=True)]
    changes = changes_of(suite, proposals)
    assert [change.state for change in changes] == ["yours", "changed", "gone", "new"]
    assert [change.entry["kwargs"]["max_value"] for change in changes] == [1, 2, 1, 2]


def test_a_bound_on_nulls_that_a_person_wrote_is_not_doubled() -> None:
    share = {"type": "expect_column_proportion_of_non_null_values_to_be_between", "kwargs": {"column": "a"}, "meta": {}}
    never = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}, "meta": {"proposed": True}}
    empty_or = {"type": EMPTY_OR, "kwargs": {"column": "a", "min_value": 0.9}, "meta": {"proposed": True}}
    for proposal in (never, empty_or):
        (change,) = changes_of([share], [proposal])
        assert (change.state, change.entry, change.proposed) == ("yours", share, proposal)


def test_planted_errors_hit_the_share_that_they_should(related: pd.DataFrame) -> None:
    day = related[related["day"] == DAYS[0]].reset_index(drop=True)
    errors = list(errors_for(day, key=TASK.key))
    assert {error.kind for error in errors} == set(KINDS)
    before = day.copy()
    for error in errors:
        changed, hit = error.plant(day, 0.5, 1)
        assert hit.sum() <= 30
        assert len(changed) == len(day)
        assert changed.drop(columns=list(error.columns)).equals(day.drop(columns=list(error.columns)))
    assert day.equals(before)
    exchanged = next(error for error in errors if error.columns == ("start", "minutes"))
    changed, hit = exchanged.plant(day, 0.5, 1)
    assert (changed.loc[hit, "start"] == day.loc[hit, "minutes"]).all()


@pytest.mark.parametrize(
    ("named", "numbers"),
    [
        ({"kind": "classification", "positive": "yes", "negative": "no"}, [0, 1]),
        ({"kind": "multiclass", "classes": ("no", "maybe", "yes")}, [0, 1, 2]),
    ],
)
def test_a_target_whose_labels_have_names_is_a_number_in_the_window(named: dict[str, Any], numbers: list[int]) -> None:
    task = Task.model_validate({"name": "t", "target": "y", "key": ("day", "id"), "label_delay_days": 1, **named})
    days = pd.Series(pd.date_range("2024-01-01", periods=20).repeat(10).strftime("%Y-%m-%d"))
    table = pd.DataFrame({"day": days, "id": list(range(10)) * 20})
    labels = table.assign(y=[("no", "yes")[row % 2] for row in range(200)])
    of_labels = propose_suite(labels, asset="labels", task=task)
    window = propose_window(propose_suite(table, asset="inputs", task=task), of_labels, task)
    asked = [p for p in window if p.columns == ("y",) and "null" not in p.type]
    assert [p.kwargs["value_set"] for p in asked] == [numbers]
    assert any("yes" in p.kwargs.get("value_set", ()) for p in of_labels)
