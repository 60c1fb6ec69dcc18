"""Any day at all: what is accepted comes out of the registry as it went in, and no row is lost without a name."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import fuzz
from bench.fuzz_days import Mutated, _csv, _parquet
from ml.errors import DataRejected
from ml.wiring import Services

pytestmark = pytest.mark.timeout(300)
TEXT = st.text(st.sampled_from("ab ,\"\n;é'0"), max_size=12)
AMOUNT = st.one_of(st.floats(-1e6, 1e6, allow_nan=False), st.sampled_from([np.nan, np.nan, np.inf]))
ROW = st.tuples(st.integers(1, 12), st.sampled_from(["A1", "B2", "007x"]), AMOUNT, TEXT)


@dataclass
class Installed:
    """One registry for all examples, each of them a day of its own."""

    home: Path
    services: dict[int, Services]
    known: Any
    days: Iterator[date] = field(default_factory=lambda: (fuzz.FIRST_DAY + timedelta(days=n) for n in range(10**5)))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("days")
    services = {rows: fuzz.installation(home, rows) for rows in fuzz.AT_ONCE}
    one = services[fuzz.AT_ONCE[0]]
    one.registry.create()
    return Installed(home, services, fuzz.learn_types(one, home))


def _good_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out, by an oracle of its own, infinite numbers, contradictions, and copies of rows."""
    rows = fuzz.texts_of(frame)
    versions = {key: len({row for row in rows if row[:2] == key}) for key in {row[:2] for row in rows}}
    seen: Counter[tuple[str, ...]] = Counter()
    keep = []
    for row, amount in zip(rows, frame["amount"], strict=True):
        seen[row] += 1
        keep.append(versions[row[:2]] == 1 and seen[row] == 1 and not np.isinf(amount))
    return frame[keep]


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(ROW, min_size=1, max_size=12, unique_by=lambda row: row[0]),
    again=st.lists(st.integers(0, 11), max_size=2),
    ending=st.sampled_from(["csv", "parquet"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    at_once=st.sampled_from(fuzz.AT_ONCE),
)
def test_what_is_accepted_comes_out_as_it_went_in_and_every_row_is_accounted_for(
    installed: Installed, rows: list[Any], again: list[int], ending: str, quoting: Any, at_once: int
) -> None:
    day = next(installed.days)
    rows = [*rows, *(rows[number % len(rows)] for number in again)]
    frame = pd.DataFrame(rows, columns=["id", "code", "amount", "note"]).assign(day=day.isoformat())[fuzz.COLUMNS]
    frame["note"] = frame["note"].astype("str").replace("", None)
    content = _csv(frame, quoting=quoting) if ending == "csv" else _parquet(frame)
    good, services = _good_rows(frame), installed.services[at_once]
    too_many = len(frame) - len(good) > 0.2 * len(frame)
    ambiguous = ending == "csv" and frame["note"].str.contains("\n", na=False).any()
    try:
        accepted = fuzz.take(
            Mutated("drawn", content, ending, "either", frame), day, services, installed.home, installed.known
        )
        services.registry.commit({("inputs", day): accepted.path}, message="A drawn day")
    except DataRejected as err:
        assert too_many or ambiguous, str(err)
        assert str(err)
        return
    assert not too_many
    held = pd.read_parquet(services.registry.open("inputs", first_day=day, last_day=day)[day])
    assert len(held) + accepted.quarantined == len(frame)
    assert fuzz.texts_of(held) == fuzz.texts_of(good)
