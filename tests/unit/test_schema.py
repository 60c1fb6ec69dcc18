"""Which types go together, and by which a column is read: declared, of the suite, learned, or of its role."""

from __future__ import annotations

from datetime import date

import pytest

from ml.core.data.schema import (
    csv_types,
    expected_types,
    goes_with,
    identities,
    learned,
    numbers,
    refuse_mixed,
    widened,
)
from ml.errors import DataRejected
from ml.settings import Settings, Types, load

TYPES = ["string", "int64", "uint8", "float32", "bool", "date", "timestamp[us]", "timestamp[us, tz=UTC]", "null"]


@pytest.fixture
def settings() -> Settings:
    return load()


@pytest.mark.parametrize("one", TYPES)
@pytest.mark.parametrize("other", TYPES)
def test_whether_two_types_go_together_does_not_depend_on_which_comes_first(one: str, other: str) -> None:
    assert goes_with(one, other) == goes_with(other, one)
    assert goes_with(one, one)
    assert goes_with(one, "null")


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("int64", "float32", True),
        ("int64", "string", False),
        ("bool", "int64", False),
        ("date", "timestamp[us]", True),
        ("timestamp[us]", "timestamp[us, tz=UTC]", False),
        ("list<item: int64>", "string", False),
    ],
)
def test_kinds_decide_what_goes_together(one: str, other: str, together: bool) -> None:
    assert goes_with(one, other) is together


def test_a_column_is_learned_with_its_first_value_and_fractions_widen_it() -> None:
    assert widened(None, "null") == "null"
    assert learned({}, [{"a": "null"}, {"a": "int64", "b": "string"}, {"a": "float64"}, {"a": "int64"}]) == {
        "a": "float64",
        "b": "string",
    }


def test_what_is_compared_as_it_is_written_is_text_in_a_csv_from_the_first_day_on(settings: Settings) -> None:
    types = csv_types(settings, "inputs", {}, {})
    assert {types[column] for column in ("carrier", "origin", "dest", "flight")} == {"string"}
    assert "day" not in types
    assert identities(settings) == {"carrier", "origin", "dest", "flight"}


def test_a_numeric_feature_is_a_number_in_a_csv_even_if_all_its_values_are_whole(settings: Settings) -> None:
    assert csv_types(settings, "inputs", {}, {})["distance"] == "float64"
    assert not numbers(settings) & identities(settings)


def test_declared_goes_before_the_suite_the_suite_before_learned_and_learned_before_the_role(
    settings: Settings,
) -> None:
    known = {"inputs": {"origin": "int64"}}
    assert csv_types(settings, "inputs", known, {})["origin"] == "int64"
    assert csv_types(settings, "inputs", known, {"origin": "float64"})["origin"] == "float64"
    declared = settings.model_copy(update={"types": Types(inputs={"origin": "bool"})})
    assert csv_types(declared, "inputs", known, {"origin": "float64"})["origin"] == "bool"


def test_the_key_of_labels_has_the_types_of_inputs(settings: Settings) -> None:
    known = {"inputs": {"flight": "int64", "temp": "float64"}, "labels": {"flight": "uint64", "late": "int64"}}
    types = expected_types(settings, "labels", known)
    assert (types["flight"], types["late"]) == ("int64", "int64")
    assert "temp" not in types


def test_days_of_another_kind_than_most_are_named_with_both_types_and_the_ways_out() -> None:
    days = {date(2025, 1, n): {"zip": "int64", "note": "null"} for n in range(1, 10)}
    days[date(2025, 1, 7)] = {"zip": "string", "note": "string"}
    with pytest.raises(DataRejected) as refused:
        refuse_mixed("inputs", days)
    said = str(refused.value)
    assert "inputs: column 'zip' is string on 2025-01-07, but int64 on the 8 other days" in said
    assert "evergreen schema --accept" in said
    assert "evergreen withdraw DAY" in said
    refuse_mixed("inputs", days, {"note"})
