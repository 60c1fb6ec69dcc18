"""Changes in a part of the data: found where planted, calm where nothing changes, the same however often asked."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from ml.core.monitoring.slice_changes import Change, change_on, evidence, message, size, standardise, stream_weights
from ml.core.monitoring.slice_streams import ALIKE, REST, day_streams, parts, quantile_edges

DAYS, CHANGE, LIMIT = 100, 90, 182


def day_rows(chance: np.random.Generator, *, kind: str, rows: int = 600) -> pd.DataFrame:
    """Make a day whose outcomes are as predicted but for a shift of the whole day."""
    shop = chance.choice(["north", "south", "west"], rows)
    hour = chance.integers(0, 24, rows)
    if kind == "classification":
        prediction = expit(chance.normal(-1.4, 0.6, rows))
        target = (chance.random(rows) < expit(logit(prediction) + chance.normal(0, 0.4))).astype(float)
    else:
        prediction = chance.normal(50, 10, rows)
        target = prediction + chance.normal(0, 5, rows) + chance.normal(0, 2)
    return pd.DataFrame({"target": target, "prediction": prediction, "shop": shop, "hour": hour})


def history(kind: str = "classification", *, seed: int = 1, plant: str | None = None) -> pd.DataFrame:
    """Measure the streams of many days, with a change from day `CHANGE` on."""
    chance, found = np.random.default_rng(seed), {}
    for number in range(DAYS):
        rows = day_rows(chance, kind=kind)
        if plant is not None and number >= CHANGE:
            rows = planted(rows, plant, kind, chance)
        day = (date(2024, 1, 1) + timedelta(days=number)).isoformat()
        found[day] = day_streams(rows, kind, ["shop", "hour >= 18"], {}, min_rows=20)
    return pd.DataFrame.from_dict(found, orient="index", dtype=float)


def planted(rows: pd.DataFrame, plant: str, kind: str, chance: np.random.Generator) -> pd.DataFrame:
    """Change the outcomes of a part of a day."""
    target = rows["target"].to_numpy(copy=True)
    part = (rows["shop"] == "south").to_numpy() if plant == "south" else np.ones(len(rows), dtype=bool)
    if kind == "regression":
        target[part] += 4
    else:
        target[part & (chance.random(len(rows)) < 0.3)] = 1
    return rows.assign(target=target)


class TestFound:
    @pytest.mark.parametrize("kind", ["classification", "regression"])
    def test_a_slice_that_changed_is_named_with_its_day_and_direction(self, kind: str) -> None:
        change = change_on(history(kind, plant="south"), limit=LIMIT)
        assert change is not None and change.stream == "shop = south"
        planted_on = date(2024, 1, 1) + timedelta(days=CHANGE)
        assert abs((date.fromisoformat(change.since) - planted_on).days) <= 1
        assert change.low is not None and 0 < change.low < change.shift
        text = message(change, limit=LIMIT)
        assert "higher than predicted where shop = south" in text and change.since in text

    def test_a_change_is_found_within_a_week_of_labels(self) -> None:
        scores = history(plant="south")
        looks = [change_on(scores.iloc[: CHANGE + days], limit=LIMIT) is not None for days in range(1, 8)]
        assert not looks[0] and looks[-1]

    def test_a_shift_of_all_rows_is_no_change_of_a_part(self) -> None:
        scores = history("regression", plant="all")
        shifted, before = scores.iloc[CHANGE:].mean(), scores.iloc[:CHANGE].mean()
        slices = [name for name in parts(scores.columns) if name.startswith("shop")]
        rest = [name + REST for name in slices]
        assert (shifted[rest] - before[rest]).min() > 5
        assert (shifted[slices] - before[slices]).abs().max() < 2
        assert change_on(scores, limit=LIMIT) is None


class TestRowsAlike:
    """Days whose residuals grow along a column: what the afternoon is off says what the evening will be."""

    @staticmethod
    def sloped_day(chance: np.random.Generator, *, evening: float = 0.0) -> pd.DataFrame:
        """Make a day with a slope of its own along the hours, and an evening that is off by more."""
        rows = day_rows(chance, kind="regression")
        hour = rows["hour"].to_numpy(dtype=float)
        slope = chance.normal(0, 0.5)
        return rows.assign(target=rows["target"] + slope * (hour - 12) + evening * (hour >= 18))

    def scores(self, evening: float = 0.0) -> pd.DataFrame:
        chance, days = np.random.default_rng(8), {}
        for number in range(DAYS):
            rows = self.sloped_day(chance, evening=evening if number >= CHANGE else 0.0)
            day = (date(2024, 1, 1) + timedelta(days=number)).isoformat()
            days[day] = day_streams(rows, "regression", ["shop", "hour >= 18"], {}, min_rows=20)
        return pd.DataFrame.from_dict(days, orient="index", dtype=float)

    def test_a_slope_of_the_day_is_taken_out_of_its_end(self) -> None:
        scores = self.scores()
        alike, rest = (abs(scores["hour >= 18"].corr(scores["hour >= 18" + what])) for what in (ALIKE, REST))
        assert alike > 0.7 and alike > rest
        assert 0.7 < standardise(scores)["hour >= 18"].std() < 1.3

    def test_a_change_that_the_slopes_of_days_would_hide_is_found(self) -> None:
        scores = self.scores(evening=2.0)
        found = change_on(scores, limit=LIMIT)
        assert found is not None and found.stream == "hour >= 18"
        alone = {name: (name + REST,) for name in parts(scores.columns)}
        without = standardise(scores, beside=alone)
        assert standardise(scores)["hour >= 18"].iloc[CHANGE:].mean() > 2 * without["hour >= 18"].iloc[CHANGE:].mean()

    def test_a_change_of_the_slice_moves_nothing_of_the_rest(self) -> None:
        rows = self.sloped_day(np.random.default_rng(2))
        changed = rows.assign(target=rows["target"] + 30 * (rows["hour"] >= 18))
        one, other = (day_streams(table, "regression", ["hour >= 18"], {}, min_rows=20) for table in (rows, changed))
        before, after = (table["hour >= 18" + ALIKE] / table["hour >= 18" + REST] for table in (one, other))
        assert other["hour >= 18"] > one["hour >= 18"] + 3
        assert after == pytest.approx(before, rel=0.2)

    def test_rows_without_the_column_say_nothing_along_it(self) -> None:
        rows = self.sloped_day(np.random.default_rng(2))
        holes = rows.assign(hour=rows["hour"].where(rows["hour"] != 3).astype("Float64"), shop="north")
        assert all(
            np.isfinite(list(day_streams(holes, "regression", ["shop", "hour >= 18"], {}, min_rows=20).values()))
        )

    def test_days_without_the_rest_are_not_measured(self) -> None:
        scores = self.scores()
        scores.loc[scores.index[-1], "hour >= 18" + ALIKE] = np.nan
        assert np.isnan(standardise(scores)["hour >= 18"].iloc[-1])


class TestCalm:
    @pytest.mark.parametrize("lag", [0.0, 0.4])
    def test_autocorrelated_days_call_no_more_than_declared(self, lag: float) -> None:
        chance, called, looks = np.random.default_rng(5), 0, 0
        names = [*(f"shop = {number}" for number in range(6)), "hour >= 18"]
        for _ in range(12):
            values = chance.standard_normal((250, len(names))) * 2
            for at in range(1, 250):
                values[at] = lag * values[at - 1] + np.sqrt(1 - lag**2) * values[at]
            standardised = standardise(pd.DataFrame(values, columns=names), beside=dict.fromkeys(names, ())).iloc[35:]
            over = (evidence(standardised, limit=LIMIT)["total"] >= LIMIT).to_numpy()
            called += int((over[1:] & ~over[:-1]).sum())
            looks += len(over)
        assert called / looks <= 1 / 91

    def test_a_day_that_is_bad_everywhere_moves_no_slice(self) -> None:
        assert change_on(history(), limit=LIMIT) is None

    @pytest.mark.parametrize("stream", ["shop = south", "hour >= 18"])
    def test_one_day_of_a_part_however_bad_calls_nothing(self, stream: str) -> None:
        scores = history()
        scores.loc[scores.index[-1], stream] = 40.0
        assert change_on(scores, limit=LIMIT) is None


class TestLooks:
    def test_days_before_the_champion_only_standardise(self) -> None:
        scores = history(plant="south")
        assert change_on(scores, limit=LIMIT, first_day=str(scores.index[-1])) is None

    def test_what_came_long_before_changes_nothing(self) -> None:
        scores = history(plant="south")
        older = pd.concat([history(seed=3), scores])
        older.index = [(date(2023, 1, 1) + timedelta(days=n)).isoformat() for n in range(len(older))]
        longer = pd.concat([history(seed=4), older])
        longer.index = [(date(2022, 1, 1) + timedelta(days=n)).isoformat() for n in range(len(longer))]
        one, other = change_on(older, limit=LIMIT), change_on(longer, limit=LIMIT)
        assert one is not None and other is not None
        assert (one.stream, one.days, one.shift) == (other.stream, other.days, other.shift)

    def test_few_days_call_nothing(self) -> None:
        assert change_on(history(plant="south").tail(35), limit=LIMIT) is None


class TestStreams:
    def test_small_days_and_small_slices_are_left_out(self) -> None:
        rows = day_rows(np.random.default_rng(1), kind="classification", rows=24)
        assert day_streams(rows, "classification", ["shop"], {}, min_rows=30) == {}
        assert day_streams(rows, "classification", ["shop"], {}, min_rows=20) == {}
        assert parts(day_streams(rows, "classification", ["hour >= 6"], {}, min_rows=4)) == ["hour >= 6"]

    def test_numbers_are_cut_by_their_quantiles(self) -> None:
        rows = day_rows(np.random.default_rng(1), kind="classification")
        edges = {"hour": quantile_edges(rows["hour"], 3)}
        streams = day_streams(rows, "classification", [], edges, min_rows=20)
        assert [name for name in parts(streams) if "hour" in name] == ["hour < 8", "8 <= hour < 15", "hour >= 15"]

    def test_each_cut_has_the_same_part_of_the_budget(self) -> None:
        weights = stream_weights(["shop = a", "shop = b", "hour >= 18", "hour < 6"])
        assert weights.round(3).tolist() == [0.25, 0.25, 0.25, 0.25]
        assert stream_weights(["shop = a", "shop = b", "hour >= 18"]).tolist() == [0.25, 0.25, 0.5]


def test_the_interval_of_a_size_has_the_sign_of_the_size() -> None:
    lower = Change("carrier = B6", "2013-05-01", 8, -1.8, -3.3, -0.4)
    higher = Change("carrier = B6", "2013-05-01", 8, 1.8, 0.4, 3.3)
    words = "1.8 standard deviations of a day (95 % interval 0.4 to 3.3) over 8 labelled days"
    assert size(lower) == size(higher) == words
