"""Four of the Dags run for real, one after the other, on 45 days of 2013 and what comes after them.

Nothing is mocked: the data registry is Git and DVC, MLflow keeps its SQLite file, Great Expectations and
Evidently judge, and mail goes through a mail server. Each fixture is one chapter of the story and asks for
the one before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.dags.world import Ran, World, running_world
from tests.package_check import check_in_a_process

# Tasks run in this process, where a warning is an error; in their own, as in production, it is none.
pytestmark = pytest.mark.filterwarnings("ignore")
SEEDED = 45
NEXT = SEEDED + 1
DRIFTED = NEXT + 7  # the whole trailing window has moved, and the cooldown is over
BROKEN = DRIFTED + 1
REFIT = 2  # version 1 was judged; its refit on the whole window serves


def day(number: int) -> date:
    """Give the nth day of 2013."""
    return date(2013, 1, 1) + timedelta(days=number - 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("evergreen")) as (made, _), check_in_a_process():
        made.deliver(day(1), day(NEXT))
        assert made.seed(day(1), day(SEEDED))["rejected"] == []
        yield made


# --- chapter 1: nobody serves yet -------------------------------------------------------------------


@pytest.fixture(scope="module")
def unserved(world: World) -> dict[str, Ran]:
    return {dag_id: world.run(dag_id, day=day(SEEDED)) for dag_id in ("score", "monitor")}


def test_a_day_without_champion_is_skipped_and_green(unserved: dict[str, Ran]) -> None:
    scored = unserved["score"]
    assert scored.state == "success"
    assert set(scored.states.values()) == {"skipped"}
    assert scored.mails == []


def test_without_champion_one_is_asked_for_and_nobody_is_alarmed(unserved: dict[str, Ran], world: World) -> None:
    monitored = unserved["monitor"]
    assert monitored.state == "success"
    assert monitored.states["trigger_retrain"] == "success"
    assert monitored.states["alert"] == "success"
    assert monitored.mails == []
    assert "no champion" in world.queued("retrain")[f"monitor__{day(SEEDED)}"]["reason"]


# --- chapter 2: the first challenger ----------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(world: World, unserved: dict[str, Ran]) -> Ran:
    return world.run("retrain", conf={"reason": "the first one", "requested_by": "a test"})


UNASKED = {"approve": "skipped", "approved": "skipped"}
"""As params.yaml is delivered, nobody is asked: ``ask`` goes straight to ``promote``."""


def test_a_challenger_that_passes_every_rule_serves(trained: Ran, world: World) -> None:
    assert trained.state == "success"
    assert {task: state for task, state in trained.states.items() if state != "success"} == UNASKED
    assert trained.records["promote"]["promoted"]
    assert world.services.tracking.alias("champion") == REFIT
    (decision,) = world.decisions("promotion")
    assert (decision["judged_version"], decision["version"]) == (1, REFIT)
    assert decision["judged_on"] == day(SEEDED).isoformat()


def test_people_are_mailed_who_serves_now(trained: Ran) -> None:
    (mail,) = trained.mails
    assert mail["Subject"] == f"flight-delay: Version {REFIT} was promoted"
    said = mail.get_body(("plain",)).get_content()
    assert f"version {REFIT} was promoted" in said.lower()
    assert all(rule in said for rule in ("discrimination", "base rate", "package"))


def test_the_same_training_is_not_done_twice(trained: Ran, world: World) -> None:
    repeated = world.run("retrain", conf={"reason": "the very same again"})
    assert repeated.state == "success"
    assert set(repeated.states.values()) == {"skipped"}
    assert repeated.mails == []
    assert len(world.decisions("promotion", "hold")) == 1
    assert versions(world) == REFIT


def test_clearing_a_promotion_promotes_nothing_new(trained: Ran, world: World) -> None:
    before = world.decisions()
    cleared = world.run("retrain", again=trained)
    assert cleared.state == "success"
    assert cleared.mails == []
    assert world.decisions() == before
    assert versions(world) == REFIT
    assert world.services.tracking.alias("champion") == REFIT


# --- chapter 3: a calm day --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ingested(world: World, trained: Ran) -> Ran:
    return world.run("ingest", day=day(NEXT))


def test_a_day_enters_the_registry_and_is_announced(ingested: Ran, world: World) -> None:
    assert ingested.state == "success"
    assert ingested.records["commit"]["changed"]
    assert ingested.records["commit"]["data_version"] == world.services.registry.head()
    assert day(NEXT) in world.services.registry.days("inputs")
    assert day(SEEDED) in world.services.registry.days("labels")
    assert day(NEXT) not in world.services.registry.days("labels")
    assert ("flight-delay.inputs", day(NEXT).isoformat()) in world.events()
    assert ingested.mails == []


def test_clearing_ingest_leaves_the_registry_as_it_is(ingested: Ran, world: World) -> None:
    head = world.services.registry.head()
    cleared = world.run("ingest", day=day(NEXT), again=ingested)
    assert cleared.state == "success"
    assert not cleared.records["commit"]["changed"]
    assert world.services.registry.head() == head == ingested.records["commit"]["data_version"]


@pytest.fixture(scope="module")
def scored(world: World, ingested: Ran, unserved: dict[str, Ran]) -> Ran:
    late = world.run("score", day=day(SEEDED), again=unserved["score"])
    assert late.states["publish"] == "success", "a skipped day can be cleared once somebody serves"
    return world.run("score", day=day(NEXT))


def test_predictions_are_published_and_announced(scored: Ran, world: World) -> None:
    assert scored.state == "success"
    assert scored.states == {"resolve": "success", "predict": "success", "publish": "success", "shadow": "skipped"}
    published = scored.records["publish"]
    assert published["published"]
    assert sha256(published["uri"]) == published["sha256"]
    assert ("flight-delay.predictions", day(NEXT).isoformat()) in world.events()


def test_scoring_a_day_again_gives_the_same_bytes(scored: Ran, world: World) -> None:
    before = sha256(scored.records["publish"]["uri"])
    cleared = world.run("score", day=day(NEXT), again=scored)
    assert cleared.records["publish"] == scored.records["publish"]
    assert sha256(cleared.records["publish"]["uri"]) == before


def test_a_larger_day_is_scored_by_several_tasks_and_says_the_same(scored: Ran, world: World) -> None:
    import pandas as pd

    uri = scored.records["publish"]["uri"]
    before = pd.read_parquet(uri)
    with world.with_params(lambda params: params["score"].update(batch_rows=20, rows_per_shard=60)):
        cleared = world.run("score", day=day(NEXT), again=scored)
    shards = -(-len(before) // 60)
    assert shards > 1
    assert cleared.state == "success"
    assert len(json.loads(Path(uri).with_suffix(".json").read_text())["shards"]) == shards
    pd.testing.assert_frame_equal(pd.read_parquet(uri), before, check_exact=False, rtol=0, atol=1e-12)
    left = mapped(cleared, "predict", "_link_model_in_evergreen")
    version = scored.records["publish"]["version"]
    page = f"http://airflow.test:8080/plugin/evergreen/evergreen/#flight-delay/versions/{version}"
    assert left == dict.fromkeys(range(shards), page)
    fewer = world.run("score", day=day(NEXT), again=scored)
    assert fewer.state == "success"
    assert sha256(uri) == scored.records["publish"]["sha256"]


@pytest.fixture(scope="module")
def calm(world: World, scored: Ran) -> Ran:
    return world.run("monitor", day=day(NEXT))


def test_a_calm_day_mails_nobody_and_asks_for_nothing(calm: Ran, world: World) -> None:
    assert calm.state == "success"
    assert calm.records["measure_drift"]["status"] == "calm"
    assert (calm.states["trigger_retrain"], calm.states["alert"]) == ("skipped", "success")
    assert calm.mails == []
    assert f"monitor__{day(NEXT)}" not in world.queued("retrain")


def test_live_performance_is_of_the_day_whose_labels_came(calm: Ran) -> None:
    measured = calm.records["measure_performance"]
    assert measured["labelled_day"] == day(SEEDED).isoformat()
    assert 0 < measured["metrics"]["log_loss"] < 2


# --- chapter 4: a challenger that loses -------------------------------------------------------------


POOR_FIT = {"estimator": "sklearn.linear_model.LogisticRegression", "args": {"C": 1e-9}, "encoding": "onehot"}
"""What is trained so learns next to nothing."""


def poor_settings(world: World) -> AbstractContextManager[None]:
    return world.with_params(lambda params: params.update(fit=POOR_FIT))


@pytest.fixture(scope="module")
def held(world: World, calm: Ran) -> Ran:
    with poor_settings(world):
        return world.run("retrain", conf={"reason": "a poor idea"})


def test_a_challenger_that_loses_is_held_and_the_run_is_green(held: Ran, world: World) -> None:
    assert held.state == "success"
    assert {task: state for task, state in held.states.items() if state != "success"} == UNASKED | {
        "promote": "skipped"
    }
    assert world.services.tracking.alias("champion") == REFIT
    (mail,) = held.mails
    assert "held" in mail["Subject"]
    (decision,) = world.decisions("hold")
    assert decision["verdict"]["decision"] == "hold"
    assert [ruling["rule"] for ruling in decision["verdict"]["rulings"] if not ruling["passed"]]


def test_settings_were_pinned_for_the_whole_run(held: Ran, world: World) -> None:
    pinned = world.services.workspace(held.records["pull"]["workspace"]).read_json("settings.json")
    assert pinned["fit"]["args"] == {"C": 1e-9}


def test_clearing_a_hold_holds_once(held: Ran, world: World) -> None:
    with poor_settings(world):
        cleared = world.run("retrain", again=held)
    assert cleared.state == "success"
    assert cleared.mails == []
    assert len(world.decisions("hold")) == 1


# --- chapter 5: the world moves ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def alarmed(world: World, held: Ran) -> Ran:
    def moved(rows: pd.DataFrame) -> pd.DataFrame:
        departure = rows["sched_dep_minute"] // 2
        arrival = (departure + rows["clock_minutes"]) % (24 * 60)
        return rows.assign(distance=rows["distance"] * 1.6, sched_dep_minute=departure, sched_arr_minute=arrival)

    world.deliver(day(NEXT + 1), day(DRIFTED), moved)
    assert world.seed(day(NEXT + 1), day(DRIFTED))["rejected"] == []
    before = world.run("monitor", day=day(DRIFTED - 1))
    assert (before.mails, before.states["trigger_retrain"]) == ([], "skipped"), "it is not the newest day"
    return world.run("monitor", day=day(DRIFTED))


def test_drift_is_mailed_once_in_html_and_in_plain_text(alarmed: Ran, world: World) -> None:
    assert alarmed.state == "success"
    (mail,) = alarmed.mails
    assert mail["Subject"].startswith("flight-delay: Drift since ")
    assert mail["To"] == "ml-team@example.com"
    assert world.postbox.recipients[-1] == ["ml-team@example.com"]
    for kind in ("html", "plain"):
        body = mail.get_body((kind,))
        assert body is not None, kind
        said = body.get_content()
        assert "distance" in said
        assert "sched_dep_minute" in said
        assert "http://airflow.test:8080/dags/flight-delay.monitor/runs/" in said
        assert "None" not in said


def test_drift_asks_for_a_challenger_in_the_days_own_name(alarmed: Ran, world: World) -> None:
    assert alarmed.states["trigger_retrain"] == "success"
    asked = world.queued("retrain")[f"monitor__{day(DRIFTED)}"]
    assert "distance" in asked["reason"]
    assert asked["requested_by"] == f"monitor of {day(DRIFTED)}"
    (request,) = [found for found in world.decisions("retrain_request") if "drift" in found["reasons"][0]]
    assert request["version"] == REFIT


def test_clearing_an_alarm_mails_and_asks_no_second_time(alarmed: Ran, world: World) -> None:
    before = world.decisions()
    cleared = world.run("monitor", day=day(DRIFTED), again=alarmed)
    assert cleared.state == "success"
    assert cleared.mails == []
    assert cleared.states["trigger_retrain"] == "skipped"
    assert world.decisions() == before


# --- chapter 6: a broken day ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refused(world: World, alarmed: Ran) -> tuple[Ran, str]:
    head = world.services.registry.head()
    world.deliver(day(BROKEN), day(BROKEN), lambda rows: rows.assign(distance=-1.0))
    return world.run("ingest", day=day(BROKEN)), head


def test_a_broken_day_turns_ingest_red_at_the_first_try(refused: tuple[Ran, str], world: World) -> None:
    ran, _ = refused
    assert ran.state == "failed"
    assert ran.states == {
        "land": "success",
        "screen": "success",
        "commit": "failed",
        "report_rejected": "upstream_failed",
    }
    assert ran.tries["commit"] == 1
    assert day(BROKEN) not in world.services.registry.days("inputs")
    assert day(BROKEN - 1) in world.services.registry.days("labels"), "labels do not wait for broken inputs"
    assert ("flight-delay.inputs", day(BROKEN).isoformat()) not in world.events()


def test_one_mail_says_what_broke_where_and_how_often(refused: tuple[Ran, str]) -> None:
    (mail,) = refused[0].mails
    assert mail["Subject"] == f"flight-delay: Data rejected: inputs of {day(BROKEN)}"
    rows = refused[0].records["land"] and len(read(refused[0], "inputs"))
    for kind in ("html", "plain"):
        said = " ".join(mail.get_body((kind,)).get_content().split())
        assert "distance must be between 1 and 10000" in said
        assert f"{rows}" in said
        assert "-1" in said
        assert "Next: fix the source and clear this run" in said
        assert "report.html" in said
        assert "http://airflow.test:8080/dags/flight-delay.ingest/runs/" in said
        assert "None" not in said


def test_a_mended_day_is_cleared_and_gets_in(refused: tuple[Ran, str], world: World) -> None:
    ran, head = refused
    world.deliver(day(BROKEN), day(BROKEN))
    mended = world.run("ingest", day=day(BROKEN), again=ran)
    assert mended.state == "success"
    assert mended.mails == []
    assert world.services.registry.head() != head
    assert day(BROKEN) in world.services.registry.days("inputs")


# --- chapter 7: a day of bad labels, and a week-end ---------------------------------------------------


AFTER = BROKEN + 1


@pytest.fixture(scope="module")
def bad_labels(world: World, refused: tuple[Ran, str]) -> dict[int, Ran]:
    ran, _ = refused
    world.deliver(day(BROKEN), day(AFTER + 1))
    world.run("ingest", day=day(BROKEN), again=ran)
    labels = world.home / f"source/labels/{day(BROKEN)}.parquet"
    import pandas as pd

    whole = pd.read_parquet(labels)
    whole.assign(flight=whole["flight"].where(whole.index >= 120, 9999)).to_parquet(labels)
    return {number: world.run("ingest", day=day(number)) for number in (AFTER, AFTER + 1)}


def test_bad_labels_turn_one_run_red_and_the_day_is_announced_all_the_same(
    bad_labels: dict[int, Ran], world: World
) -> None:
    first, second = bad_labels[AFTER], bad_labels[AFTER + 1]
    assert first.states == {"land": "success", "screen": "success", "commit": "success", "report_rejected": "failed"}
    assert set(second.states.values()) == {"success"}
    announced = {partition for name, partition in world.events() if name == "flight-delay.inputs"}
    assert {day(AFTER).isoformat(), day(AFTER + 1).isoformat()} <= announced
    assert day(AFTER) in world.services.registry.days("labels")
    assert note(first).startswith(f"Failed at report_rejected. labels of {day(BROKEN)} rejected: ")
    assert note(second).endswith(f"; labels of {day(BROKEN)} rejected, as reported with {day(AFTER)}")


def test_bad_labels_are_mailed_once_however_often_they_are_asked_for(bad_labels: dict[int, Ran], world: World) -> None:
    first, second = bad_labels[AFTER], bad_labels[AFTER + 1]
    (mail,) = first.mails
    assert mail["Subject"] == f"flight-delay: Data rejected: labels of {day(BROKEN)}"
    said = " ".join(mail.get_body(("plain",)).get_content().split())
    assert "the key must be among that day's inputs" in said
    assert "Inputs did not wait for this: they are committed and scored" in said
    assert f"quarantine/labels/day={day(BROKEN)}/report.html" in said
    assert second.mails == []
    cleared = world.run("ingest", day=day(AFTER), again=first)
    assert (cleared.states["report_rejected"], cleared.mails) == ("failed", [])


def test_a_day_without_data_is_skipped_with_its_reason(bad_labels: dict[int, Ran], world: World) -> None:
    number = AFTER + 2
    closed = day(number).isoformat()
    with world.with_params(lambda params: params["land"].update(closed=[closed])):
        ran = world.run("ingest", day=day(number))
        scored, monitored = (world.run(dag_id, day=day(number)) for dag_id in ("score", "monitor"))
    assert ran.state == "success"
    assert (ran.states["commit"], ran.states["report_rejected"]) == ("skipped", "success")
    assert ran.mails == []
    assert ("flight-delay.inputs", closed) not in world.events()
    assert f"No data are expected on {day(number):%A} {closed}: land.closed names it" in note(ran)
    assert day(number - 1) in world.services.registry.days("labels"), "labels come on that day too"
    for follower in (scored, monitored):
        assert (follower.state, follower.mails) == ("success", [])
        assert set(follower.states.values()) == {"skipped"}


def test_labels_that_never_came_are_mailed_once(bad_labels: dict[int, Ran], world: World) -> None:
    number = AFTER + 3
    world.deliver(day(number), day(number))
    (world.home / f"source/labels/{day(BROKEN)}.parquet").unlink()
    with world.with_params(lambda params: params["land"].update(catch_up_days=1)):
        ran = world.run("ingest", day=day(number))
    assert ran.state == "success"
    (mail,) = ran.mails
    assert mail["Subject"] == f"flight-delay: Labels missing: {day(BROKEN)}"
    said = " ".join(mail.get_body(("plain",)).get_content().split())
    assert f"no labels of {day(BROKEN)} came in time (when they were due, and land.catch_up_days: 1 after it)" in said
    assert f"clear the run of Ingest of {day(BROKEN)}" in said
    assert "None" not in said


def note(ran: Ran) -> str:
    """Read what people see of a run."""
    from airflow.models.dagrun import DagRun, DagRunNote
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(DagRunNote).join(DagRun).filter(DagRun.run_id == ran.run_id).one()
        return str(found.content)


def test_a_run_without_a_day_says_how_to_give_it_one(world: World, refused: tuple[Ran, str]) -> None:
    ran = world.run("score")
    assert ran.state == "failed"
    (mail,) = ran.mails
    assert mail["Subject"] == "flight-delay: Task failed: score.resolve"
    said = " ".join(mail.get_body(("plain",)).get_content().split())
    assert "airflow backfill create --dag-id flight-delay.ingest " in said


def mapped(ran: Ran, task_id: str, key: str) -> dict[int, Any]:
    """Give what each instance of a mapped task has left."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(XComModel).filter_by(run_id=ran.run_id, task_id=task_id, key=key).all()
        return {each.map_index: XComModel.deserialize_value(each) for each in found}


def versions(world: World) -> int:
    """Count the registered versions."""
    from mlflow import MlflowClient

    return len(MlflowClient(world.services.environment.tracking).search_model_versions("name='flight-delay'"))


def read(ran: Ran, asset: str) -> Any:
    import pandas as pd

    landed = ran.records["land"]
    return pd.read_parquet(Path(landed["workspace"]) / asset / f"day={landed['day']}.parquet")


def sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
