"""What the contracts said of many days is laid out by day, and stays small."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest

from ml.core.data.quality_history import MOST_REASONS, OTHERS, WHOLE_DAY, day_quality, quality_history
from tests.builders_quality import RANGE, expectation, failure, result

DAY = date(2013, 6, 1)
DAYS = [DAY + timedelta(days=number) for number in range(4)]


def test_each_day_has_its_counts_its_range_and_what_was_asked() -> None:
    known = {DAYS[0]: day_quality(result(900, bad=7, null_rows=2)), DAYS[2]: day_quality(result(12, low=500))}
    facts = quality_history(DAYS, known)
    assert facts["rows"] == [900, None, 12, None]
    assert facts["accepted"] == [891, None, 0, None]
    assert facts["quarantined"] == [9, None, 0, None]
    assert facts["rejected"] == [None, None, "the row count must be between 500 and 1500", None]
    assert (facts["lowest_rows"], facts["highest_rows"]) == ([480, None, 500, None], [1500, None, 1500, None])
    states = {row["column"]: row["states"] for row in facts["expectations"]}
    assert states == {None: "m.u.", "temp": "m.m.", "carrier": "u.m.", "distance": "u.m."}
    assert [row["rule"] for row in facts["expectations"] if not row["column"]] == [
        "the row count must be between 500 and 1500"  # as it was asked last
    ]


def test_rows_are_counted_by_reason_and_a_rejected_day_is_one() -> None:
    known = {DAYS[0]: day_quality(result(900, bad=7, null_rows=2)), DAYS[1]: day_quality(result(12, bad=1))}
    reasons = {one["reason"]: one["rows"] for one in quality_history(DAYS[:2], known)["reasons"]}
    assert reasons == {
        WHOLE_DAY: [0, 12],
        "distance must be between 0 and 6000": [7, 0],
        "carrier must not be null": [2, 0],
    }


def test_of_many_reasons_the_rarest_are_added_up() -> None:
    asked = [expectation(RANGE, f"c{n}", f"c{n} is wrong", level="row", met=False) for n in range(MOST_REASONS + 3)]
    known = {**result(500), "failures": [failure(one, 100 - n) for n, one in enumerate(asked)]}
    reasons = quality_history(DAYS[:1], {DAYS[0]: day_quality(known)})["reasons"]
    assert len(reasons) == MOST_REASONS + 1
    assert reasons[-1] == {"reason": OTHERS, "rows": [sum(100 - n for n in range(MOST_REASONS, MOST_REASONS + 3))]}


def test_nulls_have_their_share_and_the_highest_that_is_accepted() -> None:
    known = {DAYS[0]: day_quality(result(500, null_rows=5, null_share=0.04)), DAYS[1]: day_quality(result(400))}
    nulls = {one["column"]: (one["share"], one["highest"]) for one in quality_history(DAYS[:2], known)["nulls"]}
    assert nulls == {"carrier": ([0.01, 0.0], [0.0, 0.0]), "temp": ([0.04, 0.01], [0.05, 0.05])}


def test_results_of_before_have_no_ranges_and_are_read() -> None:
    before = result(500)
    for one in before["expectations"]:
        del one["measured"]
    facts = quality_history(DAYS[:1], {DAYS[0]: day_quality(before)})
    assert (facts["rows"], facts["lowest_rows"]) == ([500], [None])
    assert [one["column"] for one in facts["nulls"]] == ["carrier"]


@pytest.mark.parametrize("content", [{}, [], {"rows": 1, "failures": [3]}, {**result(1), "expectations": [{}]}])
def test_what_is_no_result_is_named(content: object) -> None:
    with pytest.raises(ValueError, match="not a result of a screening"):
        day_quality(content)  # type: ignore[arg-type]


def test_three_years_of_a_hundred_columns_stay_small() -> None:
    wide = result(900)
    wide["expectations"] += [
        {**one, "column": f"column_{number}", "rule": f"{one['rule']} ({number})"}
        for one in wide["expectations"][1:]
        for number in range(100)
    ]
    days = [DAY + timedelta(days=number) for number in range(1100)]
    text = json.dumps(quality_history(days, dict.fromkeys(days, day_quality(wide))))
    assert len(text) < 4_000_000
