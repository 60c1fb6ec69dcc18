"""What is asked of each row whatever the suite says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.core.data.row_checks import LARGEST, UsedColumns, check_rows, refuse_unusable, too_large, whole_keys
from ml.errors import DataRejected

USED = UsedColumns(("day", "id"), frozenset({"ratio"}))


def check(**columns: object) -> list[tuple[str, tuple[int, ...]]]:
    frame = pd.DataFrame(columns)
    return [(f.message, f.positions) for f in check_rows(frame, USED, np.arange(len(frame)))]


def test_an_infinite_value_of_a_used_column_is_a_reason_with_its_row() -> None:
    assert check(ratio=[1.0, np.inf, np.nan, -np.inf]) == [("column 'ratio' is infinite", (1, 3))]


def test_a_number_beyond_what_estimators_hold_is_a_reason_of_its_own() -> None:
    ((message, rows),) = check(ratio=[LARGEST, -1e39])
    assert rows == (1,)
    assert message.startswith("column 'ratio' is beyond 3.4e+38")


def test_an_infinite_value_that_nobody_reads_is_no_reason() -> None:
    assert check(note=[np.inf]) == []


def test_a_null_in_the_key_is_a_reason_with_its_row() -> None:
    assert check(day=["a", None], id=[1, 2]) == [("key column 'day' is null", (1,))]


def test_rows_are_named_by_their_numbers_in_the_table() -> None:
    (failure,) = check_rows(pd.DataFrame({"ratio": [np.inf]}), USED, np.array([712]))
    assert failure.examples == ("row 712",)


@pytest.mark.parametrize("values", [["a", "b"], [1, 2], [True, False], [None, None]])
def test_what_is_no_float_is_never_too_large(values: list[object]) -> None:
    assert not too_large(pd.Series(values)).any()


def test_identifiers_stay_exact_when_the_rows_without_one_are_left_out() -> None:
    ids = pd.array([2**60 + 1, None, 2**60 + 2], dtype="Int64")
    whole, places = whole_keys(pd.DataFrame({"id": ids}), ["id"])
    assert whole["id"].tolist() == [2**60 + 1, 2**60 + 2]
    assert whole["id"].dtype == "int64"
    assert places.tolist() == [0, 2]


def test_days_that_no_model_can_be_fitted_on_are_named_with_the_way_out() -> None:
    bad = check_rows(pd.DataFrame({"ratio": [1.0, np.inf]}), USED, np.arange(2))
    with pytest.raises(DataRejected) as refused:
        refuse_unusable({"inputs of 2013-04-01": bad, "inputs of 2013-04-02": []})
    said = str(refused.value)
    assert "inputs of 2013-04-01: column 'ratio' is infinite (1 row, such as row 1)" in said
    assert "evergreen withdraw DAY" in said


def test_the_same_fault_of_many_days_is_said_once_with_their_number() -> None:
    bad = check_rows(pd.DataFrame({"ratio": [1.0, np.inf]}), USED, np.arange(2))
    with pytest.raises(DataRejected) as refused:
        refuse_unusable({f"inputs of 2013-04-0{day}": bad for day in range(1, 6)})
    said = str(refused.value)
    assert said.count("is infinite") == 1
    assert "(1 row, such as row 1), and so in inputs of 2013-04-02 and 3 more." in said
