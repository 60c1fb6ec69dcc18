"""Write the simulations of a backtest as its table, its CSV by day, its page and its picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.adapters.storage import open_objects
from ml.backtest.report_figures import (
    ROLLING_DAYS,
    Outcomes,
    by_day,
    fault_row,
    fault_span,
    flat,
    line,
    policy_row,
)
from ml.backtest.report_words import page_facts, title
from ml.wiring import Services

if TYPE_CHECKING:
    from ml.backtest.backtest import BacktestRequest
    from ml.backtest.runs import Span

CSV, HTML, PNG, FACTS = "days.csv", "backtest.html", "backtest.png", "backtest.json"


def write(
    request: BacktestRequest, span: Span, outcomes: Sequence[Outcomes], *, services: Services, out_dir: Path
) -> dict[str, Any]:
    """Write all of it to ``out_dir``, and return the facts.

    Parameters
    ----------
    outcomes
        By policy: the simulation without the injected faults, then, if there are any, the one with them.
    """
    from ml.views import backtest_report

    settings = services.settings
    reference = request.reference or request.policies[0].name
    spans = [fault_span(text, span.last) for text in request.faults]
    shown = outcomes[-1]
    rows = [
        policy_row(name, outcome, shown[reference] if name != reference else None, spans, settings)
        for name, outcome in shown.items()
    ]
    faults = [fault_row(fault, name, outcomes, settings) for fault in spans for name in shown]
    picture = backtest_report.Picture(
        lines=[line(name, outcome, shown[reference], name == reference, settings) for name, outcome in shown.items()],
        reference=reference,
        metric=settings.gate.metric,
        days=ROLLING_DAYS,
        first_day=request.first,
        last_day=request.last,
        faults=[(fault.name, fault.first_day, fault.last_day) for fault in spans],
    )
    facts: dict[str, Any] = {
        "task": settings.task.name,
        "from": str(request.first),
        "to": str(request.last),
        "history_from": str(span.history),
        "source": span.source,
        "against": reference,
        "metric": settings.gate.metric,
        "injected": [fault.name for fault in spans],
        "policies": rows,
        "faults": faults,
        "report": str(out_dir / HTML),
        "csv": str(out_dir / CSV),
    }
    texts = {
        CSV: by_day(outcomes, settings).to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        FACTS: json.dumps(facts, indent=2, sort_keys=True) + "\n",
        HTML: backtest_report.page(picture, title=title(facts), facts=page_facts(facts, shown, request)),
    }
    folder = open_objects(str(out_dir))
    for name, text in texts.items():
        folder.put_bytes(name, text.encode())
    folder.put_bytes(PNG, backtest_report.png(picture))
    return facts


def log(facts: Mapping[str, Any], *, services: Services, out_dir: Path) -> str:
    """Keep the report as one run of the experiment ``<task>-backtest``; return its id."""
    figures = {
        f"{row['policy']}.{name}": value
        for row in facts["policies"]
        for name, value in flat(row).items()
        if isinstance(value, int | float) and value is not None
    }
    params = {name: json.dumps(facts[name]) for name in ("from", "to", "history_from", "source", "against", "injected")}
    run_id: str = services.tracking.log_report("backtest", params=params, metrics=figures, files=out_dir)
    return run_id
