"""What is shown of each slice: sums of a day, and the gap with its interval over trailing days."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.core.gate.comparison import mean_by_day
from ml.core.monitoring.slice_figures import DAY, figures_of, kept_days, slice_history
from tests.unit.test_slice_findings import settings

FIRST = date(2013, 5, 1)


def rows_of(day: int, rows: int = 200) -> pd.DataFrame:
    chance = np.random.default_rng(day)
    return pd.DataFrame(
        {
            "carrier": chance.choice(["AA", "UA"], rows),
            "number": chance.normal(size=rows),
            "prediction": chance.uniform(0.1, 0.4, rows),
            "target": chance.binomial(1, 0.3, rows).astype(float),
        }
    )


def test_the_sums_of_a_day_are_those_of_its_rows() -> None:
    rows = rows_of(1)
    figures = figures_of(pd.concat([rows, rows.head(3).assign(target=np.nan)]), settings())
    for name, part in ((DAY, rows), ("carrier = UA", rows[rows["carrier"] == "UA"])):
        expected = [len(part), part["prediction"].sum(), part["target"].sum()]
        assert figures[name] == pytest.approx(expected)


def test_small_slices_are_left_out() -> None:
    few = rows_of(1).assign(carrier=["XX"] * 19 + ["UA"] * 181)
    assert "carrier = XX" not in figures_of(few, settings()) and "carrier = UA" in figures_of(few, settings())


def test_a_gap_is_that_of_the_rows_of_its_window_with_an_interval_by_day() -> None:
    frames = {FIRST + timedelta(days=day): rows_of(day, 150 + 10 * day) for day in range(10)}
    by_day = {day: figures_of(rows, settings()) for day, rows in frames.items()}
    last = max(by_day)
    history = slice_history(by_day, [FIRST, last], window=7)
    assert history[0]["slice"] == DAY
    for one in history:
        assert (one["low"][0], one["high"][0]) == (None, None)  # a single day has no interval
    joined = pd.concat([rows.assign(day=str(day)) for day, rows in frames.items() if (last - day).days < 7])
    values = (joined["prediction"] - joined["target"]).to_numpy()
    mean = mean_by_day(joined["day"], values, confidence=0.95, n_resamples=200, seed=1)
    assert mean is not None
    whole = history[0]
    assert (whole["rows"][1], whole["gap"][1]) == (len(joined), pytest.approx(mean.value, abs=1e-6))
    assert whole["predicted"][1] - whole["observed"][1] == pytest.approx(whole["gap"][1], abs=2e-6)
    reach = (whole["high"][1] - whole["low"][1]) / 2
    assert mean.value - reach >= mean.low - 0.02 and reach == pytest.approx((mean.high - mean.low) / 2, rel=0.5)


def test_a_day_without_rows_of_a_slice_has_none_of_its_figures() -> None:
    by_day = {FIRST: figures_of(rows_of(1), settings())}
    (whole, *_) = slice_history(by_day, [FIRST, FIRST + timedelta(days=30)], window=7)
    assert (whole["rows"][1], whole["gap"][1]) == (None, None)


@pytest.mark.parametrize("damage", [{"2013-05-01": ["of", {}]}, {"2013-05-01": 3}, {"no day": ["of", {}, {}]}])
def test_what_another_release_has_kept_is_not_read(damage: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        kept_days(damage)
