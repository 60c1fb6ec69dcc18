"""A challenger answers its share of the keys, or is asked in shadow, and never costs anybody an answer."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.adapters import layout
from ml.adapters.request_parts import refused_requests
from ml.champions import split_control
from ml.cli import history, traffic
from ml.core.metrics import row_loss
from ml.errors import MissingArtifact, Unavailable
from ml.records import Judgement, SplitDay
from ml.serving import metrics, request_log
from ml.steps.monitor import measure_requests
from ml.steps.retrain.judgements import record_hold
from ml.steps.score import resolve
from ml.views import page as overview
from ml.views.page.cache import MEMORY
from tests.steps.conftest import FIRST_DAY, LAST_DAY, NEXT_DAY, Contest, World
from tests.steps.test_serving import Asked, a_row, as_records

HALF = {"serving": {"traffic": {"challenger": 0.5}}}
SHADOW = {"serving": {"traffic": "shadow"}}


def hold(contest: Contest, *, failing: str = "champion") -> World:
    """Let the gate have held the challenger because a rule of one kind did not pass."""
    verdict = contest.judgement.verdict
    rulings = tuple(
        ruling.model_copy(update={"passed": ruling.kind != failing if ruling.passed else ruling.passed})
        for ruling in verdict.rulings
    )
    assert any(ruling.kind == failing and not ruling.passed for ruling in rulings)
    held: Judgement = contest.judgement.model_copy(
        update={"verdict": verdict.model_copy(update={"decision": "hold", "rulings": rulings})}
    )
    record_hold(held, contest.window, contest.world.services)
    return contest.world


@pytest.fixture
def held(contest: Contest) -> World:
    """Version 1 serves, version 2 was held by its comparison with it."""
    return hold(contest)


def versions(service: Asked, rows: list[dict[str, Any]]) -> list[int]:
    answer = service.post(rows)
    assert answer.status_code == 200, answer.text
    return [row["version"] for row in answer.json()["predictions"]]


def test_a_share_of_the_keys_is_answered_by_the_challenger_in_each_process_and_after_each_start(held: World) -> None:
    rows = as_records(held.held("inputs", LAST_DAY))
    alone, service = Asked(held), Asked(held.having(**HALF))
    answers = service.post(rows).json()
    by_version = pd.Series([row["version"] for row in answers["predictions"]])
    assert answers["versions"] == [1, 2] and answers["version"] is None
    assert 0.4 < (by_version == 2).mean() < 0.6
    champions = alone.predict(rows)
    changed = [row["probability"] != champion for row, champion in zip(answers["predictions"], champions, strict=True)]
    assert changed == (by_version == 2).tolist(), "the challenger's rows have another value, the champion's the same"
    again = Asked(held.having(**HALF))  # another process, whose requests hold other rows
    assert versions(again, rows[5:]) == by_version.tolist()[5:]
    one = [versions(again, [row])[0] for row in rows[:8]]
    assert one == by_version.tolist()[:8]
    single = again.post([rows[one.index(2)]]).json()
    assert single["version"] == 2 and single["predictions"][0]["probability"] in {
        row["probability"] for row in answers["predictions"]
    }
    assert service.ready()["challenger"] == {"version": 2, "share": 0.5}


def test_the_log_says_who_was_to_answer_and_who_did(held: World) -> None:
    service, rows = Asked(held.having(**HALF)), as_records(held.held("inputs", LAST_DAY).head(50))
    answered = versions(service, rows)
    service.model.log.flush()
    logged = request_log.read(service.services, LAST_DAY)
    assert logged["model_version"].tolist() == answered
    assert logged["arm"].tolist() == [{1: "champion", 2: "challenger"}[version] for version in answered]


def test_without_a_split_answers_and_log_are_as_they_were(held: World) -> None:
    service = Asked(held)
    answer = service.post([a_row(held)]).json()
    service.model.log.flush()
    assert answer["version"] == 1 and "versions" not in answer and "version" not in answer["predictions"][0]
    assert not {"arm", "shadow_version"} & set(request_log.read(service.services, LAST_DAY))
    assert "challenger" not in service.ready()


def test_clients_of_mlflows_server_see_who_answered(held: World) -> None:
    service, rows = Asked(held.having(**HALF)), as_records(held.held("inputs", LAST_DAY).head(20))
    answer = service.client.post("/invocations", json={"inputs": rows}, headers=service.headers).json()
    assert answer["versions"] == versions(service, rows) and len(answer["predictions"]) == 20


def test_in_shadow_the_champion_answers_and_the_log_has_both(held: World) -> None:
    rows = as_records(held.held("inputs", LAST_DAY).head(60))
    champions, split = Asked(held).predict(rows), Asked(held.having(**HALF))
    challengers = {
        number: row["probability"]
        for number, row in enumerate(split.post(rows).json()["predictions"])
        if row["version"] == 2
    }
    service = Asked(held.having(**SHADOW))
    with service.client:
        assert service.predict(rows) == champions
        give_up = time.monotonic() + 60
        while service.model.challenge._shadows and time.monotonic() < give_up:
            time.sleep(0.01)
    service.model.log.flush()
    logged = request_log.read(service.services, LAST_DAY)
    assert logged["prediction"].tolist() == champions
    assert set(logged["model_version"]) == {1} and set(logged["shadow_version"]) == {2}
    assert {number: logged["shadow_prediction"].tolist()[number] for number in challengers} == challengers


def test_a_challenger_that_fails_on_rows_costs_nobody_an_answer_and_is_reported_once(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = as_records(held.held("inputs", LAST_DAY).head(60))
    champions, service = Asked(held).predict(rows), Asked(held.having(**HALF))
    contest = service.model.challenge.contest
    assert contest is not None

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("cannot divide by zero")

    day = contest.challenger.lookup.open(LAST_DAY, today=service.model.today())
    honest = type(day).predict
    monkeypatch.setattr(type(day), "predict", lambda self, table: broken() if self is day else honest(self, table))
    fallbacks = metrics.CHALLENGER_FALLBACKS.labels(service.model.name)._value.get()
    assert service.predict(rows) == champions
    assert set(versions(service, rows)) == {1}
    assert metrics.CHALLENGER_FALLBACKS.labels(service.model.name)._value.get() == fallbacks + 2
    monkeypatch.undo()
    for _ in range(2):
        service.follower.look()
    (problem,) = service.problems()
    assert problem["about"] == "challenger" and "cannot divide by zero" in problem["problem"]
    service.model.log.flush()
    logged = request_log.read(service.services, LAST_DAY)
    assert set(logged["model_version"]) == {1} and set(logged["arm"]) == {"champion", "challenger"}


def test_a_challenger_that_cannot_be_loaded_leaves_the_champion_and_is_reported(held: World) -> None:
    (record,) = (held.home / "storage").glob("registered/version=2/*.json")
    digest = pd.read_json(record, typ="series")["model_sha256"]
    from ml.adapters.rows import sha256

    for path in (held.home / "mlflow").rglob("model.skops"):
        if sha256(path) == digest:
            path.write_bytes(path.read_bytes()[:-20])
    service = Asked(held.having(**HALF))
    service.follower.look()
    answer = service.post([a_row(held)])
    assert answer.status_code == 200 and answer.json()["version"] == 1
    (problem,) = service.problems()
    assert (problem["about"], problem["version"], problem["serving_version"]) == ("challenger", 2, 1)
    assert service.ready()["ready"] and "problem" not in service.ready()


@pytest.mark.parametrize("failing", [None, "bound"])
def test_a_challenger_that_was_not_judged_or_failed_another_rule_answers_nobody(
    contest: Contest, failing: str | None
) -> None:
    world = hold(contest, failing=failing) if failing else contest.world
    service = Asked(world.having(**HALF))
    assert service.model.challenge.contest is None
    (problem,) = service.problems()
    assert "has not held" in problem["problem"] if failing is None else "did not pass" in problem["problem"]
    assert service.post([a_row(world)]).json()["version"] == 1


def test_a_stopped_split_ends_in_every_process_and_stays_ended(held: World) -> None:
    services = [Asked(held.having(**HALF)) for _ in range(2)]
    held.services.storage.put_bytes(layout.serving.split_stop(2), b"{}")
    for service in (*services, Asked(held.having(**HALF))):
        service.follower.look()
        assert service.model.challenge.contest is None
        assert service.post(as_records(held.held("inputs", LAST_DAY).head(30))).json()["version"] == 1
    held.services.storage.put_bytes(layout.serving.split_stop(2), b"{")  # damaged: nobody knows, so it does not go on
    fresh = Asked(held.having(**HALF))
    assert fresh.model.challenge.contest is None


def test_requests_that_are_refused_are_counted_beside_the_log(held: World) -> None:
    service, good = Asked(held), a_row(held)
    for changes in ({"distance": "far"}, {"carrier": 7}, {}):
        service.post([{**good, **changes}])
    service.client.post("/invocations", content=b"{", headers=service.headers | {"Content-Type": "application/json"})
    service.model.log.flush()
    day = service.model.today()
    counted = refused_requests(service.services.storage)[str(day)]
    assert counted == {422: 2, 400: 1}
    service.post([{**good, "distance": "far"}])
    service.model.log.flush()
    other = Asked(held)
    other.post([{**good, "distance": "far"}])
    other.model.log.flush()
    assert refused_requests(service.services.storage)[str(day)] == {422: 4, 400: 1}
    MEMORY.forget()
    lines = {line["day"]: line for line in overview.served(held.services)["days"]}
    assert lines[str(day)]["refused"] == {"400": 1, "422": 4}
    assert lines[str(LAST_DAY)]["requests"] == 1, "what was answered is of the day of its rows"


def test_a_split_whose_challenger_does_worse_ends_in_the_service_is_mailable_and_can_be_resumed(held: World) -> None:
    world = held.having(**HALF)
    services = world.services
    service = Asked(world)
    assert service.model.challenge.contest is not None
    chance = np.random.default_rng(2)
    folder = services.storage_folder(layout.serving.split_days("randomised", 1, 2))
    for number in range(14):
        day = FIRST_DAY + timedelta(days=number)
        worse = SplitDay(
            day=day, kind="randomised", champion=1, challenger=2, rows=400, challenger_rows=400,
            difference=0.05 + float(chance.normal(0, 0.02)),
        )  # fmt: skip
        folder.write_json(layout.days.day_json(day), worse.model_dump(mode="json"))
        if number == 2:
            early = world.run(measure_requests, world.run(resolve, LAST_DAY))
            assert not early.splits[0].is_worse and split_control.read_stop(2, services) is None
    (split,) = world.run(measure_requests, world.run(resolve, LAST_DAY)).splits
    assert split.is_worse and split.days == 14 and split.kind == "randomised"
    first = split_control.read_stop(2, services)
    assert first is not None and first["reason"] == split.reason
    world.run(measure_requests, world.run(resolve, LAST_DAY))
    assert split_control.read_stop(2, services) == first, "looking again writes nothing new"
    service.follower.look()
    assert service.model.challenge.contest is None and service.post([a_row(held)]).json()["version"] == 1
    assert "versions" not in service.post([a_row(held)]).json()
    MEMORY.forget()
    (stopped,) = overview.served(services)["traffic"]["stopped"]
    assert (stopped["version"], stopped["requested_by"]) == (2, "monitor")
    with pytest.raises(MissingArtifact):
        traffic.resume(7, "a typing error", "a test", services)
    traffic.resume(2, "its feature was repaired", "a test", services)
    service.follower.look()
    assert service.model.challenge.contest is not None
    world.run(measure_requests, world.run(resolve, LAST_DAY))
    assert split_control.read_stop(2, services) is None, "what was known before it was resumed counts no more"
    shown = {entry["kind"]: entry for entry in history.run(services=services)["decisions"]}
    assert list(shown)[-2:] == ["split_stop", "split_resumption"]
    assert shown["split_stop"]["reasons"] == [split.reason]
    assert (shown["split_stop"]["requested_by"], shown["split_stop"]["against"]) == ("monitor", 1)
    assert shown["split_resumption"]["reasons"] == ["its feature was repaired"]
    row = next(row for row in overview.decisions(services)["decisions"] if row["kind"] == "split_stop")
    assert row["version"] == 2 and overview.decision(services, row["decision_id"])["evidence"]["days"] == 14


def test_a_stop_by_a_person_is_a_decision_also_if_mlflow_was_away_when_it_was_made(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("MLflow did not answer")

    monkeypatch.setattr("ml.adapters.tracking.Tracking.open_decision", away)
    with pytest.raises(Unavailable):
        traffic.stop(2, "complaints", "ann", held.services)
    assert split_control.read_stop(2, held.services) is not None, "it ends whether or not it can be written down"
    with pytest.raises(Unavailable):
        traffic.resume(2, "they were of another system", "ann", held.services)
    assert split_control.read_stop(2, held.services) is not None
    monkeypatch.undo()
    for _ in range(2):
        assert traffic.stop(2, "once more", "bob", held.services)["was_stopped"]
    (stop,) = held.services.tracking.decisions(kinds=("split_stop",))
    assert (stop.payload["reason"], stop.payload["requested_by"], stop.finished) == ("complaints", "ann", True)
    traffic.resume(2, "they were of another system", "ann", held.services)
    traffic.stop(2, "complaints again", "ann", held.services)
    kinds = [entry.kind for entry in held.services.tracking.decisions()[-3:]]
    assert kinds == ["split_stop", "split_resumption", "split_stop"]
    marks = [mark["label"] for mark in overview.timeline(held.services)["marks"] if mark["kind"].startswith("split")]
    assert marks == [
        "split of version 2 stopped: complaints",
        "split of version 2 resumed: they were of another system",
        "split of version 2 stopped: complaints again",
    ]


def test_a_day_of_a_split_is_compared_on_its_labels_by_who_was_to_answer(held: World) -> None:
    held.ingest(NEXT_DAY)
    rows, target = as_records(held.held("inputs", LAST_DAY)), held.settings.task.target
    service = Asked(held.having(**HALF))
    answers = service.post(rows).json()["predictions"]
    service.model.log.flush()
    measured = held.having(**HALF).run(measure_requests, held.run(resolve, NEXT_DAY))
    (split,) = measured.splits
    key = list(held.settings.task.key)
    frame = held.held("inputs", LAST_DAY)[key].assign(
        version=[row["version"] for row in answers], p=[row["probability"] for row in answers]
    )
    frame = frame.merge(held.held("labels", LAST_DAY).dropna(subset=[target]), on=key)
    losses = row_loss(frame[target].astype(float), frame["p"], held.settings.gate.metric)
    by_version = pd.Series(losses).groupby(frame["version"]).mean()
    assert split.difference.value == pytest.approx(by_version[2] - by_version[1])
    assert (split.days, split.rows + split.challenger_rows, split.difference.low) == (1, len(frame), None)
    assert {version.version for version in measured.versions} == {1, 2}
