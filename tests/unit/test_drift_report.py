"""A day's report says at once what lies far outside of all that the champion knew, however short the window is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.core.data.schema import Types
from ml.core.monitoring.day_columns import DayColumn
from ml.core.monitoring.drift_report import Reference, Window, report_on
from ml.records import DriftReport, Limit
from tests import builders

DAY = date(2013, 2, 1)
CHANCE = np.random.default_rng(1)
NUMBERS = pd.Series(CHANCE.normal(100, 10, 1000))


class Days(Window):
    """Three days, the newest of them in another unit."""

    rows = 300
    types: Mapping[date, Types] = {}
    served = labels = pd.Series(dtype=float)

    @property
    def sample(self) -> pd.DataFrame:
        days = [(DAY - timedelta(days=back)).isoformat() for back in (2, 1, 0)]
        frame = pd.DataFrame({"day": np.repeat(days, 100), "number": NUMBERS.head(300)})
        return frame.assign(number=frame["number"].where(frame["day"] != DAY.isoformat(), frame["number"] * 25.4))

    def counted(self, day: date, categorical: Mapping[str, bool]) -> Mapping[str, DayColumn] | None:
        return None


def report(*, importance: float, min_rows: int) -> DriftReport:
    declared = {"structural": [], "environment": ["number"], "min_rows": min_rows}
    sample = pd.DataFrame({"day": "2013-01-01", "number": NUMBERS})
    reference = Reference(sample, {"number": Limit(limit=9e9, baseline_range=None, blocks=4)}, {}, None)
    window = Days(DAY, builders.settings(drift=declared))
    (found, _) = report_on(window, 1, reference, {"number": (importance, False)}, measure=lambda *_: Scores())
    return found


class Scores:
    scores = {"number": 0.1}  # noqa: RUF012
    methods = {"number": "wasserstein"}  # noqa: RUF012


@pytest.mark.parametrize("min_rows", [30, 1000], ids=["measured", "too few rows to be measured"])
@pytest.mark.parametrize(("importance", "severity"), [(0.001, "alarm"), (0.0, "warning")])
def test_another_unit_is_found_on_its_first_day(importance: float, severity: str, min_rows: int) -> None:
    found = report(importance=importance, min_rows=min_rows)
    (finding,) = found.findings
    assert (finding.kind, finding.column, finding.severity) == ("out_of_range", "number", severity)
    assert "100% of the values".replace("%", " %") in finding.message
    assert (found.status == "drift") == (severity == "alarm")
