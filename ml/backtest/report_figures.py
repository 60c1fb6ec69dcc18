"""Compute the figures of a backtest: a row by policy, a row by fault, the table by day and the lines of the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

from ml.backtest import fault_measures, measures
from ml.backtest import faults as catalogue
from ml.backtest.outcome import Outcome
from ml.core.metrics import row_loss
from ml.core.predictions import array, representative
from ml.records import Interval
from ml.settings import Settings

if TYPE_CHECKING:
    from ml.views.backtest_report import Line


ROLLING_DAYS = 14
KINDS = ("promoted", "held", "rolled back", "not trained")


Outcomes = Mapping[str, Outcome]


def policy_row(
    name: str, outcome: Outcome, reference: Outcome | None, faults: Sequence[fault_measures.Span], settings: Settings
) -> dict[str, Any]:
    """Compute the row of a policy: its metrics, its gain over the reference, and how often what happened."""
    days = outcome.days
    alarmed = list(days.loc[days["alarm"], "day"])
    watched = bool(days["drift"].isin(["calm", "drift"]).any())  # a day that was refused says nothing
    episodes = fault_measures.episodes(alarmed)
    false = fault_measures.false_alarms(episodes, faults, window_days=settings.drift.window_days)
    gain = None if reference is None else measures.paired(outcome.scored, reference.scored, settings.gate.metric)
    measured = measures.measured(outcome.scored, settings.task.kind, quantile=settings.task.quantile)
    happened = {kind: int(days["event"].str.startswith(kind).sum()) for kind in KINDS}
    return {
        "policy": name,
        "rows": int(outcome.scored["target"].notna().sum()),
        "metrics": {metric: interval.model_dump() for metric, interval in measured.items()},
        "gain": None if gain is None else Interval(value=gain.gain, low=gain.low, high=gain.high).model_dump(),
        "retrains": happened["promoted"] + happened["held"],
        "promoted": happened["promoted"],
        "held": happened["held"],
        "rolled_back": happened["rolled back"],
        "alarms": len(episodes) if watched else None,
        "false_alarms": len(false) if faults and watched else None,
        "days_rejected": int((days["rejected"] != "").sum()),
        "fit_seconds": round(float(days["fit_seconds"].sum()), 1),
    }


def fault_span(text: str, last: date) -> fault_measures.Span:
    """Return the days of a fault that is written as on the command line; one without an end lasts to ``last``."""
    fault = catalogue.parse(text)
    return fault_measures.Span(fault.text, fault.first_day, min(fault.last_day or last, last))


def fault_row(
    fault: fault_measures.Span, name: str, outcomes: Sequence[Outcomes], settings: Settings
) -> dict[str, Any]:
    """Compute the row of a fault under a policy: when it was found, by what, and what it cost."""
    clean, faulty = outcomes[0][name], outcomes[-1][name]
    discovery = fault_measures.discovered(
        fault, _days_noticed(clean.days, faulty.days), window_days=settings.drift.window_days
    )
    edges = fault.first_day.isoformat(), fault.last_day.isoformat()
    own, other = (outcome.scored.loc[outcome.scored["day"].between(*edges)] for outcome in (faulty, clean))
    cost = fault_measures.cost(own, other, settings.gate.metric)
    return {
        "fault": fault.name,
        "policy": name,
        "found_on": None if discovery.day is None else str(discovery.day),
        "days_to_find": discovery.days_to_find,
        "by": discovery.by,
        "cost": None if cost is None else cost.loss.model_dump(),
        "unscored_rows": cost.unscored if cost else len(other),
    }


def _days_noticed(clean: pd.DataFrame, faulty: pd.DataFrame) -> dict[str, list[date]]:
    """Name the days on which only the run with faults noticed something, strongest first.

    An alarm that both raise counts where a finding behind it is new.
    """
    both = faulty.merge(clean, on="day", suffixes=("", "_clean"))
    news = [
        set(now.split()) - set(before.split())
        for now, before in both[["alarm_conditions", "alarm_conditions_clean"]].to_numpy()
    ]
    louder = pd.Series(
        [any(condition.startswith("alarm") for condition in new) for new in news], index=both.index, dtype=bool
    )
    rejected = (both["rejected"] != "") & (both["rejected_clean"] == "")
    aside = both["quarantined"] > both["quarantined_clean"]
    return {
        "contract": list(both.loc[rejected | aside, "day"]),
        "alarm": list(both.loc[both["alarm"] & (~both["alarm_clean"] | louder), "day"]),
        "warning": list(both.loc[[bool(new) for new in news], "day"]),
    }


def by_day(outcomes: Sequence[Outcomes], settings: Settings) -> pd.DataFrame:
    """Return each day of each policy: what was served, how that did, what monitoring said and what was done.

    Returns
    -------
    DataFrame of shape (n_days × n_policies × n_worlds, n_columns)
        The same whenever it is asked for: no times of a clock are in it.
    """
    metric, parts = settings.gate.metric, []
    for dataset, by_policy in zip(("as it was", "with faults"), outcomes, strict=False):
        for name, outcome in by_policy.items():
            labelled = outcome.scored.loc[outcome.scored["target"].notna()]
            loss = row_loss(labelled["target"], labelled["prediction"], metric)
            predicted = representative(array(labelled["prediction"]))
            grouped = labelled.assign(loss=loss, prediction=predicted).groupby("day")
            measured = pd.DataFrame(
                {
                    "labelled_rows": grouped.size(),
                    metric: measures.in_its_unit(grouped["loss"].mean(), metric),
                    "mean_prediction": grouped["prediction"].mean(),
                    "mean_target": grouped["target"].mean(),
                }
            )
            days = outcome.days.assign(day=outcome.days["day"].astype(str)).drop(columns="fit_seconds")
            joined = days.merge(measured, left_on="day", right_index=True, how="left")
            parts.append(joined.assign(policy=name, dataset=dataset))
    table = pd.concat(parts, ignore_index=True)
    first = ["dataset", "policy", "day"]
    table["version"] = table["version"].astype("Int64")
    return table[[*first, *(column for column in table if column not in first)]]


def line(name: str, outcome: Outcome, reference: Outcome, is_reference: bool, settings: Settings) -> Line:
    """Compute what the picture draws of a policy: rolling loss, gain, events, alarms and rejected days."""
    from ml.views.backtest_report import Line

    loss = measures.rolling(outcome.scored, settings.gate.metric, days=ROLLING_DAYS)
    other = measures.rolling(reference.scored, settings.gate.metric, days=ROLLING_DAYS)
    days = outcome.days
    events = {kind: list(days.loc[days["event"].str.startswith(kind), "day"]) for kind in KINDS}
    return Line(
        name=name,
        loss=loss,
        gain=None if is_reference else other - loss,
        events=events,
        alarms=[
            (episode.first_day, episode.last_day)
            for episode in fault_measures.episodes(list(days.loc[days["alarm"], "day"]))
        ],
        rejected=list(days.loc[days["rejected"] != "", "day"]),
    )


COUNTS = ("retrains", "promoted", "held", "rolled_back", "alarms", "false_alarms", "days_rejected", "fit_seconds")


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a row under one name each."""
    flat = {name: row[name] for name in COUNTS if row[name] is not None}
    flat |= {name: interval["value"] for name, interval in row["metrics"].items()}
    return flat | ({"gain": row["gain"]["value"]} if row["gain"] else {})
