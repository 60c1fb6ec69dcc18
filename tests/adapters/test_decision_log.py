"""What is read of the decision log is what reading all of it gives, and costs the same however long the log is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from bench.decisions import Row, grow, insert
from ml.adapters.tracking import Tracking
from ml.adapters.tracking.decision_log import KINDS, DecisionLog
from ml.adapters.tracking.decision_tags import PREFIX, days_of, payload_tags, search_tags, versions_of
from ml.core.champions import tenures
from ml.errors import EvergreenError
from ml.records import Logged

START = datetime(2025, 11, 20, tzinfo=UTC)
FIRST_DAY = date(2012, 11, 15)
ENTRIES = 300


@pytest.fixture(autouse=True)
def _leave_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow writes its address into the environment: undo that after each test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "unset")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """Write decisions of each kind, in any order, with doubles, the unfinished, the deleted, and an older release's."""
    folder = tmp_path_factory.mktemp("mlflow")
    tracking = Tracking(f"sqlite:///{folder}/mlflow.db", "task")
    tracking.open_decision("hold", "template", fingerprint=None, effective_day=None, payload={})
    random, rows = np.random.default_rng(1), []
    for number in range(ENTRIES):
        kind = str(random.choice([*KINDS, "by hand", "hold", "retrain_request"]))
        day = FIRST_DAY + timedelta(days=int(random.integers(0, 150)))
        decided_at = START + timedelta(seconds=int(random.integers(0, 10**7)))
        effective_day = day if kind in tenures.CHAMPION_CHANGES or number % 2 else None
        payload: dict[str, Any] = {"version": int(random.integers(1, 30)), "window_last_day": "2012-10-01"}
        payload |= {"judged_version": int(random.integers(1, 30))} if number % 4 == 0 else {}
        payload |= {"judged_on": (day - timedelta(days=1)).isoformat()} if number % 3 else {"reason": "x" * 6000}
        payload |= {"previous_version": int(random.integers(1, 30))} if kind in tenures.CHAMPION_CHANGES else {}
        tags = {"kind": kind, "key": f"{kind} {number}", "fingerprint": f"{number % 9}" * 64, **payload_tags(payload)}
        tags |= {"effective_day": effective_day.isoformat()} if effective_day else {}
        if number % 5:  # else as an older release wrote it
            tags |= search_tags(effective_day, decided_at, payload)
        at = int(decided_at.timestamp() * 1000)
        status = "FINISHED" if number % 11 else "RUNNING"
        stage = "deleted" if number % 20 == 19 else "active"
        rows.append(Row(f"{number:032x}", at, tags, status, stage))
        if number % 7 == 0:
            double = "FINISHED" if number % 14 == 0 else "RUNNING"
            rows.append(Row(f"{10**6 + number:032x}", at + number % 2, tags, double))
    rows.append(Row("e" * 32, at, {"payload": json.dumps({"version": 3})}))
    insert(folder, rows)
    return tracking


@pytest.fixture(scope="module")
def whole(tracking: Tracking) -> list[Logged]:
    found = tracking.decisions()
    assert {entry.kind for entry in found} > set(KINDS)
    return found


def test_the_changes_of_the_champion_are_read_by_themselves(tracking: Tracking, whole: list[Logged]) -> None:
    assert DecisionLog(tracking).changes == [entry for entry in whole if entry.kind in tenures.CHAMPION_CHANGES]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2013, 3, 31), date(2013, 4, 1)),
        (date(2013, 2, 5), date(2013, 2, 7)),
        (date(2012, 12, 20), date(2013, 2, 28)),
        (date(2010, 1, 1), date(2026, 12, 31)),
        (date(2025, 12, 1), date(2025, 12, 31)),
        (date(2013, 4, 5), date(2013, 4, 4)),
    ],
)
def test_the_days_of_a_span_give_what_names_one_of_them(
    tracking: Tracking, whole: list[Logged], first: date, last: date
) -> None:
    wanted = [
        entry
        for entry in whole
        if any(first <= day <= last for day in days_of(entry.effective_day, entry.decided_at, entry.payload))
    ]
    assert DecisionLog(tracking).on_days(first, last) == wanted
    assert bool(wanted) == (first <= last)


def test_the_days_that_decide_reads_say_what_the_whole_log_says_of_cooldown_and_budget(
    tracking: Tracking, whole: list[Logged]
) -> None:
    log, cooldown = DecisionLog(tracking), 10
    waited = 0
    for day in (FIRST_DAY + timedelta(days=number) for number in range(0, 170, 9)):
        recent = log.on_days(day - timedelta(days=cooldown), day)
        asked = [
            [
                entry.effective_day
                for entry in entries
                if entry.kind == "retrain_request"
                and entry.effective_day is not None
                and 0 <= (day - entry.effective_day).days < 7
            ]
            for entries in (recent, whole)
        ]
        judged = [tenures.last_judged(entries, until=day) for entries in (recent, whole)]
        assert asked[0] == asked[1]
        if judged[1] is not None and (day - judged[1]).days <= cooldown:
            assert judged[0] == judged[1]
            waited += 1
    assert waited > 10


