"""Real worlds for the steps' tests: real days of 2013 in a real registry, beside a real MLflow.

Worlds are made once a test run, and copied for whoever needs one: ``seeded`` holds the data, ``trained`` a
champion too. A copy is a folder of its own; the paths that MLflow wrote into its database are moved with it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from ml.records import (
    Champion,
    Evaluation,
    Ingested,
    Judgement,
    Promotion,
    Record,
    RetrainRequest,
    Scoring,
    Window,
)
from ml.settings import PROJECT_ROOT, Environment, Settings, parse
from ml.wiring import Services
from tests.databases import copy_home
from tests.few_flights import ALL, a_quarter_of_the_flights, all_flights, serving
from tests.made_once import made_once
from tests.package_check import fresh_process, warm_package_check

__all__ = ["a_quarter_of_the_flights", "all_flights", "fresh_process", "warm_package_check"]

GIVEN = {"MLFLOW_TRACKING_URI": os.environ["MLFLOW_TRACKING_URI"]} if "MLFLOW_TRACKING_URI" in os.environ else {}
FIRST_DAY = date(2013, 5, 1)
LAST_DAY = date(2013, 6, 14)
NEXT_DAY = LAST_DAY + timedelta(days=1)
MUCH_LATER = datetime(2013, 12, 31, 12, tzinfo=UTC)
BAD_MODEL: dict[str, dict[str, Any]] = {
    # Naive Bayes takes each of its correlated columns for news: it is far too sure, and wrong on every day.
    "fit": {"estimator": "sklearn.naive_bayes.GaussianNB", "args": {}},
    "gate": {"rules": {"ranks": {"kind": "bound", "metric": "roc_auc", "at_least": 0.3}}},
}
REQUEST = RetrainRequest(requested_by="a test", reasons=("to see",))


@dataclass(frozen=True)
class World:
    """A home of its own, and the settings that its services are built with."""

    home: Path
    params: dict[str, Any] = field(repr=False)

    @property
    def settings(self) -> Settings:
        return parse(self.params)

    @property
    def environ(self) -> dict[str, str]:
        """Give the variables that lead a process here; params.yaml is written when they are asked for."""
        path = self.home / "params.yaml"
        text = json.dumps(self.params, indent=2)  # YAML too, and a hundred times as quick to write
        if not path.exists() or path.read_text() != text:  # a world that workers share is only read
            path.write_text(text)
        given = {"EVERGREEN_HOME": str(self.home), "EVERGREEN_PARAMS": str(path), "EVERGREEN_DEVELOPMENT": "1"}
        return given | ({"EVERGREEN_EXPECTATIONS": str(own)} if (own := self.home / "expectations").exists() else {})

    @property
    def services(self) -> Services:
        """Build new services each time, as each task of a Dag run does."""
        return Services(self.settings, Environment.load(self.environ))

    def having(self, **sections: Mapping[str, Any]) -> World:
        """Give the same home under other settings; a section's keys are laid over those it has."""
        params = deepcopy(self.params)
        for name, section in sections.items():
            other_kind = name == "source" and section.get("kind", params[name]["kind"]) != params[name]["kind"]
            params[name] = dict(section) if other_kind else {**params.get(name, {}), **section}
        return World(self.home, params)

    def run(self, step: Any, *records: Any, **options: Any) -> Any:
        """Run a step as a task would: new services, and records that have been through JSON."""
        records = tuple(travelled(record) for record in records)
        return step.run(*records, settings=self.settings, services=self.services, **options)

    # -- the Dags, as a person would say them ----------------------------------------------------

    def train(self, request: RetrainRequest = REQUEST) -> tuple[Window, Evaluation]:
        from ml.steps.retrain import evaluate, fit, pull, split, validate

        window = self.run(pull, request)
        for step in (validate, split, fit):
            self.run(step, window)
        return window, self.run(evaluate, window, meet_champion=True)

    def judge(self, request: RetrainRequest = REQUEST) -> tuple[Window, Judgement]:
        from ml.steps.retrain import check, gate, register

        window, evaluation = self.train(request)
        challenger = self.run(register, window, evaluation)
        self.run(check, window, challenger=challenger)
        return window, self.run(gate, window, challenger=challenger)

    def retrain(self, request: RetrainRequest = REQUEST) -> Promotion:
        from ml.steps.retrain import promote

        return self.run(promote, *self.judge(request))

    def ingest(self, day: date, *, now: datetime = MUCH_LATER) -> Ingested:
        from ml.steps.ingest import commit, land, screen

        return self.run(commit, self.run(screen, self.run(land, day, now=now)))

    def score(self, day: date) -> tuple[Champion, Scoring]:
        from ml.steps.score import plan, predict, publish, resolve

        champion = self.run(resolve, day)
        shards = self.run(plan, champion)
        return champion, self.run(publish, shards, [self.run(predict, shard) for shard in shards.shards])

    def run_champion(self) -> dict[str, Any]:
        from ml.cli import champion

        return champion.run(services=self.services)

    def put(self, files: Mapping[tuple[str, date], pd.DataFrame]) -> str:
        """Commit frames to the registry past every contract: what a fault that nobody caught looks like."""
        from ml.adapters.workspace import write_parquet

        paths = {}
        for (asset, day), frame in files.items():
            paths[asset, day] = self.home / f"{asset}-{day}.parquet"
            write_parquet(frame, paths[asset, day])
        return self.services.registry.commit(paths, message="Add what a test wants").rev

    def held(self, asset: str, day: date) -> pd.DataFrame:
        """Read a day out of the registry's newest version."""
        return pd.read_parquet(self.services.registry.open(asset, first_day=day, last_day=day)[day])

    def copied_to(self, home: Path) -> World:
        copy_home(self.home, home)
        _move_paths(home / "mlflow" / "mlflow.db", str(self.home), str(home))
        return World(home, deepcopy(self.params))


