"""Which days of the demo happen before the newest one, and that an interrupted start goes on with the same ones."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from embedded.past_days import PLAN, days_wanted, planned
from ml import yaml_file
from ml.errors import SettingsError
from ml.settings import PROJECT_ROOT, Environment, parse

NOON = datetime(2026, 11, 21, 17, tzinfo=UTC)
MUCH_LATER = datetime(2026, 12, 9, 17, tzinfo=UTC)


def environment_of(home: Path) -> Environment:
    return Environment.load({"EVERGREEN_HOME": str(home)}, model="flight-delay")


def settings_of(**sections: Any) -> Any:
    return parse(yaml_file.parse((PROJECT_ROOT / "params.yaml").read_text(encoding="utf-8")) | sections)


def test_thirty_days_happen_after_a_history_and_before_the_newest_day(tmp_path: Path) -> None:
    past = planned(environment_of(tmp_path), settings_of(), days=30, now=NOON)
    assert past is not None
    assert (past.history_from, past.history_to) == (date(2026, 8, 23), date(2026, 10, 21))
    assert (past.first_day, past.last_day, past.count) == (date(2026, 10, 22), date(2026, 11, 20), 30)


def test_an_interrupted_start_goes_on_with_the_days_that_it_planned(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    first = planned(environment, settings_of(), days=30, now=NOON)
    (tmp_path / "registry.git").mkdir()  # the history was landed, and then somebody pressed Ctrl-C
    assert planned(environment, settings_of(), days=10, now=MUCH_LATER) == first
    assert first is not None
    first.over()
    assert planned(environment, settings_of(), days=30, now=MUCH_LATER) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"{}", b'{"history_from": 1, "first_day": 2, "last_day": 3}', b"\xff"]
)
def test_a_damaged_plan_is_named_with_the_next_move_and_days_that_are_not_wanted_end_it(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / PLAN).write_bytes(content)
    with pytest.raises(SettingsError, match=rf"{PLAN} is damaged .*Delete it"):
        planned(environment_of(tmp_path), settings_of(), days=30, now=NOON)
    assert planned(environment_of(tmp_path), settings_of(), days=0, now=NOON) is None


def test_nobody_waits_for_days_that_are_not_wanted_any_more(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    assert planned(environment, settings_of(), days=30, now=NOON) is not None
    assert planned(environment, settings_of(), days=0, now=NOON) is None
    assert not (tmp_path / PLAN).exists()


@pytest.mark.parametrize(
    "sections",
    [
        {"source": {"kind": "files", "inputs": "in-{day}.csv", "labels": "labels-{day}.csv"}},
        {"source": {"kind": "demo", "replay": False}},
    ],
)
def test_only_the_demos_days_happen_by_themselves(tmp_path: Path, sections: dict[str, Any]) -> None:
    assert planned(environment_of(tmp_path), settings_of(**sections), days=30, now=NOON) is None
    assert not (tmp_path / PLAN).exists()


def test_where_days_were_landed_before_none_are_replayed(tmp_path: Path) -> None:
    (tmp_path / "registry.git").mkdir()
    assert planned(environment_of(tmp_path), settings_of(), days=30, now=NOON) is None


def test_where_a_person_approves_nobody_is_there_to_be_asked(tmp_path: Path) -> None:
    gate = yaml_file.parse((PROJECT_ROOT / "params.yaml").read_text(encoding="utf-8"))["gate"]
    asked = settings_of(gate={**gate, "approval": "required"})
    assert planned(environment_of(tmp_path), asked, days=30, now=NOON) is None


def test_how_many_days_is_read_from_the_environment() -> None:
    assert (days_wanted({}), days_wanted({}, default=0)) == (30, 0)
    assert days_wanted({"EVERGREEN_DEMO_DAYS": "7"}, default=0) == 7
    for wrong in ("many", "-1", "1000"):
        with pytest.raises(SettingsError, match="EVERGREEN_DEMO_DAYS"):
            days_wanted({"EVERGREEN_DEMO_DAYS": wrong})
