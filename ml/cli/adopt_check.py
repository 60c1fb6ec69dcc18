"""Try a model once without Airflow: land its history, validate, train and judge, and say what to do next.

What is landed stays: ``make up`` goes on from there. Nothing is registered, and nobody serves. The newest week, or two
days with data where these come more seldom, is not landed where the history is long enough without it, so that
``evergreen replay`` has days to live through, up to the newest that the source has; ``make up`` lands it.
"""

from __future__ import annotations

import json
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from ml.adapters.rows import count_rows
from ml.adapters.workspace import Workspace
from ml.command_line import worded
from ml.core.gate.refit import agreement, conclude, difference
from ml.core.training.estimators import of_sample, predict
from ml.errors import DataRejected, EmptyDelivery, EvergreenError, MissingArtifact
from ml.records import RetrainRequest, Verdict
from ml.settings import Environment, Settings, load_model
from ml.steps.ingest import seed
from ml.steps.retrain.pipelines import fit_pipeline
from ml.steps.retrain.search_result import tuned_settings
from ml.wiring import Services

REJECTED_SHOWN = 5
WEEK, LEAST_DELIVERIES = 7, 2
"""A replay gets a week, or the calendar days that hold so many days with data if these come more seldom."""
SPARE_DAYS = 14
"""They are left to it if the history has so many days with data more than a first model needs."""
REQUEST = RetrainRequest(requested_by="evergreen adopt --check", reasons=("to see whether it works",))


def run(model: str) -> dict[str, Any]:
    """Land ``land.history_days``, and run the stages of ``dvc.yaml`` in a folder that is thrown away.

    Returns
    -------
    dict
        ``model``, ``landed``, ``decision``, ``metrics``, ``base_rate`` and ``lines`` for people.

    Raises
    ------
    EvergreenError
        If the history could not be landed, or a stage failed; the message says what to do.
    """
    environment = Environment.load(model=model)
    settings = load_model(environment)
    services = Services(settings, environment)
    clock = time.monotonic()
    last = settings.newest_due_day(datetime.now(UTC)) - timedelta(days=1)
    first = last - timedelta(days=settings.land.history_days - 1)
    left = days_to_replay(settings)
    end = newest_delivered(services, last, days=left)
    until = end - timedelta(days=left)
    landed = seed.run(first, until, settings=settings, services=services)
    seconds = time.monotonic() - clock
    with tempfile.TemporaryDirectory() as folder:
        verdict, measured = _judge(folder, services)
    trained = time.monotonic() - clock - seconds
    return {
        "model": model,
        "landed": landed,
        "decision": verdict.decision,
        **measured,
        "lines": [
            *_lines(landed, verdict, measured, settings.gate.metric, seconds, trained),
            *_next(model, verdict, max(services.registry.days("inputs")) if left else end, end),
        ],
    }


def days_to_replay(settings: Settings) -> int:
    """Return how many of the newest calendar days are not landed, so that a replay meets data; 0 of a short history."""
    land = settings.land
    step = land.empty_in_a_row + 1 if land.empty_in_a_row >= WEEK else land.every_days
    days = (land.history_days - settings.task.label_delay_days) // step
    return max(WEEK, LEAST_DELIVERIES * step) if days >= settings.pull.min_days + SPARE_DAYS else 0


def newest_delivered(services: Services, last: date, *, days: int) -> date:
    """Return the newest of the ``days`` days up to ``last`` that the source has; ``last`` if it has none of them."""
    for day in (last - timedelta(days=back) for back in range(days)):
        try:
            if _has_rows(services, day):
                return day
        except DataRejected as err:  # it was delivered, if not as it should be
            if not isinstance(err, EmptyDelivery):
                return day
        except MissingArtifact:
            continue
    return last


def _has_rows(services: Services, day: date) -> bool:
    from ml.adapters.sources import LargeSource

    source = services.source
    if not isinstance(source, LargeSource):
        return len(source.inputs(day)) > 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inputs.parquet"
        source.write("inputs", day, path, rows_at_once=services.settings.screen.rows_at_once)
        return count_rows(path) > 0


def _judge(folder: str, services: Services) -> tuple[Verdict, dict[str, Any]]:
    from ml.steps.retrain import check, evaluate, fit, gate, pull, split, tune, validate

    settings = services.settings
    window = pull.run(REQUEST, settings=settings, services=services, workspace=folder)
    for step in (validate, split, tune, fit):
        step.run(window, settings=settings, services=services)
    evaluation = evaluate.run(window, settings=settings, services=services)
    check.run(window, settings=settings, services=services)
    judgement = gate.run(window, settings=settings, services=services)
    verdict = json.loads((Path(folder) / "verdict.json").read_text(encoding="utf-8"))
    if not verdict["rulings"]:
        raise EvergreenError(worded("the gate judged nothing; name rules under gate.rules"))
    concluded = _with_refit(judgement.verdict, services.workspace(window.workspace), settings)
    return concluded, {"metrics": evaluation.challenger, "base_rate": evaluation.base_rate}


def _with_refit(judged: Verdict, run_dir: Workspace, settings: Settings) -> Verdict:
    """Fit a winner again on the whole window, as before a promotion, and judge whether that predicts the same.

    A model that learns from a stream of rows is not fitted again here.
    """
    if judged.decision != "promote" or settings.retrain.refit == "never" or settings.fit.stream:
        return judged
    task = settings.task
    rows, before = of_sample(run_dir.read_table("model/sample.parquet"))
    whole = pd.concat([run_dir.read_table(f"parts/{part}.parquet") for part in ("train", "holdout")], ignore_index=True)
    pipeline = fit_pipeline(whole, tuned_settings(run_dir, settings))
    apart = difference(before, predict(pipeline, rows, task.kind, len(task.classes)), task.kind)
    return conclude(judged, [agreement(apart, settings.retrain.refit_max_difference)])


def _lines(
    landed: dict[str, Any],
    verdict: Verdict,
    measured: dict[str, Any],
    metric: str,
    seconds: float,
    trained: float,
) -> list[str]:
    rejected = landed["rejected"]
    rows = int(landed["rows"])
    new = f"{rows:,} rows" if rows else "nothing new"
    lines = [
        f"landed: {landed['days']} days / {new} until {landed['last_day']} ({seconds:.0f} s)",
        *(f"  rejected: {name}" for name in rejected[:REJECTED_SHOWN]),
    ]
    if len(rejected) > REJECTED_SHOWN:
        lines.append(f"  and {len(rejected) - REJECTED_SHOWN} more: see the reports that are named above")
    own, base = measured["metrics"][metric], measured["base_rate"][metric]
    lines.append(f"holdout: {metric} {own:.4g}, the base rate has {base:.4g} ({trained:.0f} s)")
    marks = {True: "passed", False: "failed", None: "no evidence"}
    lines += [f"  {ruling.rule}: {marks[ruling.passed]}: {ruling.reason}" for ruling in verdict.rulings]
    return lines


def _next(model: str, verdict: Verdict, newest: date, last: date) -> list[str]:
    """Say whether the model would serve, and what comes next: a replay of the days after ``newest``, if there are."""
    if verdict.decision != "promote":
        return ["the gate would hold it: correct what failed in params.yaml, or the data, and check again"]
    lines = ["the gate would let it serve; next:", f"  make up MODEL={model}"]
    if (days := (last - newest).days) > 0:
        until = f"the {days} days after {newest}, which are not landed yet"
        lines.append(f"  evergreen replay --model {model} --days {days}   # or without Airflow: live through {until}")
    return lines
