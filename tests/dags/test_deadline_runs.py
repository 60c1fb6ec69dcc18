"""A deadline of predictions that passes, in Airflow's real Dag."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tests.dags.world import MODEL, World, running_world

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A model of the demo's data, whose predictions are due a minute after the data are."""
    with running_world(tmp_path_factory.mktemp("evergreen")) as (made, _):
        path = made.home / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        params["source"] = {"kind": "demo"}
        params["score"]["due_by"] = f"{params['land']['due_hour']:02d}:01"
        path.write_text(yaml.safe_dump(params), encoding="utf-8")
        yield made


def test_a_day_that_does_not_come_is_mailed_once_with_its_cause(world: World) -> None:
    services = world.services
    services.registry.create()
    fresh = world.run("deadline")
    assert (fresh.state, fresh.mails) == ("success", []), "nothing was ever ingested"
    due = services.settings.newest_due_day(datetime.now(UTC) - timedelta(minutes=1))
    world.seed(due - timedelta(days=3), due - timedelta(days=2))
    late, again = world.run("deadline"), world.run("deadline")
    assert [ran.state for ran in (late, again)] == ["success", "success"]
    (mail,) = late.mails
    assert mail["Subject"] == f"{MODEL}: Predictions late since {due}"
    assert f"The source has not delivered the inputs of {due}" in mail.as_string().replace("=\n", "").replace("\n", " ")
    assert again.mails == []


def test_score_looks_again_behind_publish(world: World) -> None:
    tasks = {task.task_id: sorted(task.downstream_task_ids) for task in world.dags[f"{MODEL}.score"].tasks}
    assert tasks["publish"] == ["check_deadline", "shadow"]
    assert tasks["check_deadline"] == []
