"""A day is cut so that each of its rows is in one shard, and no batch depends on the cut."""

from __future__ import annotations

import pytest

from ml.core.scoring.shards import MOST_SHARDS, Rows, cut, inconsistency


@pytest.mark.parametrize("rows", [1, 99, 100, 101, 12_345])
@pytest.mark.parametrize("rows_per_shard", [1, 100, 350, 10**9])
@pytest.mark.parametrize("batch_rows", [1, 7, 100, 65_536])
def test_each_row_is_in_one_shard_of_whole_batches(rows: int, rows_per_shard: int, batch_rows: int) -> None:
    shards = cut(rows, rows_per_shard=rows_per_shard, batch_rows=batch_rows)
    assert [shard.first for shard in shards] == [0, *(shard.end for shard in shards[:-1])]
    assert shards[-1].end == rows
    assert all(shard.first % batch_rows == 0 and shard.count for shard in shards)
    assert len(shards) <= MOST_SHARDS


def test_a_day_that_fits_is_one_shard() -> None:
    assert cut(1000, rows_per_shard=1000, batch_rows=10) == (Rows(0, 1000),)
    assert len(cut(1001, rows_per_shard=1000, batch_rows=10)) == 2


def test_an_empty_day_is_one_empty_shard() -> None:
    assert cut(0, rows_per_shard=1000, batch_rows=10) == (Rows(0, 0),)
    assert str(Rows(0, 0)) == "no rows from 0 on"


def test_a_day_of_too_many_shards_has_larger_ones() -> None:
    assert len(cut(10**9, rows_per_shard=1, batch_rows=1)) == MOST_SHARDS


def test_a_whole_set_is_whole_in_any_order() -> None:
    wanted = cut(25, rows_per_shard=10, batch_rows=5)
    assert inconsistency(wanted, list(reversed(wanted))) == ""


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], ("shard 1 of 3 (rows 0 to 9) is missing; shard 2 of 3 (rows 10 to 19) is missing; "
              "shard 3 of 3 (rows 20 to 24) is missing")),
        ([Rows(0, 10), Rows(10, 10)], "shard 3 of 3 (rows 20 to 24) is missing"),
        ([Rows(0, 10), Rows(0, 10), Rows(10, 10), Rows(20, 5)], "shard 1 of 3 (rows 0 to 9) came 2 times"),
        ([Rows(0, 10), Rows(10, 10), Rows(20, 5), Rows(20, 9)], "rows 20 to 28 are of another cut"),
    ],
)  # fmt: skip
def test_what_is_amiss_is_named(found: list[Rows], said: str) -> None:
    assert inconsistency(cut(25, rows_per_shard=10, batch_rows=5), found) == said
