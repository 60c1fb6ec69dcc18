"""A fortnight lived through twice, by production's steps on a real registry and by the backtest: equal to the bit.

The business is closed on Sundays. In the fortnight its inputs and outcomes turn round and back, inputs of one day and
labels of another break their contracts, one day never comes, one has few rows, and labels bring a new column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from ml.backtest import policies, runs
from ml.backtest.fits import Fits
from ml.backtest.simulation import Simulation
from ml.core.champions import tenures
from ml.core.data.days import days_between
from ml.errors import DataRejected, MissingArtifact
from ml.records import Record, RetrainRequest
from tests.steps.conftest import World

OLDEST, FIRST, LAST = date(2024, 1, 1), date(2024, 2, 5), date(2024, 2, 22)
TURNED = days_between(date(2024, 2, 7), date(2024, 2, 9))
NO_INPUTS, NEVER_CAME, BAD_LABELS, FEW_ROWS = date(2024, 2, 6), date(2024, 2, 20), date(2024, 2, 14), date(2024, 2, 19)
SHIFTED = days_between(date(2024, 2, 14), LAST)
LATER = datetime(2024, 6, 1, 12, tzinfo=UTC)
PER_DAY = 120
PARAMS: dict[str, Any] = {
    "task": {"name": "shop", "kind": "classification", "target": "late", "key": ["day", "id"], "label_delay_days": 1},
    "land": {"history_days": 35, "catch_up_days": 3},
    "screen": {"recent_days": 7},
    "pull": {"min_days": 8, "days": 10},
    "split": {"holdout_days": 3},
    "features": {"categorical": ["shop"], "numeric": ["size", "load"], "history": [{"by": ["shop"], "days": [3]}]},
    "fit": {"estimator": "sklearn.linear_model.LogisticRegression"},
    "score": {"adapt": "intercept", "adapt_days": 3},
    "gate": {
        "bootstrap_rounds": 200,
        "min_days": 2,
        "min_rows": 100,
        "rules": {
            "champion": {"kind": "champion", "min_gain": 0.0, "refresh_max_loss": 2.0},
            "slices": {"kind": "slices", "by": ["shop", "size >= 0"], "max_loss": 2.0, "min_rows": 30, "min_days": 2},
            "fairness": {"kind": "slice_gap", "by": "shop", "metric": "log_loss", "max_gap": 2.0, "min_rows": 30},
            "calibration": {"kind": "calibration", "max_error": 0.9, "max_gap": 0.9},
            "leakage": {"kind": "leakage", "max_single_feature": 0.99, "max_skill_gain": 1.0},
        },
    },
    "drift": {"window_days": 3, "min_rows": 170, "structural": ["shop"], "environment": ["size", "load"]},
    "performance": {"window_days": 5, "min_days": 3},
    "retrain": {"max_age_days": 60, "cooldown_days": 2, "refit": "after_gate", "refit_max_difference": 0.9},
    "rollback": {"watch_days": 7, "min_days": 3, "confidence": 0.9},
}
TABLE = {"level": "table"}
SUITES: dict[str, list[dict[str, Any]]] = {
    "inputs": [
        {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "size", "mostly": 0.5},
            "meta": TABLE,
        },
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "load", "max_value": 4},
            "meta": {"level": "row"},
        },
    ],
    "labels": [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "late", "max_value": 1}, "meta": TABLE}
    ],
    "window": [{"type": "expect_column_to_exist", "kwargs": {"column": "late"}, "meta": TABLE}],
    "predictions": [{"type": "expect_column_to_exist", "kwargs": {"column": "prediction"}, "meta": TABLE}],
}


def deliver(folder: Path) -> None:
    """Write what the business delivers for each day."""
    chance = np.random.default_rng(11)
    for day in days_between(OLDEST, LAST + timedelta(days=1)):
        rows = 40 if day == FEW_ROWS else PER_DAY
        north = 0.9 if day in (*TURNED, *SHIFTED) else 0.5
        size, load = chance.normal(size=rows), chance.exponential(size=rows)
        shop = np.where(chance.random(rows) < north, "north", "south")
        inputs = pd.DataFrame({"day": day.isoformat(), "id": np.arange(rows), "shop": shop, "size": size, "load": load})
        late = chance.random(rows) < 1 / (1 + np.exp((4.0 if day in TURNED else -2.0) * size))
        labels = inputs[["day", "id"]].assign(late=late.astype(float))
        if day == FEW_ROWS:
            inputs["shop"] = "west"
        if day == NO_INPUTS:
            inputs["size"] = np.nan
        if day == BAD_LABELS:
            labels["late"] = 7.0
        if day in SHIFTED:
            labels["load"] = 1.0
        labels.loc[labels["id"] == 3, "late"] = np.nan
        if day.weekday() == 6 or day == NEVER_CAME:
            continue
        for table, frame in (("inputs", inputs), ("labels", labels)):
            (folder / table).mkdir(parents=True, exist_ok=True)
            frame.to_parquet(folder / table / f"{day}.parquet")


@dataclass
class Lived:
    """What became of each day: all that was said, and what was served."""

    message: dict[date, dict[str, Any]] = field(default_factory=dict)
    served: dict[date, np.ndarray] = field(default_factory=dict)
    decided: list[dict[str, Any]] = field(default_factory=list)


# --- production ---------------------------------------------------------------------------------------


def retrain(world: World, request: RetrainRequest) -> None:
    """Run the Dag *retrain*."""
    from ml.steps.retrain import describe, evaluate, fit, gate, promote, pull, refit, register, split, tune, validate

    window = world.run(pull, request)
    for step in (validate, split, tune, fit):
        world.run(step, window)
    evaluation = world.run(evaluate, window, meet_champion=True)
    challenger = world.run(register, window, evaluation)
    judgement = world.run(refit, window, world.run(gate, window, challenger=challenger))
    world.run(describe, window, judgement)
    world.run(promote, window, judgement)


def produce(world: World) -> Lived:
    """Live through the days as the Dags do, one after the other."""
    from ml.steps import rollback
    from ml.steps.ingest import seed
    from ml.steps.monitor import compare_with_previous, decide, measure_drift, measure_performance, score_refit
    from ml.steps.score import shadow

    lived = Lived()
    world.services.tracking.alias("champion")
    seed.run(OLDEST, FIRST - timedelta(days=1), settings=world.settings, services=world.services)
    retrain(world, RetrainRequest(requested_by="a person", reasons=("the first",)))
    for day in days_between(FIRST, LAST):
        try:
            world.ingest(day, now=LATER)
        except (DataRejected, MissingArtifact):
            continue
        if day not in world.services.registry.days("inputs"):
            continue
        champion, scoring = world.score(day)
        world.run(shadow, champion)
        file = world.home / "storage" / "predictions" / f"day={day}" / f"version={champion.version}.parquet"
        lived.served[day] = pd.read_parquet(file)["prediction"].to_numpy()
        drift, live, previous = (
            world.run(step, champion) for step in (measure_drift, measure_performance, compare_with_previous)
        )
        decision = world.run(decide, champion, drift, live, previous)
        world.run(score_refit, champion)
        shift = scoring.adaptation.shift if scoring.adaptation else 0.0
        lived.message[day] = said(champion.version, shift, drift=drift, live=live, previous=previous, decision=decision)
        if decision.rollback is not None:
            world.run(rollback, decision.rollback)
        elif decision.request is not None:
            retrain(world, decision.request)
    lived.decided = [fact(entry) for entry in world.services.tracking.decisions() if entry.kind in tenures.JUDGED]
    return lived


# --- the backtest -------------------------------------------------------------------------------------


def replay(world: World) -> Lived:
    base = runs.open_context(world.services, world.home / "kept")
    span = runs.Span(OLDEST, FIRST, LAST, "source")
    digest = runs.dataset_of(base, span)
    policy = policies.make("own", {}, world.params, origin="a test")
    course = Simulation(policy, Fits(runs._dataset(base.folder, digest), base.folder, base.code), FIRST, LAST)
    outcome = course.run()
    lived = Lived()
    shifts = dict(zip(outcome.days["day"], outcome.days["shift"], strict=True))
    for day, each in course.records.items():
        version = course.scores.served[day]
        records = {
            "drift": each.drift,
            "live": each.performance,
            "previous": each.comparison,
            "decision": each.decision,
        }
        lived.message[day] = said(version, shifts[day], **records)
        lived.served[day] = course.scores.predicted[day, version]
    lived.decided = [fact(entry) for entry in course.log if entry.kind in tenures.JUDGED]
    return lived


# --- what is compared ---------------------------------------------------------------------------------

SHOWN_ONLY = {
    "report_uri",
    "result_uri",
    "metrics",
    "estimated",
    "estimated_day",
    "estimated_metrics",
    "estimate_error",
    "estimated_low",
    "estimated_high",
    "estimate_reason",
}
"""What production only shows: pages, and metrics and estimates that nothing is decided by."""
DECIDING = {"gap", "skill"}


def said(version: int | None, shift: float, **records: Record | None) -> dict[str, Any]:
    facts = {name: None if each is None else each.model_dump(mode="json") for name, each in records.items()}
    for each in facts.values():
        for name in SHOWN_ONLY & set(each or {}):
            del each[name]
    facts["live"]["window"] = {name: value for name, value in facts["live"]["window"].items() if name in DECIDING}
    if facts["previous"] is not None and facts["previous"]["previous_version"] is None:
        facts["previous"] = None
    return {"version": version, "shift": shift, **facts}


def fact(entry: Any) -> dict[str, Any]:
    """Take of a decision all but what only production has: a package, and a verdict on the very first model."""
    kept = ("version", "previous_version", "from_version", "window_last_day", "judged_on")
    payload = {name: entry.payload.get(name) for name in kept}
    payload["version"] = payload["version"] if entry.kind != "hold" else None
    verdict = dict(entry.payload.get("verdict") or {})
    if entry.kind == "promotion" and payload["previous_version"] is None:
        verdict = {}
    for name, of in (("rulings", lambda ruling: ruling["reason"]), ("reasons", str)):
        verdict[name] = [each for each in verdict.get(name, ()) if not of(each).startswith("of the refit:")]
    return {"kind": entry.kind, "from": str(entry.effective_day), **payload, "verdict": verdict}


def numbered(lived: Lived) -> Any:
    """Number the versions that served in their order: production counts those that were only judged, too."""
    order = list(dict.fromkeys(each["version"] for each in lived.decided if each["version"] is not None))
    names = {str(version): f"#{order.index(version)}" for version in order}
    text = json.dumps([lived.decided, {str(day): said for day, said in lived.message.items()}])
    text = re.sub(r'(version": )(\d+)', lambda found: f'{found[1]}"{names[found[2]]}"', text)
    text = re.sub(
        r'(versions": \[)([\d, ]+)\]',
        lambda found: f'{found[1]}"{" ".join(names[n] for n in found[2].split(", "))}"]',
        text,
    )
    return json.loads(re.sub(r"(versions? |days?\) and )(\d+)", lambda found: f"{found[1]}{names[found[2]]}", text))


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = [*one, *(name for name in other if name not in one)]
        return [each for name in names for each in differences(one.get(name), other.get(name), f"{where}/{name}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            each for n, pair in enumerate(zip(one, other, strict=True)) for each in differences(*pair, f"{where}/{n}")
        ]
    return [] if one == other else [f"{where}: production {one!r}, backtest {other!r}"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lived, Lived]:
    home = tmp_path_factory.mktemp("both") / "home"
    deliver(home / "data")
    (home / "expectations").mkdir()
    for name, suite in SUITES.items():
        (home / "expectations" / f"{name}.json").write_text(json.dumps({"name": name, "expectations": suite}))
    tables = {name: str(home / "data" / name / "{day}.parquet") for name in ("inputs", "labels")}
    world = World(home, {**PARAMS, "source": {"kind": "files", **tables}})
    (home / "params.yaml").write_text(yaml.safe_dump(world.params))
    return produce(world), replay(world)


def test_the_fortnight_has_all_that_could_come_apart(both: tuple[Lived, Lived]) -> None:
    produced, _ = both
    assert [entry["kind"] for entry in produced.decided] == ["promotion", "promotion", "rollback", "hold"]


def test_every_decision_score_and_verdict_is_the_same(both: tuple[Lived, Lived]) -> None:
    produced, replayed = both
    assert differences(numbered(produced), numbered(replayed)) == []


def test_every_prediction_is_the_same_to_the_last_bit(both: tuple[Lived, Lived]) -> None:
    produced, replayed = both
    assert produced.served.keys() == replayed.served.keys()
    for day, prediction in produced.served.items():
        np.testing.assert_array_equal(prediction, replayed.served[day], err_msg=str(day))