def travelled(record: Any) -> Any:
    """Send a record through JSON, as XCom does."""
    return type(record).model_validate_json(record.model_dump_json()) if isinstance(record, Record) else record


def _move_paths(database: Path, before: str, after: str) -> None:
    with sqlite3.connect(database) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in connection.execute(f"pragma table_info({table})").fetchall():
                if kind.upper().startswith(("VARCHAR", "TEXT")):
                    connection.execute(
                        f'update "{table}" set "{column}" = replace("{column}", ?, ?) where "{column}" like ?',
                        (before, after, f"%{before}%"),
                    )
    connection.close()


@pytest.fixture(autouse=True)
def _no_other_world() -> Iterator[None]:
    """Keep the developer's own variables out, and what MLflow writes into the environment itself."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(("EVERGREEN_", "AIRFLOW_CTX_")):
            del os.environ[name]
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield
    for name in ("MLFLOW_TRACKING_URI", *kept):
        os.environ.pop(name, None)
    os.environ.update({name: value for name, value in kept.items() if name != "MLFLOW_TRACKING_URI"} | GIVEN)


@pytest.fixture(scope="package")
def project_params() -> dict[str, Any]:
    """The project's own params.yaml on 2013's own days, with a history short enough for a test."""
    params = yaml.safe_load((PROJECT_ROOT / "params.yaml").read_text())
    params["source"]["replay"] = False
    params["pull"]["min_days"] = 21
    params["split"]["holdout_days"] = 10
    return params


def _land(folder: Path, params: dict[str, Any]) -> None:
    from ml.steps.ingest import seed

    world = World(folder, params)
    world.services.tracking.alias("champion")  # makes MLflow's database, which takes longer than a copy of it
    landed = seed.run(FIRST_DAY, LAST_DAY, settings=world.settings, services=world.services)
    assert landed["rejected"] == []


@pytest.fixture(scope="package")
def seeded_once(
    tmp_path_factory: pytest.TempPathFactory, project_params: dict[str, Any], a_quarter_of_the_flights: None
) -> World:
    return World(made_once(tmp_path_factory, "seeded", lambda home: _land(home, project_params)), project_params)


@pytest.fixture(scope="package")
def whole_days_once(tmp_path_factory: pytest.TempPathFactory, project_params: dict[str, Any]) -> World:
    def make(folder: Path) -> None:
        with serving(ALL):
            _land(folder, project_params)

    return World(made_once(tmp_path_factory, "whole-days", make), deepcopy(project_params))


@pytest.fixture(scope="package")
def trained_once(seeded_once: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    def make(folder: Path) -> None:
        assert seeded_once.copied_to(folder).retrain().promoted

    return World(made_once(tmp_path_factory, "trained", make), deepcopy(seeded_once.params))


@pytest.fixture(scope="package")
def judged_once(seeded_once: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Window, Judgement]:
    """A bad champion (version 1), and a challenger (version 2) that was judged and has won."""

    def of(folder: Path) -> World:
        return World(folder, seeded_once.params).having(score={"batch_rows": 1000})

    def make(folder: Path) -> None:
        world = of(seeded_once.copied_to(folder).home)
        assert world.having(**BAD_MODEL).retrain().promoted
        for name, record in zip(("window", "judgement"), world.judge(), strict=True):
            folder.with_name(f"judged-{name}.json").write_text(record.model_dump_json())

    world = of(made_once(tmp_path_factory, "judged", make))
    window, judgement = (world.home.with_name(f"judged-{name}.json").read_text() for name in ("window", "judgement"))
    return world, Window.model_validate_json(window), Judgement.model_validate_json(judgement)


@dataclass(frozen=True)
class Contest:
    """A world in which a challenger waits to be promoted, or to be held."""

    world: World
    window: Window
    judgement: Judgement


@pytest.fixture
def contest(judged_once: tuple[World, Window, Judgement], tmp_path: Path) -> Contest:
    world, window, judgement = judged_once
    copy = world.copied_to(tmp_path / "home")
    moved = window.workspace.replace(str(world.home), str(copy.home))
    return Contest(copy, window.model_copy(update={"workspace": moved}), judgement)


@pytest.fixture
def seeded(seeded_once: World, tmp_path: Path) -> World:
    """45 days of 2013, the newest still without labels; nothing was ever trained."""
    return seeded_once.copied_to(tmp_path / "home")


@pytest.fixture
def whole_days(whole_days_once: World, all_flights: None, tmp_path: Path) -> World:
    """The same with all of their flights, where the few of `seeded` are no evidence."""
    return whole_days_once.copied_to(tmp_path / "home")


@pytest.fixture
def trained_on_whole_days(whole_days: World) -> World:
    """The same, and a champion: version 1."""
    assert whole_days.retrain().promoted
    return whole_days


@pytest.fixture
def trained(trained_once: World, tmp_path: Path) -> World:
    """The same, and a champion: version 1."""
    return trained_once.copied_to(tmp_path / "home")
