"""How far a window may lie from what is expected while nothing changes, by what the reference shows."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ml.core.monitoring.decay import BY_CHANCE
from ml.core.monitoring.performance import assess, expected
from ml.core.monitoring.reference_scatter import LEAST_DAYS, Scatter, scatters, widest
from ml.records import LivePerformance
from tests import builders

GIVEN = builders.settings(
    gate={"bootstrap_rounds": 200}, performance={"confidence": 0.95, "max_gap": 0.07, "max_lost_skill": 0.01}
)
FIRST, WINDOW, HELD, TRAINED, ROWS = date(2012, 1, 1), 14, 14, 75, 60


def served(days: int, seed: int, *, luck: float = 0.5) -> pd.DataFrame:
    """Serve scores that are right on average, in a world whose luck lasts for a week."""
    chance = np.random.default_rng(seed)
    of_day = np.repeat(chance.normal(0, luck, -(-days // 7)), 7)[:days] + chance.normal(0, 0.25, days)
    log_odds = 0.9 * chance.normal(0, 1, days * ROWS) - 0.8
    true = 1 / (1 + np.exp(-(log_odds + np.repeat(of_day, ROWS))))
    return pd.DataFrame(
        {
            "day": np.repeat([(FIRST + timedelta(days=number)).isoformat() for number in range(days)], ROWS),
            "version": 1,
            "target": (chance.random(days * ROWS) < true).astype(float),
            "prediction": 1 / (1 + np.exp(-log_odds)),
        }
    )


def reports(rows: pd.DataFrame, *, reference: bool) -> list[LivePerformance]:
    """Judge a champion of `TRAINED` and `HELD` days every other week, for as long as there are days."""
    days = sorted(rows["day"].unique())
    start = TRAINED + HELD
    known = rows.loc[rows["day"] < days[start]]
    holdout = known.loc[known["day"] >= days[TRAINED]].rename(columns={"prediction": "challenger"})
    seen = expected(holdout.assign(base_rate=known["target"].mean()), GIVEN, reference=known if reference else None)
    return [
        assess(
            date.fromisoformat(days[end]),
            1,
            rows.loc[rows["day"].between(days[end - WINDOW], days[end - 1])],
            [],
            expected=seen,
            settings=GIVEN,
            in_full=False,
        )
        for end in range(start + WINDOW, len(days), 14)
    ]


def test_luck_that_lasts_for_weeks_is_no_decay_in_a_year_of_looks() -> None:
    years = [served(TRAINED + HELD + 365, seed) for seed in range(2)]
    by_window_alone, by_reference = (
        [report for rows in years for report in reports(rows, reference=reference)] for reference in (False, True)
    )
    decays = [report for report in by_window_alone if report.status == "decay"]
    assert decays
    assert {report.status for report in by_reference} == {"fine"}
    warned = [report for report in by_reference if report.findings]
    assert [report.day for report in warned] == [report.day for report in decays]
    assert {finding.severity for report in warned for finding in report.findings} == {"warning"}
    assert BY_CHANCE in warned[0].findings[0].message


def test_what_is_far_beyond_the_luck_of_the_reference_is_decay() -> None:
    rows = served(TRAINED + HELD + 3 * WINDOW, 1, luck=0.2)
    broken = rows.assign(prediction=rows["prediction"].where(rows["day"] < "2012-03-30", 0.9))
    assert reports(rows, reference=True)[-1].status == "fine"
    assert reports(broken, reference=True)[-1].status == "decay"


def test_the_message_shows_the_interval_that_was_decided_by() -> None:
    rows = served(TRAINED + HELD + 3 * WINDOW, 1, luck=0.2)
    broken = rows.assign(prediction=rows["prediction"].where(rows["day"] < "2012-03-30", 0.9))
    days = sorted(rows["day"].unique())
    known = rows.loc[rows["day"] < days[TRAINED + HELD]]
    holdout = known.loc[known["day"] >= days[TRAINED]].rename(columns={"prediction": "challenger"})
    seen = expected(holdout.assign(base_rate=known["target"].mean()), GIVEN, reference=known)
    window = broken.loc[broken["day"] >= days[-WINDOW]]
    found = assess(date(2012, 5, 12), 1, window, [], expected=seen, settings=GIVEN, in_full=False)
    reach = seen.scatters["gap"].reach(WINDOW, confidence=0.95, window_days=GIVEN.performance.window_days)
    gap = found.window["gap"].value
    assert f"[{gap - reach:+.3f}, {gap + reach:+.3f}]" in found.findings[0].message


class TestScatter:
    def test_independent_days_scatter_as_they_do(self) -> None:
        chance = np.random.default_rng(0)
        days = 200
        rows = pd.DataFrame({"day": [str(FIRST + timedelta(days=n)) for n in range(days)], "prediction": 0.5})
        rows["target"] = 0.5 + chance.normal(0, 0.1, days)
        assert scatters(rows, None, GIVEN)["gap"].of_day == pytest.approx(0.1, rel=0.3)

    def test_the_tail_of_a_year_is_shared_by_its_windows(self) -> None:
        scatter = Scatter(0.1, 20)
        reach = scatter.reach(14, 7, confidence=0.95, window_days=14)
        assert reach == pytest.approx(stats.t.isf(0.025 * 14 / 365, 20) * 0.1 * math.sqrt(1 / 14 + 1 / 7))
        assert scatter.reach(14, confidence=0.95, window_days=1000) == pytest.approx(
            stats.t.isf(0.025, 20) * 0.1 / math.sqrt(14)
        )

    @pytest.mark.parametrize("days", [0, LEAST_DAYS - 1])
    def test_a_short_reference_says_nothing(self, days: int) -> None:
        assert scatters(served(max(days, 1), 0).iloc[: days * ROWS], 0.3, GIVEN) == {}
        assert scatters(None, 0.3, GIVEN) == {}

    def test_without_a_base_rate_the_gap_alone_is_known(self) -> None:
        assert set(scatters(served(LEAST_DAYS, 0), None, GIVEN)) == {"gap"}
        assert set(scatters(served(LEAST_DAYS, 0), 0.3, GIVEN)) == {"gap", "skill"}

    def test_a_prediction_that_is_no_number_leaves_nothing(self) -> None:
        rows = served(LEAST_DAYS, 0)
        rows.loc[3, "prediction"] = np.nan
        assert scatters(rows, 0.3, GIVEN) == {}

    def test_several_versions_together_scatter_as_the_widest(self) -> None:
        both = [{"gap": Scatter(0.1, 20), "skill": Scatter(1, 9)}, {"gap": Scatter(0.2, 30)}]
        assert widest(both) == {"gap": Scatter(0.2, 20)}
        assert widest([]) == {}
