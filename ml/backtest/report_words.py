"""Put the figures of a backtest into tables and sentences, for its page and for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from ml.backtest.report_figures import COUNTS, Outcomes
from ml.core.metrics import short_label

if TYPE_CHECKING:
    from ml.backtest.backtest import BacktestRequest


def title(facts: Mapping[str, Any]) -> str:
    """Return the title of the page and of the text."""
    return f"Backtest of {facts['task']}, {facts['from']} to {facts['to']}"


def page_facts(facts: Mapping[str, Any], shown: Outcomes, request: BacktestRequest) -> dict[str, Any]:
    """Return all that the page shows, in words: lead, tables, notes and the story of each policy."""
    return {
        "lead": (
            f"What each policy would have done from {facts['from']} to {facts['to']}, day by day, with history from "
            f"{facts['history_from']} on. All start from the same model. Gains are over “{facts['against']}”, on the "
            f"same rows, in {_unit(facts)}; intervals are 95 %, with weeks as the resampling units."
        ),
        "table": {"head": _head(facts), "rows": [_cells(row, facts) for row in facts["policies"]]},
        "notes": _notes(request),
        "faults": {"head": _fault_head(facts), "rows": [_fault_cells(row) for row in facts["faults"]]},
        "story": [(name, _story(outcome.days)) for name, outcome in shown.items()],
    }


def _story(days: pd.DataFrame) -> list[tuple[str, str]]:
    events = []
    for day, rejected, event, reason in days[["day", "rejected", "event", "reason"]].itertuples(index=False):
        sentences = [rejected and f"refused: {rejected}", event and f"{event} (requested: {reason})"]
        events += [(str(day), text) for text in sentences if text]
    return events


def _notes(request: BacktestRequest) -> list[str]:
    ungated = [policy.name for policy in request.policies if not policy.replayed.gate]
    unwatched = [policy.name for policy in request.policies if not policy.replayed.monitor]
    notes = []
    if ungated:
        notes.append(f"Without a gate, as schedules do it: {', '.join(ungated)} serve every new fit, on all days.")
    if unwatched:
        notes.append(f"Without monitoring, so nobody can be alarmed: {', '.join(unwatched)}.")
    if not request.faults:
        notes.append("Nothing was injected: whether an alarm was false nobody can say of real days.")
    return notes


FAULT_HEAD = ("fault", "policy", "found on", "days", "by", "cost in {}", "rows not scored")


def _head(facts: Mapping[str, Any]) -> list[str]:
    metrics = [short_label(name) for name in facts["policies"][0]["metrics"]]
    return [
        "policy",
        *metrics,
        f"gain over {facts['against']} ({_unit(facts)})",
        *(name.replace("_", " ") for name in COUNTS),
    ]


def _fault_head(facts: Mapping[str, Any]) -> list[str]:
    return [name.format(_unit(facts)) for name in FAULT_HEAD]


def _unit(facts: Mapping[str, Any]) -> str:
    """Name the metric in whose unit gains and costs are."""
    return short_label(facts["metric"])


def _cells(row: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    metrics = [_interval(value, signed=False) for value in row["metrics"].values()]
    gain = "" if row["gain"] is None else _interval(row["gain"], signed=True)
    return [row["policy"], *metrics, gain, *("–" if row[name] is None else str(row[name]) for name in COUNTS)]


def _fault_cells(row: Mapping[str, Any]) -> list[str]:
    discovery = [
        row["found_on"] or "never",
        "–" if row["days_to_find"] is None else str(row["days_to_find"]),
        row["by"],
    ]
    cost = "–" if row["cost"] is None else _interval(row["cost"], signed=True)
    return [row["fault"], row["policy"], *discovery, cost, str(row["unscored_rows"])]


def _interval(interval: Mapping[str, float | None], *, signed: bool) -> str:
    form = "+.4f" if signed else ".4f"
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    if low is None or high is None:
        return format(value, form)
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def as_text(facts: Mapping[str, Any]) -> str:
    """Lay the facts out for a terminal."""
    from tabulate import tabulate

    parts = [title(facts), ""]
    parts.append(
        tabulate([_cells(row, facts) for row in facts["policies"]], headers=_head(facts), disable_numparse=True)
    )
    if facts["faults"]:
        parts += [
            "",
            tabulate([_fault_cells(row) for row in facts["faults"]], headers=_fault_head(facts), disable_numparse=True),
        ]
    parts += ["", f"report: {facts['report']}", f"by day: {facts['csv']}"]
    return "\n".join(parts)
