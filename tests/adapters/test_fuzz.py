"""A seeded part of the fuzz of day files: no raw error, no time-out, nothing accepted or rejected wrongly."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from bench import fuzz
from bench.fuzz_days import MUTATIONS, Mutated, healthy_day


@pytest.mark.timeout(300)
def test_no_damaged_day_file_is_taken_wrongly_or_ends_in_a_raw_error(tmp_path: Path) -> None:
    result = fuzz.run(150, seed=1, home=tmp_path, seconds=60)
    assert result.faults == []
    assert sum(result.outcomes.values()) == 150
    assert result.outcomes["accepted"] > 20 and result.outcomes["rejected by name"] > 20


@pytest.mark.timeout(300)
def test_the_fuzz_finds_rows_that_are_lost_and_acceptances_that_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = date(2000, 1, 1)
    frame = healthy_day(day, np.random.default_rng(1))
    lossy = frame.head(20).to_csv(index=False).encode()

    def mutate(*_: object) -> Mutated:
        return Mutated("lossy", lossy, "csv", "accepted", frame)

    monkeypatch.setattr(fuzz, "mutate", mutate)
    (fault,) = fuzz.run(1, seed=1, home=tmp_path).faults
    assert "values changed (20 rows)" in fault


def test_every_mutation_makes_a_file(tmp_path: Path) -> None:
    for name, mutation in MUTATIONS.items():
        draw = np.random.default_rng(3)
        mutated = mutation(name, healthy_day(date(2000, 1, 1), draw), draw)
        assert mutated.ending in ("csv", "parquet") and isinstance(mutated.content, bytes), name
