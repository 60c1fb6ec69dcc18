"""Try a model once without Airflow: land its history, validate, train and judge, and say what to do next.

What is landed stays: ``make up`` goes on from there. Nothing is registered, and nobody serves.
"""

from __future__ import annotations

import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ml.command_line import worded
from ml.errors import EvergreenError
from ml.records import Judgement, RetrainRequest
from ml.settings import Environment, load_model
from ml.steps.ingest import seed
from ml.wiring import Services

REJECTED_SHOWN = 5
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
    landed = seed.run(first, last, settings=settings, services=services)
    seconds = time.monotonic() - clock
    with tempfile.TemporaryDirectory() as folder:
        judgement, measured = _judge(folder, services)
    trained = time.monotonic() - clock - seconds
    return {
        "model": model,
        "landed": landed,
        "decision": judgement.verdict.decision,
        **measured,
        "lines": _lines(model, landed, judgement, measured, settings.gate.metric, seconds, trained),
    }


def _judge(folder: str, services: Services) -> tuple[Judgement, dict[str, Any]]:
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
    return judgement, {"metrics": evaluation.challenger, "base_rate": evaluation.base_rate}


def _lines(
    model: str,
    landed: dict[str, Any],
    judgement: Judgement,
    measured: dict[str, Any],
    metric: str,
    seconds: float,
    trained: float,
) -> list[str]:
    rejected = landed["rejected"]
    lines = [
        f"landed: {landed['days']} days / {int(landed['rows']):,} rows until {landed['last_day']} ({seconds:.0f} s)",
        *(f"  rejected: {name}" for name in rejected[:REJECTED_SHOWN]),
    ]
    if len(rejected) > REJECTED_SHOWN:
        lines.append(f"  and {len(rejected) - REJECTED_SHOWN} more: see the reports that are named above")
    own, base = measured["metrics"][metric], measured["base_rate"][metric]
    lines.append(f"holdout: {metric} {own:.4g}, the base rate has {base:.4g} ({trained:.0f} s)")
    marks = {True: "passed", False: "failed", None: "no evidence"}
    lines += [f"  {ruling.rule}: {marks[ruling.passed]}: {ruling.reason}" for ruling in judgement.verdict.rulings]
    if judgement.verdict.decision == "promote":
        return [*lines, "the gate would let it serve; next:", f"  make up MODEL={model}"]
    return [*lines, "the gate would hold it: correct what failed in params.yaml, or the data, and check again"]
