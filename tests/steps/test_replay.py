"""Past days happen in order by the same steps; killed anywhere, the replay goes on where it was."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from ml.adapters import layout
from ml.cli import history, replay
from ml.cli.main import main
from ml.cli.replayed_day import Day
from ml.errors import SettingsError, Unavailable
from ml.records import ReplayedDay, RequestPerformance, RetrainRequest
from ml.views.page.cache import MEMORY
from ml.views.page.timeline import timeline
from tests.steps.conftest import LAST_DAY, MUCH_LATER, NEXT_DAY, World
from tests.steps.test_serving import Asked, as_records

SECOND = NEXT_DAY + timedelta(days=1)


@pytest.fixture
def entered(trained: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Let this process work in the world."""
    for name, value in trained.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("EVERGREEN_MODEL", raising=False)
    return trained


def _run(days: int, shown: list[str] | None = None, **options: Any) -> dict[str, Any]:
    lines = [] if shown is None else shown
    return replay.run(days, now=MUCH_LATER, show=lines.append, **options)


def test_days_are_lived_through_once_whatever_interrupts_them(entered: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lived: list[date] = []
    live = Day.live

    def dying(day: Day) -> ReplayedDay:
        lived.append(day.day)
        if lived == [NEXT_DAY, SECOND]:
            raise Unavailable("the store is busy")
        return live(day)

    monkeypatch.setattr(Day, "live", dying)
    with pytest.raises(Unavailable):
        _run(2)
    shown: list[str] = []
    waits: list[float] = []
    summary = _run(30, shown, speed=1000.0, sleep=waits.append)  # what was begun goes before what is asked for
    assert lived == [NEXT_DAY, SECOND, SECOND]
    assert [line.split()[:3] for line in shown] == [
        ["1/2", str(NEXT_DAY), "done"],
        ["2/2", str(SECOND), shown[1].split()[2]],
    ]
    assert "version 1" in shown[1]
    expected = {"first_day": str(NEXT_DAY), "last_day": str(SECOND), "days": 2, "problems": [], "champion": 1}
    assert summary.items() >= expected.items() and waits == []
    services = entered.services
    assert {NEXT_DAY, SECOND} <= services.registry.days("inputs").keys()
    assert all((entered.home / f"storage/predictions/day={day}").is_dir() for day in (NEXT_DAY, SECOND))
    assert all((entered.home / f"storage/monitor/day={day}").is_dir() for day in (NEXT_DAY, SECOND))
    again = _run(30, last=SECOND)  # as `make up` asks once more, if it was stopped before it could note the end
    assert lived == [NEXT_DAY, SECOND, SECOND] and again["days"] == 2
    MEMORY.forget()
    shown_days = timeline(services)["days"]
    assert [day["day"] for day in shown_days if day.get("replayed")] == [str(NEXT_DAY), str(SECOND)]
    assert not any(entry["replayed"] for entry in history.run(services=services)["decisions"]), "decided before it"


def test_what_the_policy_asks_for_is_done_on_its_day(seeded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in seeded.environ.items():
        monkeypatch.setenv(name, value)
    asked: list[RetrainRequest | None] = []

    def retrained(request: RetrainRequest | None) -> str:
        asked.append(request)
        return "held version 2: no better"

    monkeypatch.setattr("ml.cli.replay.retrain", retrained)
    monkeypatch.setattr("ml.cli.replayed_day.retrain", retrained)
    shown: list[str] = []
    summary = _run(1, shown)
    assert "challenger requested" in [mark["label"].split(":")[0] for mark in marked(seeded) if mark.get("replayed")]
    decisions = history.run(services=seeded.services)
    assert [entry["replayed"] for entry in decisions["decisions"]] == [True]
    assert "retrain request (replayed)" in history.show(decisions)
    assert [request.requested_by for request in asked if request] == ["replay", f"monitor of {NEXT_DAY}"]
    assert "nobody serves" in shown[-1] and "held version 2" in shown[-1]
    assert (summary["held"], summary["champion"]) == (1, None)


def marked(world: World) -> list[dict[str, Any]]:
    MEMORY.forget()
    return list(timeline(world.services)["marks"])


def test_a_day_that_is_broken_is_told_and_the_next_one_lives(entered: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.adapters.sources.demo import DemoSource

    inputs = DemoSource.inputs

    def broken(source: DemoSource, day: date) -> Any:
        rows = inputs(source, day)
        return rows.assign(carrier=None) if day == NEXT_DAY else rows

    monkeypatch.setattr(DemoSource, "inputs", broken)
    shown: list[str] = []
    summary = _run(2, shown)
    assert "! ingest:" in shown[0] and "version 1" in shown[1]
    assert len(summary["problems"]) == 1 and summary["problems"][0].startswith(f"{NEXT_DAY}: ingest:")


def test_what_was_answered_on_request_is_measured_once_its_labels_come(entered: World) -> None:
    service = Asked(entered)
    service.predict(as_records(entered.held("inputs", LAST_DAY).head(100)))
    service.model.log.flush()
    assert _run(1)["problems"] == []
    measured = entered.services.storage_folder(layout.serving.REQUEST_PERFORMANCE).read_json(
        layout.days.day_json(NEXT_DAY)
    )
    report = RequestPerformance.model_validate(measured)
    assert report.asked == 100 and [version.version for version in report.versions] == [1]


def test_days_that_cannot_be_lived_through_are_refused(entered: World) -> None:
    with pytest.raises(SettingsError, match=f"holds days up to {LAST_DAY}, and a replay goes on after them"):
        _run(2, first=LAST_DAY)
    with pytest.raises(SettingsError, match="the newest past day is 2013-12-31: ask for --days "):
        _run(400)
    World(entered.home, {**entered.params, "gate": {**entered.params["gate"], "approval": "required"}}).environ
    with pytest.raises(SettingsError, match="give --approve"):
        _run(2)


@pytest.mark.parametrize("words", [["--days", "0"], ["--speed", "fast"], ["--speed", "-1"], ["--from", "yesterday"]])
def test_misuse_is_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", *words])
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err
