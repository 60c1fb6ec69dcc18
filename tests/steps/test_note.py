"""Notes of people beside alarms and decisions: one decision each, on the page, in history, and in the alarm's mails."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from ml.adapters import layout
from ml.cli import history
from ml.core.monitoring.episodes import Episode
from ml.errors import EvergreenError, MissingArtifact
from ml.records import Note, NoteRequest
from ml.steps import note
from ml.views import page as overview
from ml.views.page.cache import MEMORY
from tests.steps.conftest import LAST_DAY, World


def alarm(world: World, family: Any = "drift", *, open_: bool = True) -> Episode:
    subject = f"{family.capitalize()} since {LAST_DAY}: dest"
    facts = {"family": family, "first_day": LAST_DAY, "opened_on": LAST_DAY, "day": LAST_DAY, "champion_version": 1}
    episode = Episode.model_validate({**facts, "open": open_, "subject": subject, "notified": ["drift:dest"]})
    folder = world.services.storage_folder(layout.alerts.episodes(family))
    folder.write_json(layout.days.day_json(LAST_DAY), episode.model_dump(mode="json"))
    return episode


def write(world: World, kind: Any, text: str = "the feed is repaired on Monday", **more: Any) -> Note:
    return world.run(note, NoteRequest(kind=kind, note=text, requested_by="ann", **more))


def test_an_alarm_is_acknowledged_and_snoozed_once_and_page_and_history_say_so(trained: World) -> None:
    alarm(trained)
    until = LAST_DAY + timedelta(days=5)
    for _ in range(2):
        write(trained, "acknowledgement", "we know")
        write(trained, "snooze", until=until)
    services = trained.services
    kinds = [entry.kind for entry in services.tracking.decisions(kinds=["acknowledgement", "snooze"])]
    assert kinds == ["acknowledgement", "snooze"], "the same again is the same note"
    MEMORY.forget()
    (episode,) = overview.now(services, today=LAST_DAY)["episodes"]
    assert (episode["subject"], episode["snoozed_until"]) == (f"Drift since {LAST_DAY}: dest", str(until))
    assert "acknowledged by ann" in episode["notes"][0] and "we know" in episode["notes"][0]
    assert f"snoozed until {until} by ann" in episode["notes"][1]
    text = history.show(history.run(services=services))
    assert f"alarm of drift until {until}: the feed is repaired" in text and "alarm of drift: we know" in text


def test_a_decision_is_commented(trained: World) -> None:
    services = trained.services
    (promotion,) = services.tracking.decisions(kinds=["promotion"])
    written = write(trained, "comment", "the carrier's feed was broken", decision=promotion.decision_id[:12])
    MEMORY.forget()
    (comment,) = overview.decision(services, promotion.decision_id)["comments"]
    assert (comment["note"], comment["requested_by"]) == ("the carrier's feed was broken", "ann")
    assert written.subject.startswith("the promotion ")
    assert "on the promotion: the carrier's feed" in history.show(history.run(services=services))
    assert overview.decision(services, written.decision_id)["reasons"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"kind": "acknowledgement"}, "no alarm stands"),
        ({"kind": "snooze", "until": date(2099, 1, 1)}, "no alarm stands"),
        ({"kind": "comment", "decision": "f" * 32}, "no such decision"),
        ({"kind": "comment"}, "no such decision"),
        ({"kind": "acknowledgement", "note": "  "}, "the note is empty"),
    ],
)
def test_what_cannot_be_noted_is_refused_and_leaves_nothing(
    seeded: World, request_: dict[str, Any], message: str
) -> None:
    alarm(seeded, open_=False)
    with pytest.raises(EvergreenError, match=message):
        seeded.run(note, NoteRequest(**({"note": "x", "requested_by": "ann"} | request_)))
    assert seeded.services.tracking.decisions() == []


def test_of_several_alarms_one_is_named_and_a_snooze_ends_later(seeded: World) -> None:
    alarm(seeded), alarm(seeded, "decay")
    with pytest.raises(MissingArtifact, match="name one of drift, decay"):
        write(seeded, "acknowledgement")
    assert write(seeded, "acknowledgement", alarm="decay").subject.startswith("Decay")
    with pytest.raises(EvergreenError, match="a snooze ends on a day after"):
        write(seeded, "snooze", alarm="drift", until=LAST_DAY)
    with pytest.raises(EvergreenError, match="a snooze ends on a day after"):
        write(seeded, "snooze", alarm="drift")


def test_the_commands(trained: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ml.cli.main import main

    for name, value in trained.environ.items():
        monkeypatch.setenv(name, value)
    alarm(trained)
    until = str(LAST_DAY + timedelta(days=3))
    (promotion,) = trained.services.tracking.decisions(kinds=["promotion"])
    assert main(["acknowledge", "--note", "we know", "--by", "ann"]) == 0
    assert main(["snooze", "drift", "--until", until, "--note", "the feed", "--by", "bob"]) == 0
    assert main(["comment", promotion.decision_id, "a good one", "--by", "eve"]) == 0
    assert main(["comment", "0" * 32, "none"]) != 0
    by = [entry.payload["requested_by"] for entry in trained.services.tracking.decisions()][-3:]
    assert by == ["ann", "bob", "eve"]
    monkeypatch.setenv("EVERGREEN_MODEL", "")
    assert main(["snooze", "--model", "nobodys", "--until", until, "--note", "the feed"]) == 2
    assert "there is no model 'nobodys'" in capsys.readouterr().err
