"""The built-in policies of a backtest."""

from __future__ import annotations

import pytest

from ml import settings as settings_module
from ml.backtest import policies
from ml.settings import PROJECT_ROOT

SCREEN = {"screen": {"recent_days": 300}, "labels": {"recent_days": 300}}


@pytest.mark.parametrize(("every_days", "weekly", "monthly"), [(1, 7, 28), (2, 3, 14), (7, 1, 4), (31, 1, 1)])
def test_a_week_and_a_month_hold_as_many_new_days_as_come_in_them(every_days: int, weekly: int, monthly: int) -> None:
    base = settings_module.overlaid(
        settings_module.read(PROJECT_ROOT / "params.yaml"), {**SCREEN, "land": {"every_days": every_days}}
    )
    chosen = policies.choose(["weekly", "monthly", "never"], [], base)
    assert [policy.settings.retrain.min_new_days for policy in chosen] == [weekly, monthly, None]
