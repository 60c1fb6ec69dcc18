"""Days that a person excludes: nothing is learned from them, the lineage says so, and it can be undone."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest

from ml.backtest.runs import _excluded_days
from ml.cli import doctor, history
from ml.cli.main import main
from ml.core.data.days import days_between
from ml.errors import EvergreenError, MissingArtifact, Unavailable
from ml.records import Champion, DataVersion, ExclusionRequest
from ml.steps import exclude
from ml.steps.monitor import compare_with_previous, measure_drift, measure_performance
from ml.steps.retrain import pull, split, stage, validate
from ml.views.card import sections
from tests.steps.conftest import LAST_DAY, REQUEST, World

FIRST = LAST_DAY - timedelta(days=20)
STRIKE = days_between(FIRST, FIRST + timedelta(days=4))
REASON = "a strike"
NO_PERIOD = f"is not a period of 1 to {exclude.MOST_DAYS} days: name its first and its last day"


def mark(world: World, days: list[date], *, reason: str = REASON, by: str = "ann", undo: bool = False) -> DataVersion:
    act = exclude.include if undo else exclude.exclude
    return act(days, reason=reason, requested_by=by, settings=world.settings, services=world.services)


def test_a_training_leaves_the_days_out_and_lagged_means_do_not(seeded: World) -> None:
    before = seeded.run(pull, REQUEST)
    seeded.run(validate, before), seeded.run(split, before)
    mark(seeded, STRIKE)
    window = seeded.run(pull, REQUEST)
    run_dir = seeded.services.workspace(window.workspace)
    facts = run_dir.read_json("data/window.json")
    names = {str(day) for day in STRIKE}

    assert window.fingerprint != before.fingerprint
    assert window.days == before.days - len(STRIKE) == len(facts["days"])
    assert names == set(facts["excluded"]) == set(facts["marked"]) and not names & set(facts["days"])
    seeded.run(validate, window)
    parts = seeded.run(split, window)
    tables = {part: run_dir.read_table(f"parts/{part}.parquet") for part in ("train", "holdout")}
    assert not names & {day for table in tables.values() for day in table["day"]}
    assert window.rows == parts.train_rows + parts.holdout_rows

    shown = str(sections.data(parts, window.data_version, facts))
    assert f"Excluded from learning by a person: {STRIKE[0]} to {STRIKE[-1]} (a strike)" in shown

    whole = seeded.services.workspace(before.workspace).read_table("parts/train.parquet")
    after = str(STRIKE[-1] + timedelta(days=1))
    same = whole.loc[whole["day"] == after].reset_index(drop=True)
    assert len(same) and tables["train"].loc[tables["train"]["day"] == after].reset_index(drop=True).equals(same)


def test_dvc_repro_names_the_same_training_and_an_old_version_is_as_it_was(seeded: World) -> None:
    old = seeded.services.registry.head()
    before = seeded.run(pull, REQUEST)
    mark(seeded, STRIKE)
    window = seeded.run(pull, REQUEST)
    folder = str(seeded.home / "repro")
    local = pull.run(REQUEST, settings=seeded.settings, services=seeded.services, workspace=folder)
    assert local.fingerprint == window.fingerprint
    assert stage.reopen(folder, settings=seeded.settings, services=seeded.services).fingerprint == window.fingerprint
    pinned = seeded.having(pull={"data_version": old})
    assert pinned.run(pull, REQUEST).fingerprint == before.fingerprint


def test_undo_lets_them_count_again_and_gives_the_training_of_before(seeded: World) -> None:
    before = seeded.run(pull, REQUEST)
    mark(seeded, STRIKE)
    mark(seeded, STRIKE, undo=True, reason="the data are right")
    assert seeded.services.registry.excluded_days() == {}
    assert seeded.run(pull, REQUEST).fingerprint == before.fingerprint
    mark(seeded, STRIKE[:1], by="bob")
    assert [entry["requested_by"] for entry in exclude.listed(seeded.services)] == ["bob"]


def test_who_and_why_is_one_decision_and_the_same_again_changes_nothing(seeded: World) -> None:
    version = mark(seeded, STRIKE)
    assert version.changed and f"Exclude {STRIKE[0]} to {STRIKE[-1]} from learning, by ann: a strike" == version.message
    again = mark(seeded, STRIKE[1:3], by="bob", reason="again")
    assert (again.changed, again.rev) == (False, version.rev)
    assert exclude.listed(seeded.services) == [
        {
            "first_day": str(STRIKE[0]),
            "last_day": str(STRIKE[-1]),
            "reason": REASON,
            "requested_by": "ann",
            "decision_id": exclude.listed(seeded.services)[0]["decision_id"],
        }
    ]
    (entry,) = seeded.services.tracking.decisions()
    assert (entry.kind, entry.payload["requested_by"], entry.effective_day) == ("day_exclusion", "ann", STRIKE[0])
    mark(seeded, STRIKE[:2], undo=True, reason="it was one day", by="bob")
    text = history.show(history.run(services=seeded.services))
    assert "day exclusion" in text and "day inclusion" in text and f"{STRIKE[0]} to {STRIKE[-1]} excluded" in text
    assert [entry["first_day"] for entry in exclude.listed(seeded.services)] == [str(STRIKE[2])]


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ([LAST_DAY + timedelta(days=400)], "after the newest day of the data registry"),
        ([date(1999, 1, 1)], r"holds nothing of 1999-01-01.*the nearest days"),
        (days_between(LAST_DAY - timedelta(days=40), LAST_DAY), r"nothing was excluded.*pull.min_days.*--undo"),
    ],
)
def test_it_fails_closed_with_the_next_move(seeded: World, days: list[date], message: str) -> None:
    head = seeded.services.registry.head()
    with pytest.raises(MissingArtifact, match=message):
        mark(seeded, days)
    assert seeded.services.registry.head() == head
    assert seeded.services.tracking.decisions() == []


def test_what_was_never_excluded_cannot_be_undone(seeded: World) -> None:
    mark(seeded, STRIKE[:1])
    with pytest.raises(MissingArtifact, match=f"is not excluded; the days that are: {STRIKE[0]}"):
        mark(seeded, [STRIKE[3]], undo=True)


def test_a_killed_command_is_finished_by_the_same_and_nothing_counts_without_a_record(
    seeded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = seeded.services

    def unavailable(*_: object, **__: object) -> None:
        raise Unavailable("it did not answer")

    for owner, method in ((services.tracking, "open_decision"), (services.registry, "mark_days")):
        with monkeypatch.context() as patch, pytest.raises(Unavailable):
            patch.setattr(type(owner), method, unavailable)
            mark(seeded, STRIKE)
        assert services.registry.excluded_days() == {} and services.tracking.decisions() == []
    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(type(services.tracking), "close_decision", unavailable)
        mark(seeded, STRIKE)
    assert list(services.registry.excluded_days()) == STRIKE and services.tracking.decisions() == []
    assert [problem["repaired"] for problem in doctor.run(services=services)["problems"]] == [False]
    mark(seeded, STRIKE)
    (entry,) = services.tracking.decisions()
    assert entry.payload["days"] == [str(day) for day in STRIKE]
    assert doctor.run(services=services)["healthy"]


def test_doctor_writes_a_lost_decision_again(seeded: World) -> None:
    mark(seeded, STRIKE)
    services = seeded.services
    (entry,) = services.tracking.decisions()
    services.tracking.discount_decision(entry)
    services.tracking.client.delete_run(entry.decision_id)
    services.tracking.client._tracking_client.store._hard_delete_run(entry.decision_id)
    assert not doctor.run(services=services)["healthy"]
    assert doctor.run(services=services, repair=True)["healthy"]
    (again,) = services.tracking.decisions(kinds=["day_exclusion"])
    assert again.payload["instead_of"] == entry.decision_id and again.payload["requested_by"] == "ann"


def test_monitoring_measures_without_them(trained: World) -> None:
    day = LAST_DAY + timedelta(days=1)
    trained.ingest(day)
    champion = Champion(day=day, version=1, reason="", data_version=trained.services.registry.head())
    before = trained.run(measure_drift, champion)
    mark(trained, [LAST_DAY - timedelta(days=1), LAST_DAY])
    champion = champion.model_copy(update={"data_version": trained.services.registry.head()})
    after = trained.run(measure_drift, champion)
    assert after.current_rows < before.current_rows
    assert f"without {LAST_DAY - timedelta(days=1)}, {LAST_DAY}, excluded by a person" in after.reason
    live = trained.run(measure_performance, champion)
    assert f"{LAST_DAY}, excluded by a person" in live.reason
    assert trained.run(compare_with_previous, champion).gain is None
    assert _excluded_days(trained.services) == {LAST_DAY - timedelta(days=1), LAST_DAY}


def test_the_command(seeded: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in seeded.environ.items():
        monkeypatch.setenv(name, value)
    assert main(["exclude", f"{STRIKE[0]}..{STRIKE[-1]}", "--reason", "a  strike", "--by", "ann"]) == 0
    capsys.readouterr()
    assert exclude.main(["--list"]) == 0
    (period,) = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (period["first_day"], period["last_day"], period["reason"]) == (str(STRIKE[0]), str(STRIKE[-1]), REASON)
    for wrong, says in (
        (["2013-05-09..2013-05-01", "--reason", "x"], NO_PERIOD),
        (["2013-05-09..2033-05-01", "--reason", "x"], NO_PERIOD),
        (["2013-05-01"], "say why"),
        (["--list", "2013-05-01"], "takes no days"),
        (["yesterday"], "is not a day"),
    ):
        with pytest.raises(SystemExit) as ended:
            exclude.main(wrong)
        assert ended.value.code == 2 and says in capsys.readouterr().err


def test_a_request_of_the_page_is_the_same_decision_and_twice_is_as_once(seeded: World) -> None:
    request = ExclusionRequest(first_day=STRIKE[0], last_day=STRIKE[-1], reason=" a  strike ", requested_by="ann")
    first, again = (seeded.run(exclude, request) for _ in range(2))
    assert (first.days, first.reason, first.changed) == (f"{STRIKE[0]} to {STRIKE[-1]}", REASON, True)
    assert (again.changed, again.data_version) == (False, first.data_version)
    assert set(seeded.services.registry.excluded_days()) == set(STRIKE)
    (decision,) = seeded.services.tracking.decisions(kinds=("day_exclusion",))
    assert (decision.payload["requested_by"], decision.payload["reason"]) == ("ann", REASON)

    back = seeded.run(exclude, request.model_copy(update={"undo": True, "last_day": None}))
    assert (back.days, back.changed) == (str(STRIKE[0]), True)
    assert set(seeded.services.registry.excluded_days()) == set(STRIKE[1:])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"reason": "  "}, "say why"),
        ({"last_day": FIRST - timedelta(days=1)}, NO_PERIOD),
        ({"last_day": FIRST + timedelta(days=exclude.MOST_DAYS)}, NO_PERIOD),
        ({"first_day": LAST_DAY + timedelta(days=99), "last_day": None}, "once its data are there"),
    ],
)
def test_what_no_period_is_changes_nothing(seeded: World, change: dict[str, object], says: str) -> None:
    request = ExclusionRequest(first_day=FIRST, last_day=FIRST, reason=REASON, requested_by="ann")
    with pytest.raises(EvergreenError, match=says):
        seeded.run(exclude, request.model_copy(update=change))
    assert not seeded.services.registry.excluded_days()
