"""An earlier champion serves again, the bad one stays out, and the history tells all of it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from ml.cli import history
from ml.core.champions.tenures import blocked, champion_of
from ml.errors import EvergreenError
from ml.records import RetrainRequest, RollbackRequest
from ml.steps import rollback
from ml.steps.retrain import promote
from tests.steps.conftest import NEXT_DAY, Contest, World
from tests.steps.test_promotion_crash import OTHER, aliases, other, promoted, told

BACK = RollbackRequest(requested_by="ada", reason="late flights are missed", evidence={"gain": 0.02})


@pytest.fixture
def rolled_back(contest: Contest) -> World:
    """Version 2 was promoted over version 1, and removed again."""
    world = promoted(contest)
    done = world.run(rollback, BACK)
    assert (done.moved, done.version, done.from_version) == (True, 1, 2)
    return world


def to(version: int, *, reason: str = "a person says so") -> RollbackRequest:
    return RollbackRequest(requested_by="ada", reason=reason, to_version=version)


def test_a_rollback_is_a_decision_with_all_that_explains_it(rolled_back: World) -> None:
    tracking = rolled_back.services.tracking
    first, second, decision = tracking.decisions()
    assert decision.kind == "rollback"
    assert decision.effective_day == NEXT_DAY
    assert decision.fingerprint == first.fingerprint
    assert decision.payload == {
        "version": 1,
        "from_version": 2,
        "previous_version": 2,
        "window_last_day": first.payload["window_last_day"],
        "blocked_fingerprint": second.fingerprint,
        "judged_on": "2013-06-14",
        "reason": "late flights are missed",
        "requested_by": "ada",
        "evidence": {"gain": 0.02},
    }
    assert aliases(rolled_back) == [1, None, None]
    assert tracking.version_tags(2)["rolled_back"] == "2013-06-15: late flights are missed"
    tenure, _ = champion_of(NEXT_DAY, tracking.decisions())
    assert tenure is not None and tenure.version == 1


def test_what_was_rolled_back_is_not_promoted_again_by_its_fingerprint(contest: Contest) -> None:
    world = promoted(contest)
    world.run(rollback, BACK)
    twin = other(contest, fingerprint=contest.judgement.fingerprint)
    promotion = world.run(promote, contest.window, twin)
    assert not promotion.promoted
    assert "was rolled back before; train on newer data" in promotion.reason
    assert told(world)[-1] == ("hold", 3)
    assert aliases(world)[0] == 1


def test_after_a_rollback_a_retrain_request_does_not_train_on_the_same_data_again(contest: Contest) -> None:
    from ml.steps.retrain import pull

    world = promoted(contest)
    world.run(rollback, BACK)
    window = world.run(pull, RetrainRequest(requested_by="a test", reasons=("to see",)))
    assert window.seen_before
    assert window.fingerprint in blocked(world.services.tracking.decisions())


def test_a_person_may_undo_a_rollback_and_the_version_is_barred_no_more(rolled_back: World) -> None:
    tracking = rolled_back.services.tracking
    bad = tracking.version_tags(2)["fingerprint"]
    assert blocked(tracking.decisions()) == {bad}
    done = rolled_back.run(rollback, to(2))
    assert (done.moved, done.version, done.from_version) == (True, 2, 1)
    assert bad not in blocked(tracking.decisions())
    assert "rolled_back" not in tracking.version_tags(2)
    assert told(rolled_back)[2:] == [("rollback", 1), ("rollback", 2)]
    assert rolled_back.run(rollback, to(1)).moved, "the same way again is another decision: another reign ends"
    assert aliases(rolled_back)[0] == 1


def test_an_old_promote_task_cleared_after_a_rollback_moves_nothing(contest: Contest) -> None:
    world = contest.world
    before = world.run(promote, contest.window, contest.judgement)
    world.run(rollback, BACK)
    entries = told(world)
    again = world.run(promote, contest.window, contest.judgement)
    assert (again.promoted, again.version, again.decision_id) == (True, 2, before.decision_id)
    assert "replaced by version 1 since" in again.reason
    assert told(world) == entries
    assert aliases(world) == [1, None, None]


def test_a_second_rollback_goes_one_further_back_and_never_to_the_version_just_removed(contest: Contest) -> None:
    world = promoted(contest)
    assert world.run(promote, contest.window, other(contest, against=2)).promoted
    assert world.run(rollback, BACK).version == 2
    assert world.run(rollback, RollbackRequest(requested_by="ada", reason="this one too")).version == 1
    with pytest.raises(EvergreenError, match="no champion before version 1 is left to return to"):
        world.run(rollback, RollbackRequest(requested_by="ada", reason="and this one"))
    assert aliases(world)[0] == 1


def test_only_what_was_champion_can_serve_again(contest: Contest) -> None:
    with pytest.raises(EvergreenError, match=r"version 2 was never champion.* champions were: 1 \(from 2013-06-15\)"):
        contest.world.run(rollback, to(2))
    with pytest.raises(EvergreenError, match="there is no earlier champion to return to; run Retrain:"):
        contest.world.run(rollback, RollbackRequest(requested_by="ada", reason="it is bad"))
    assert told(contest.world) == [("promotion", 1)]


def test_an_automatic_rollback_that_was_overtaken_moves_nothing(rolled_back: World) -> None:
    late = RollbackRequest(requested_by="monitor", reason="worse", to_version=1, from_version=2)
    done = rolled_back.run(rollback, late)
    assert (done.moved, done.version) == (False, 1)
    assert "version 2 serves no more" in done.reason
    assert not rolled_back.run(rollback, to(1)).moved
    assert len(told(rolled_back)) == 3


def test_nothing_can_be_rolled_back_where_nothing_was_promoted(seeded: World) -> None:
    with pytest.raises(EvergreenError, match="run Retrain first"):
        seeded.run(rollback, BACK)


def test_the_verbs_roll_back_and_tell_the_history(
    contest: Contest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = promoted(contest)
    assert world.run(promote, contest.window, other(contest, against=2)).promoted
    for name, value in world.environ.items():
        monkeypatch.setenv(name, value)
    assert rollback.main(["--reason", "late flights are missed", "--by", "ada"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 2
    assert rollback.main(["--to", "9", "--reason", "a slip", "--by", "ada"]) == 1
    assert "version 9 was never champion" in capsys.readouterr().err

    assert history.main(["--as-of", "2013-06-15"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split()[2:6] for line in lines[2:6]]
    assert rows == [
        ["promotion", "1", "-", "2013-06-15"],
        ["promotion", "2", "1", "2013-06-15"],
        ["promotion", "3", "2", "2013-06-15"],
        ["rollback", "2", "3", "2013-06-15"],
    ]
    assert lines[7:10] == [
        "champion now: version 2, since 2013-06-15, by rollback instead of version 3",
        "  asked by ada; trained in a window up to 2013-06-13",
        "  late flights are missed",
    ]
    assert "champion of 2013-06-15: version 2, since 2013-06-15, by rollback instead of version 3" in lines

    world.services.tracking.move_alias("champion", 3)
    assert history.main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["requested_by"] for entry in found["decisions"]] == ["a test", "a test", "a test", "ada"]
    assert found["decisions"][1]["evidence"]["verdict"]["rulings"]
    assert found["champion"]["version"] == 2
    assert "points at version 3, but by the decisions version 2 serves" in found["warning"]


def test_the_champion_as_of_an_earlier_day_and_the_evidence_it_was_promoted_on_are_told(contest: Contest) -> None:
    world = promoted(contest)
    found = history.run(services=world.services, as_of=date(2013, 6, 14))
    assert found["as_of"] == {"day": "2013-06-14", "champion": None}
    text = history.show(found)
    assert "champion of 2013-06-14: nobody" in text
    assert "champion now: version 2, since 2013-06-15, by promotion instead of version 1" in text
    assert "gain over the champion" in text
    rules = [line.split()[0] for line in text.splitlines() if " passed " in line]
    assert {"champion", "leakage", "package"} <= set(rules)


def test_a_world_without_decisions_has_a_history_too(seeded: World) -> None:
    found = history.run(services=seeded.services)
    assert history.show(found) == "no decision was made yet; run Retrain\n\nchampion now: nobody"


def test_the_newest_decisions_are_listed_and_older_ones_on_request(
    seeded: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = seeded.services.tracking
    for number in range(1, 4):
        held = tracking.open_decision(
            "hold",
            f"hold {number}",
            fingerprint=None,
            effective_day=None,
            payload={"version": number, "requested_by": "ada"},
            decided_at=datetime(2013, 6, number, tzinfo=UTC),
        )
        tracking.close_decision(held)
    for name, value in seeded.environ.items():
        monkeypatch.setenv(name, value)
    shown = {}
    for asked in ("--last 2", "--last 3", "--all"):
        assert history.main(asked.split()) == 0
        shown[asked] = capsys.readouterr().out
    assert "2013-06-01" not in shown["--last 2"] and "2013-06-03" in shown["--last 2"]
    assert "these are the newest 2; for older ones ask with --last 20, or --all" in shown["--last 2"]
    assert shown["--last 3"] == shown["--all"]
    assert "2013-06-01" in shown["--all"] and "older" not in shown["--all"]
    with pytest.raises(SystemExit) as rejected:
        history.main(["--last", "0"])
    assert rejected.value.code == 2 and "is not a number of decisions" in capsys.readouterr().err


def test_a_fingerprint_of_another_training_is_not_barred(contest: Contest) -> None:
    world = promoted(contest)
    world.run(rollback, BACK)
    assert OTHER not in blocked(world.services.tracking.decisions())
    assert world.run(promote, contest.window, other(contest)).promoted
