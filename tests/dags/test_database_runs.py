"""A database as source, a past period of it served as if it were now, and a table as sink, in Airflow's real Dags."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
import yaml

from tests.dags.world import MODEL, Ran, World, running_world

pytestmark = pytest.mark.filterwarnings("ignore")
FIRST = date(2013, 1, 1)
DAYS = 14
VARIABLE = "EVERGREEN_CONNECTION_WAREHOUSE"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        with running_world(tmp_path_factory.mktemp("evergreen")) as (made, environment):
            _fill(made)
            environment.setenv(VARIABLE, "")  # so that what a task sets is taken back
            environment.delenv(VARIABLE)
            connection = {"conn_type": "sqlite", "host": str(made.home / "flights.db")}
            environment.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
            yield made
    finally:
        os.environ.pop(VARIABLE, None)


def _fill(world: World) -> None:
    """Put two weeks of 2013 into a database, and let params.yaml read them as today's and write predictions back."""
    from ml.adapters.sources.demo import DemoSource

    demo = DemoSource(replay=False)
    with closing(sqlite3.connect(world.home / "flights.db")) as database:
        for number in range(DAYS):
            day = FIRST + timedelta(days=number)
            demo.inputs(day).to_sql("inputs", database, index=False, if_exists="append")
            demo.labels(day).to_sql("labels", database, index=False, if_exists="append")
    path = world.home / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["source"] = {
        "kind": "sql",
        "database": "warehouse",
        "inputs": {"query": "SELECT * FROM inputs WHERE day = :day"},
        "labels": {"query": "SELECT * FROM labels WHERE day = :day"},
        "replay": {"from": str(FIRST), "to": str(FIRST + timedelta(days=DAYS - 1))},
    }
    params["score"]["sink"] = {"database": "warehouse", "table": "served"}
    path.write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.fixture(scope="module")
def ingested(world: World) -> tuple[date, Ran]:
    services = world.services
    services.registry.create()
    day = services.settings.newest_due_day(datetime.now(UTC))
    return day, world.run("ingest", day=day)


def test_a_connection_of_airflow_brings_a_day_of_the_past_as_today(ingested: tuple[date, Ran], world: World) -> None:
    day, ran = ingested
    assert ran.state == "success", ran.records
    held = world.services.registry.open("inputs", first_day=day, last_day=day)[day]
    rows = pd.read_parquet(held)
    assert set(rows["day"]) == {day.isoformat()}
    from ml.adapters.sources.demo import DemoSource

    past = FIRST + timedelta(days=(day - FIRST).days % DAYS)
    assert len(rows) == len(DemoSource(replay=False).inputs(past)) and past.weekday() == day.weekday()


def test_a_model_with_a_sink_exports_behind_publish(world: World) -> None:
    score = world.dags[f"{MODEL}.score"]
    graph = {task.task_id: sorted(task.downstream_task_ids) for task in score.tasks}
    assert graph["publish"] == ["export", "shadow"] and graph["export"] == []


def test_without_a_champion_nothing_is_exported(ingested: tuple[date, Ran], world: World) -> None:
    ran = world.run("score", day=ingested[0])
    assert ran.state == "success" and ran.states["export"] == "skipped"
