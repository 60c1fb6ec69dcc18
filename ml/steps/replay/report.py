"""Turn the courses of a backtest into its table, its CSV by day, its page and its picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ml.core import faults as catalogue
from ml.core import replay
from ml.core.metrics import row_loss
from ml.records import Interval
from ml.settings import Settings
from ml.steps.replay.course import Outcome
from ml.wiring import Services

if TYPE_CHECKING:
    from ml.adapters.backtest_report import Line
    from ml.steps.backtest import Asked
    from ml.steps.replay.runs import Span

ROLLING_DAYS = 14
CSV, HTML, PNG, FACTS = "days.csv", "backtest.html", "backtest.png", "backtest.json"
KINDS = ("promoted", "held", "rolled back", "not trained")
Outcomes = Mapping[str, Outcome]


def write(asked: Asked, span: Span, outcomes: Sequence[Outcomes], *, services: Services, place: Path) -> dict[str, Any]:
    """Write all of it to ``place``, and give the facts.

    Parameters
    ----------
    outcomes
        By policy: the course without the injected faults, then, if there are any, the one with them.
    """
    from ml.adapters import backtest_report
    from ml.steps.replay.locks import beside

    settings = services.settings
    reference = asked.reference or asked.policies[0].name
    spans = [_fault_span(text, span.last) for text in asked.faults]
    shown = outcomes[-1]
    rows = [
        _row(name, outcome, shown[reference] if name != reference else None, spans, settings)
        for name, outcome in shown.items()
    ]
    found = [_fault(fault, name, outcomes, settings) for fault in spans for name in shown]
    picture = backtest_report.Picture(
        lines=[_line(name, outcome, shown[reference], name == reference, settings) for name, outcome in shown.items()],
        reference=reference,
        metric=settings.gate.metric,
        days=ROLLING_DAYS,
        first_day=asked.first,
        last_day=asked.last,
        faults=[(fault.name, fault.first_day, fault.last_day) for fault in spans],
    )
    facts: dict[str, Any] = {
        "task": settings.task.name,
        "from": str(asked.first),
        "to": str(asked.last),
        "history_from": str(span.history),
        "source": span.source,
        "against": reference,
        "metric": settings.gate.metric,
        "injected": [fault.name for fault in spans],
        "policies": rows,
        "faults": found,
        "report": str(place / HTML),
        "csv": str(place / CSV),
    }
    texts = {
        CSV: by_day(outcomes, settings).to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        FACTS: json.dumps(facts, indent=2, sort_keys=True) + "\n",
        HTML: backtest_report.page(picture, title=_title(facts), facts=_page(facts, shown, asked)),
    }
    for name, text in texts.items():
        with beside(place / name) as path:
            path.write_text(text, encoding="utf-8", newline="\n")
    with beside(place / PNG) as path:
        path.write_bytes(backtest_report.png(picture))
    return facts


def log(facts: Mapping[str, Any], *, services: Services, place: Path) -> str:
    """Keep the report as one run of the experiment ``<task>-backtest``; give its id."""
    figures = {
        f"{row['policy']}.{name}": value
        for row in facts["policies"]
        for name, value in _flat(row).items()
        if isinstance(value, int | float) and value is not None
    }
    params = {name: json.dumps(facts[name]) for name in ("from", "to", "history_from", "source", "against", "injected")}
    run_id: str = services.tracking.log_report("backtest", params=params, metrics=figures, files=place)
    return run_id


# --- figures ------------------------------------------------------------------------------------------


def _row(
    name: str, outcome: Outcome, reference: Outcome | None, faults: Sequence[replay.Span], settings: Settings
) -> dict[str, Any]:
    days = outcome.days
    alarmed = list(days.loc[days["alarm"], "day"])
    watched = bool(days["drift"].isin(["calm", "drift"]).any())  # a day that was refused says nothing
    episodes = replay.episodes(alarmed)
    false = replay.false_alarms(episodes, faults, window_days=settings.drift.window_days)
    gain = None if reference is None else replay.paired(outcome.scored, reference.scored, settings.gate.metric)
    measured = replay.measured(outcome.scored, settings.task.kind)
    happened = {kind: int(days["event"].str.startswith(kind).sum()) for kind in KINDS}
    return {
        "policy": name,
        "rows": int(outcome.scored["target"].notna().sum()),
        "metrics": {metric: each.model_dump() for metric, each in measured.items()},
        "gain": None if gain is None else Interval(value=gain.gain, low=gain.low, high=gain.high).model_dump(),
        "retrains": happened["promoted"] + happened["held"],
        "promoted": happened["promoted"],
        "held": happened["held"],
        "rolled_back": happened["rolled back"],
        "alarms": len(episodes) if watched else None,
        "false_alarms": len(false) if faults and watched else None,
        "days_refused": int((days["refused"] != "").sum()),
        "fit_seconds": round(float(days["fit_seconds"].sum()), 1),
    }


def _fault_span(text: str, last: date) -> replay.Span:
    fault = catalogue.parse(text)
    return replay.Span(fault.text, fault.first_day, min(fault.last_day or last, last))


def _fault(fault: replay.Span, name: str, outcomes: Sequence[Outcomes], settings: Settings) -> dict[str, Any]:
    clean, faulty = outcomes[0][name], outcomes[-1][name]
    found = replay.discovered(fault, _noticed(clean.days, faulty.days), window_days=settings.drift.window_days)
    edges = fault.first_day.isoformat(), fault.last_day.isoformat()
    own, other = (each.scored.loc[each.scored["day"].between(*edges)] for each in (faulty, clean))
    cost = replay.cost(own, other, settings.gate.metric)
    return {
        "fault": fault.name,
        "policy": name,
        "found_on": None if found.day is None else str(found.day),
        "days_to_find": found.days_to_find,
        "by": found.by,
        "cost": None if cost is None else cost.loss.model_dump(),
        "unscored_rows": cost.unscored if cost else len(other),
    }


def _noticed(clean: pd.DataFrame, faulty: pd.DataFrame) -> dict[str, list[date]]:
    """Name the days on which only the run with faults noticed something, strongest first.

    An alarm that both raise counts where a finding behind it is new.
    """
    both = faulty.merge(clean, on="day", suffixes=("", "_clean"))
    news = [set(now.split()) - set(before.split()) for now, before in both[["signs", "signs_clean"]].to_numpy()]
    louder = pd.Series([any(sign.startswith("alarm") for sign in new) for new in news], index=both.index, dtype=bool)
    refused = (both["refused"] != "") & (both["refused_clean"] == "")
    aside = both["quarantined"] > both["quarantined_clean"]
    return {
        "contract": list(both.loc[refused | aside, "day"]),
        "alarm": list(both.loc[both["alarm"] & (~both["alarm_clean"] | louder), "day"]),
        "warning": list(both.loc[[bool(new) for new in news], "day"]),
    }


def by_day(outcomes: Sequence[Outcomes], settings: Settings) -> pd.DataFrame:
    """Give each day of each policy: what was served, how that did, what monitoring said and what was done.

    Returns
    -------
    DataFrame of shape (n_days × n_policies × n_worlds, n_columns)
        The same whenever it is asked for: no times of a clock are in it.
    """
    metric, parts = settings.gate.metric, []
    for world, by_policy in zip(("as it was", "with faults"), outcomes, strict=False):
        for name, outcome in by_policy.items():
            known = outcome.scored.loc[outcome.scored["target"].notna()]
            loss = row_loss(known["target"], known["prediction"], metric)
            grouped = known.assign(loss=loss).groupby("day")
            found = pd.DataFrame(
                {
                    "labelled_rows": grouped.size(),
                    metric: replay.in_its_unit(grouped["loss"].mean(), metric),
                    "mean_prediction": grouped["prediction"].mean(),
                    "mean_target": grouped["target"].mean(),
                }
            )
            days = outcome.days.assign(day=outcome.days["day"].astype(str)).drop(columns="fit_seconds")
            joined = days.merge(found, left_on="day", right_index=True, how="left")
            parts.append(joined.assign(policy=name, world=world))
    table = pd.concat(parts, ignore_index=True)
    first = ["world", "policy", "day"]
    table["version"] = table["version"].astype("Int64")
    return table[[*first, *(column for column in table if column not in first)]]


def _line(name: str, outcome: Outcome, reference: Outcome, is_reference: bool, settings: Settings) -> Line:
    from ml.adapters.backtest_report import Line

    loss = replay.rolling(outcome.scored, settings.gate.metric, days=ROLLING_DAYS)
    other = replay.rolling(reference.scored, settings.gate.metric, days=ROLLING_DAYS)
    days = outcome.days
    events = {kind: list(days.loc[days["event"].str.startswith(kind), "day"]) for kind in KINDS}
    return Line(
        name=name,
        loss=loss,
        gain=None if is_reference else other - loss,
        events=events,
        alarms=[(each.first_day, each.last_day) for each in replay.episodes(list(days.loc[days["alarm"], "day"]))],
        refused=list(days.loc[days["refused"] != "", "day"]),
    )


# --- words --------------------------------------------------------------------------------------------


def _title(facts: Mapping[str, Any]) -> str:
    return f"Backtest of {facts['task']}, {facts['from']} to {facts['to']}"


def _page(facts: Mapping[str, Any], shown: Outcomes, asked: Asked) -> dict[str, Any]:
    return {
        "lead": (
            f"What each policy would have done from {facts['from']} to {facts['to']}, day by day, with history from "
            f"{facts['history_from']} on. All start from the same model. Gains are over “{facts['against']}”, on the "
            f"same rows, in {_unit(facts)}; intervals are 95 %, with weeks as the units of chance."
        ),
        "table": {"head": _head(facts), "rows": [_cells(row, facts) for row in facts["policies"]]},
        "notes": _notes(asked),
        "faults": {"head": _fault_head(facts), "rows": [_fault_cells(row) for row in facts["faults"]]},
        "story": [(name, _story(outcome.days)) for name, outcome in shown.items()],
    }


def _story(days: pd.DataFrame) -> list[tuple[str, str]]:
    told = []
    for day, refused, event, reason in days[["day", "refused", "event", "reason"]].itertuples(index=False):
        said = [refused and f"refused: {refused}", event and f"{event} (asked for: {reason})"]
        told += [(str(day), text) for text in said if text]
    return told


def _notes(asked: Asked) -> list[str]:
    ungated = [policy.name for policy in asked.policies if not policy.replayed.gate]
    unwatched = [policy.name for policy in asked.policies if not policy.replayed.monitor]
    notes = []
    if ungated:
        notes.append(f"Without a gate, as schedules do it: {', '.join(ungated)} serve every new fit, on all days.")
    if unwatched:
        notes.append(f"Without monitoring, so nobody can be alarmed: {', '.join(unwatched)}.")
    if not asked.faults:
        notes.append("Nothing was injected: whether an alarm was false nobody can say of real days.")
    return notes


METRIC_WORDS = {"log_loss": "log loss", "roc_auc": "AUC", "brier": "Brier", "rmse": "RMSE", "mae": "MAE", "r2": "R²"}
COUNTS = ("retrains", "promoted", "held", "rolled_back", "alarms", "false_alarms", "days_refused", "fit_seconds")
FAULT_HEAD = ("fault", "policy", "found on", "days", "by", "cost in {}", "rows not scored")


def _head(facts: Mapping[str, Any]) -> list[str]:
    metrics = [METRIC_WORDS[name] for name in facts["policies"][0]["metrics"]]
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
    return str(METRIC_WORDS.get(facts["metric"], facts["metric"]))


def _cells(row: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    metrics = [_interval(each, signed=False) for each in row["metrics"].values()]
    gain = "" if row["gain"] is None else _interval(row["gain"], signed=True)
    return [row["policy"], *metrics, gain, *("–" if row[name] is None else str(row[name]) for name in COUNTS)]


def _fault_cells(row: Mapping[str, Any]) -> list[str]:
    found = [row["found_on"] or "never", "–" if row["days_to_find"] is None else str(row["days_to_find"]), row["by"]]
    cost = "–" if row["cost"] is None else _interval(row["cost"], signed=True)
    return [row["fault"], row["policy"], *found, cost, str(row["unscored_rows"])]


def _interval(found: Mapping[str, float | None], *, signed: bool) -> str:
    form = "+.4f" if signed else ".4f"
    value, low, high = (found[name] for name in ("value", "low", "high"))
    if low is None or high is None:
        return format(value, form)
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def say(facts: Mapping[str, Any]) -> str:
    """Lay the facts out for a terminal."""
    from tabulate import tabulate

    parts = [_title(facts), ""]
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


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give the figures of a row under one name each."""
    flat = {name: row[name] for name in COUNTS if row[name] is not None}
    flat |= {name: each["value"] for name, each in row["metrics"].items()}
    return flat | ({"gain": row["gain"]["value"]} if row["gain"] else {})
