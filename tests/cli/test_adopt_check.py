"""``evergreen adopt --check`` lands, trains and judges once, and leaves a week for a replay without Airflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.cli import adopt, adopt_check, replay
from ml.cli.adopt_reading import Address
from ml.core.adoption.answers import Answers
from ml.settings import Pull, Settings, load, load_model
from ml.wiring import Environment
from tests.cli.quick_adoption import quick_adoption
from tests.package_check import warm_package_check

__all__ = ["quick_adoption", "warm_package_check"]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # MLflow's, of whole numbers in a signature
DAYS, ROWS = 80, 30
NEWEST = pd.Timestamp.now("UTC").normalize().tz_localize(None) - pd.Timedelta(days=1)


@pytest.fixture(autouse=True)
def _development(quick_adoption: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_DEVELOPMENT", "1")


def orders(path: Path, *, newest: pd.Timestamp = NEWEST) -> Path:
    chance = np.random.default_rng(3)
    day = pd.date_range(end=newest, periods=DAYS).repeat(ROWS)
    weight = chance.gamma(2, 3, len(day)).round(2)
    table = pd.DataFrame({"sold": day.strftime("%Y-%m-%d"), "order_id": np.arange(len(day)), "weight": weight})
    table["amount"] = (5 * weight + chance.normal(0, 8, len(day))).round(2)
    table.to_csv(path, index=False)
    return path


def test_what_was_checked_is_replayed_by_the_command_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt.run(Address(str(orders(tmp_path / "orders.csv"))), Answers(target="amount"), take=False, ask=False)
    monkeypatch.setenv("EVERGREEN_MODEL", "orders")
    checked = adopt_check.run("orders")
    assert checked["decision"] == "promote", "\n".join(checked["lines"])
    assert any(line.startswith("  refit agrees: passed: refit and judged model differ") for line in checked["lines"])
    newest = (NEWEST - pd.Timedelta(days=7)).date()
    assert checked["landed"]["last_day"] == str(newest)
    assert (
        f"evergreen replay --model orders --days 7   # or without Airflow: live through the 7 days after {newest}"
        in (checked["lines"][-1])
    )
    replayed = replay.run(2, show=lambda _: None)
    assert replayed["first_day"] == str((NEWEST - pd.Timedelta(days=6)).date())
    assert replayed["problems"] == [] and replayed["champion"] is not None


def test_the_days_that_are_left_to_a_replay_end_with_the_newest_that_the_source_has(tmp_path: Path) -> None:
    end = NEWEST - pd.Timedelta(days=3)
    path = orders(tmp_path / "orders.csv", newest=end)
    adopt.run(Address(str(path)), Answers(target="amount"), take=False, ask=False)
    checked = adopt_check.run("orders")
    newest = (end - pd.Timedelta(days=7)).date()
    assert checked["landed"]["last_day"] == str(newest) and checked["landed"]["rejected"] == []
    assert f"--days 7   # or without Airflow: live through the 7 days after {newest}" in checked["lines"][-1]


def test_a_refit_that_predicts_otherwise_is_said_before_anything_is_promoted(tmp_path: Path) -> None:
    adopt.run(Address(str(orders(tmp_path / "orders.csv"))), Answers(target="amount"), take=False, ask=False)
    params = tmp_path / "models" / "orders" / "params.yaml"
    strict = "\n  refit_max_difference: 0.0000001\n  refit: after_gate"
    params.write_text(params.read_text().replace("\n  refit: after_gate", strict))
    checked = adopt_check.run("orders")
    assert checked["decision"] == "hold" and any("refit agrees: failed" in line for line in checked["lines"])
    assert "the gate would hold it" in checked["lines"][-1]


def test_a_short_history_is_landed_whole(tmp_path: Path) -> None:
    adopt.run(Address(str(orders(tmp_path / "orders.csv"))), Answers(target="amount"), take=False, ask=False)
    settings = load_model(Environment.load(model="orders"))
    assert [adopt_check.days_to_replay(having(settings, history_days=days)) for days in (365, 40)] == [7, 0]


def having(settings: Settings, **land: int) -> Settings:
    return settings.model_copy(update={"land": settings.land.model_copy(update=land)})


@pytest.mark.parametrize(
    ("land", "left"),
    [
        ({"history_days": 5000, "every_days": 31}, 62),  # each first of a month, twice
        ({"history_days": 5000, "empty_days": 30}, 62),
        ({"history_days": 1000, "every_days": 31}, 0),  # 32 months are too few
        ({"history_days": 1100, "every_days": 7}, 14),
        ({"history_days": 365, "every_days": 2}, 7),
        ({"history_days": 100, "empty_days": 3}, 7),
    ],
)
def test_a_replay_meets_two_days_with_data_however_seldom_they_come(land: dict[str, int], left: int) -> None:
    settings = load().model_copy(update={"pull": Pull(min_days=49)})
    assert adopt_check.days_to_replay(having(settings, **land)) == left
