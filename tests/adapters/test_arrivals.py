"""With which partition labels came is written down beside them, and read back of any version."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from ml.adapters.data_registry import DataRegistry
from ml.adapters.data_registry.arrivals import months_between, parse_arrivals
from ml.errors import EvergreenError

DAY = date(2013, 4, 30)
NEXT = date(2013, 5, 1)
Put = Callable[..., str]


@pytest.fixture
def put(registry: DataRegistry, tmp_path: Path) -> Put:
    """Commit one small file; return the version."""
    registry.create()

    def put(asset: str, day: date, content: str, partition: date | None = None) -> str:
        path = tmp_path / "landed.parquet"
        path.write_text(content)
        arrived = {} if partition is None else {day: partition}
        return registry.commit({(asset, day): path}, message="Add", arrived=arrived).rev  # type: ignore[dict-item]

    return put


def partitions(registry: DataRegistry, rev: str | None = None) -> dict[date, list[date]]:
    found = registry.arrivals(DAY, NEXT, rev=rev)
    return {day: [arrival.partition for arrival in arrivals] for day, arrivals in found.items()}


def test_each_content_of_a_day_is_recorded_with_the_partition_that_brought_it(registry: DataRegistry, put: Put) -> None:
    first = put("labels", DAY, "92 % of them", NEXT)
    put("labels", NEXT, "the next day", NEXT + timedelta(1))
    put("labels", DAY, "all of them", NEXT + timedelta(3))
    assert partitions(registry) == {DAY: [NEXT, NEXT + timedelta(3)], NEXT: [NEXT + timedelta(1)]}
    assert partitions(registry, first) == {DAY: [NEXT]}
    newest = registry.arrivals(DAY, DAY)[DAY][-1]
    assert newest.md5 == registry.days("labels")[DAY].md5


def test_the_same_content_again_arrives_once(registry: DataRegistry, put: Put) -> None:
    put("labels", DAY, "same", NEXT)
    put("labels", DAY, "same", NEXT + timedelta(2))
    assert partitions(registry) == {DAY: [NEXT]}


def test_inputs_and_days_of_which_nobody_says_it_are_left_out(registry: DataRegistry, put: Put) -> None:
    put("inputs", DAY, "inputs", DAY)
    put("labels", DAY, "labels")
    assert partitions(registry) == {}


def test_a_commit_rewrites_the_file_of_one_month_only(registry: DataRegistry, put: Put) -> None:
    put("labels", DAY, "april", NEXT)
    put("labels", NEXT, "may", NEXT)
    assert months_between(date(2012, 12, 31), date(2013, 2, 1)) == [
        date(2012, 12, 1),
        date(2013, 1, 1),
        date(2013, 2, 1),
    ]
    assert [len(found) for found in registry.arrivals(DAY, NEXT).values()] == [1, 1]


def test_a_damaged_file_says_what_to_revert() -> None:
    with pytest.raises(EvergreenError, match="arrivals in the data registry is damaged .*revert the commit"):
        parse_arrivals(b"day,md5,partition\n2013-04-30,a,not a day\n")