@pytest.mark.parametrize("versions", [(3,), (1, 29), (999,)])
def test_a_version_gives_what_is_about_it(tracking: Tracking, whole: list[Logged], versions: tuple[int, ...]) -> None:
    wanted = [entry for entry in whole if versions_of(entry.payload) & set(versions)]
    assert DecisionLog(tracking).about(*versions) == wanted
    assert bool(wanted) == (999 not in versions)


def test_what_was_decided_since_comes_with_all_changes_of_the_champion(tracking: Tracking, whole: list[Logged]) -> None:
    start, kinds = START + timedelta(days=60), ("hold", "adoption")
    wanted = [
        entry
        for entry in whole
        if entry.kind in tenures.CHAMPION_CHANGES or (entry.kind in kinds and entry.decided_at >= start)
    ]
    assert DecisionLog(tracking).since(start, kinds=kinds) == wanted


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_pages_give_all_once_newest_first(
    tracking: Tracking, whole: list[Logged], kind: str | None, count: int
) -> None:
    log, found, before = DecisionLog(tracking), [], None
    while True:
        page = log.newest(count, before=before, kind=kind)
        found += page.entries
        if page.next is None or (count == 1 and len(found) == 20):
            break
        assert len(page.entries) == count
        before = page.next
    wanted = [entry for entry in reversed(whole) if kind in (None, entry.kind)]
    assert found == wanted[: len(found) if count == 1 else None]


def test_a_decision_is_found_by_its_id_if_it_counts(tracking: Tracking, whole: list[Logged]) -> None:
    log, counted = DecisionLog(tracking), {entry.decision_id: entry for entry in whole}
    for entry in whole[::5]:
        assert log.find(entry.decision_id) == entry
    runs = [run.info.run_id for run in tracking._search(tracking.client, "task-decisions", "")]
    others = [run_id for run_id in runs if run_id not in counted]
    assert others
    assert [log.find(run_id) for run_id in [*others[:20], "f" * 32, "../1", "' or"]] == [None] * (len(others[:20]) + 3)


@pytest.mark.parametrize(
    ("asked", "said"), [({"kind": "x' or"}, "no decisions of the kind"), ({"before": "x"}, "no page")]
)
def test_what_cannot_be_asked_is_refused(tracking: Tracking, asked: dict[str, str], said: str) -> None:
    with pytest.raises(EvergreenError, match=said):
        DecisionLog(tracking).newest(5, **asked)


def test_decisions_of_an_older_release_get_their_tags_by_and_by(tmp_path: Path) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db", "old")
    client = tracking.client

    def decide(number: int) -> Logged:
        opened = tracking.open_decision(
            "hold", f"hold {number}", fingerprint=None, effective_day=None, payload={"version": number}
        )
        client.set_terminated(opened.decision_id, "FINISHED")
        return opened

    old = [decide(number) for number in range(3)]
    for entry in old:
        for tag in ("days", "versions"):
            client.delete_tag(entry.decision_id, PREFIX + tag)
    assert [entry.payload["version"] for entry in DecisionLog(tracking).about(1)] == [1]
    assert len(DecisionLog(tracking)._untagged) == 3
    tracking.close_decision(decide(3))
    assert DecisionLog(tracking)._untagged == []
    assert [entry.payload["version"] for entry in DecisionLog(tracking).about(1)] == [1]


def test_no_reading_costs_more_searches_or_runs_in_a_longer_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db", "bench")
    tracking.open_decision("hold", "template", fingerprint=None, effective_day=date(2016, 1, 1), payload={})
    grow(tmp_path, 0, 400)
    cost: list[int] = []
    search = MlflowClient.search_runs

    def counted(*asked: Any, **options: Any) -> Any:
        page = search(*asked, **options)
        cost.append(len(page))
        return page

    monkeypatch.setattr(MlflowClient, "search_runs", counted)
    readings: dict[str, Callable[[DecisionLog], Any]] = {
        "days": lambda log: log.on_days(date(2016, 4, 1), date(2016, 4, 8)),
        "version": lambda log: log.about(2),
        "newest": lambda log: log.newest(50),
        "newest of a kind": lambda log: log.newest(50, kind="hold"),
        "one": lambda log: log.find(f"{151:032x}"),
        "one page on": lambda log: next(iter(log.newest_first())),
    }

    def measure() -> dict[str, tuple[int, int]]:
        found = {}
        for name, read in readings.items():
            log = DecisionLog(tracking)
            _ = log.changes
            cost.clear()
            assert read(log), name
            found[name] = (len(cost), sum(cost))
        return found

    before = measure()
    grow(tmp_path, 400, 4000)
    assert measure() == before
    assert max(searches for searches, _ in before.values()) <= 3
