"""Write the sections of ``params.yaml`` from what a sample and validation show, each value with its reason."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ml.core.adoption import leaks, limits, replays
from ml.core.adoption.amounts import amount
from ml.core.adoption.columns import says_the_same
from ml.core.adoption.day_gaps import measure_gaps
from ml.core.adoption.facts import Facts
from ml.core.adoption.gate_rules import gate_rows, gate_rules, slice_columns
from ml.core.adoption.holdouts import Holdout, history_days, least_days, past_refreshes
from ml.core.adoption.origins import Location, Section, source_of, types_of
from ml.core.adoption.recipes import Validated, newest_rows
from ml.core.adoption.spread import spread_of
from ml.core.data.time_parts import part_name
from ml.core.gate.expected_loss import LEAST_REFRESHES
from ml.core.monitoring.roles import propose
from ml.core.training.lagged_means import add_history, history_names
from ml.names import MONITORED
from ml.settings import Drift, Task

FORTNIGHT, LEAST_NEW_DAYS = 14, 2
COMPARED_DAYS, COMPARED_LABELS = 8, 16
"""A day, and its labels, are compared with so many before it where data come every so many days."""


def input_columns(seen: Facts) -> list[str]:
    """Return the columns of inputs: the day, the time, the key and the features."""
    named = ["day", seen.time.name, *seen.key.columns, *seen.columns.categories, *seen.columns.numeric]
    return list(dict.fromkeys(named))


def sections_of(
    seen: Facts,
    task: Task,
    location: Location,
    best: Validated,
    holdout: Holdout,
    period: replays.Period | None,
) -> dict[str, Section]:
    """Return the sections of ``params.yaml`` by name."""
    spread = spread_of(best)
    grain, features = seen.grain, best.recipe.features
    rows_per_day = max(grain.rows_per_day, 1.0)
    parts = [part_name(seen.time.name, part) for part in seen.parts]
    columns = [column for column in input_columns(seen) if column not in parts]
    available = period.days_before if period else grain.calendar_days
    days = max(history_days(available, grain), holdout.days + 2)
    sliced, slice_rows = slice_columns(
        seen.labelled,
        [*seen.columns.texts, *seen.columns.pairs, *seen.columns.few],
        days=holdout.days, rows_per_day=rows_per_day,
    )  # fmt: skip
    strongest = _strongest(seen, task, best, holdout.days)
    sections: dict[str, Section] = {"task": _task(seen, task, best)}
    source = source_of(seen, task, location, columns, parts)
    if period:
        source["replay"] = (
            {"from": period.first_day.isoformat(), "to": period.last_day.isoformat()},  # DVC takes no dates
            (
                f"the data end on {grain.last_day}: this period is served as if it were now, {period.days_before} days "
                "of it as history; remove it when data of today come"
            ),
        )
    sections["source"] = source
    gaps = measure_gaps(seen.table["day"])
    sections["land"] = {
        "history_days": (days, "landed at the start" + ("" if days == available else f"; {available} days are there")),
        "calendar": ("learned", f"{grain.days} of {grain.calendar_days} days have rows"),
    }
    if gaps.every_days > 1:
        sections["land"]["every_days"] = (gaps.every_days, gaps.reason)
    elif gaps.empty_days:
        sections["land"]["empty_days"] = (gaps.empty_days, f"in a row are no error: {gaps.reason}")
    if (types := types_of(seen, task, location, columns)) is not None:
        sections["types"] = types
    ratio, reason = limits.row_count_ratio(seen.table["day"])
    share = max(0.05, round(min(0.2, 3 / rows_per_day), 2))
    if seen.key.repeated + seen.key.nulls > share / 3:
        share = round(min(0.5, 3 * (seen.key.repeated + seen.key.nulls)), 2)
    sections["screen"] = {
        "max_quarantined_share": (share, f"a day has about {amount(rows_per_day, 'row')}"),
        "row_count_ratio": (list(ratio), reason),
    }
    if gaps.every_days > 1:
        recent = COMPARED_DAYS * gaps.every_days
        sections["screen"]["recent_days"] = (recent, f"hold {COMPARED_DAYS} days with rows")
        recent = COMPARED_LABELS * gaps.every_days
        sections["labels"] = {
            "recent_days": (recent, f"hold {COMPARED_LABELS} days with labels, to judge those of a day by")
        }
    labelled_days = round((days - task.label_delay_days) * grain.share_of_days)
    least = min(least_days(holdout.days), max(labelled_days, holdout.days + 1))
    sections["pull"] = {"min_days": (least, "the holdout, and at least three weeks to learn from")}
    sections["split"] = {"holdout_days": (holdout.days, holdout.reason)}
    sections["features"] = _features(best)
    is_own = best.recipe.fit.estimator.startswith("sklearn.")
    chosen = f"{best.recipe.name}: chosen by time-ordered validation, see below"
    fit: Section = {
        "estimator": (best.recipe.fit.estimator, chosen if is_own else f"{chosen}; 'make boosting' installs it"),
        "args": (dict(best.recipe.fit.args), ""),
        "encoding": (best.recipe.fit.encoding, ""),
    }
    sections["fit"] = fit
    past = past_refreshes(labelled_days, holdout.days)
    rules = gate_rules(
        best, spread, holdout,
        strongest=strongest, slices=sliced, slice_rows=slice_rows, learns=past >= LEAST_REFRESHES,
    )  # fmt: skip
    minimum = gate_rows(rows_per_day, holdout.days)
    sections["gate"] = {
        "metric": ("rmse" if task.kind == "regression" else "log_loss", ""),
        "min_days": (min(7, holdout.days), ""),
        "min_rows": (minimum, f"the holdout usually has about {rows_per_day * holdout.days:g}"),
        "rules": (rules, ""),
    }
    used = [*features.categorical, *features.numeric, *features.spline]
    sections["drift"] = _drift(seen, features_columns=used, counts_days_with_rows=gaps.every_days > 1)
    sections["performance"] = dict(limits.performance_limits(best, spread, holdout))
    sections["retrain"] = {
        "on_past_gain": (True, "a challenger is tried sooner where newer data are expected to gain, by its own past"),
        "max_age_days": _max_age(grain.days_apart),
        "refit": ("after_gate", "the winner learns from the holdout too before it serves"),
    }
    return sections


def _max_age(days_apart: int) -> tuple[int, str]:
    """Return ``retrain.max_age_days``: a fortnight, or so long that two more days with rows have come."""
    if LEAST_NEW_DAYS * days_apart <= FORTNIGHT:
        return FORTNIGHT, "a challenger on newer data is tried at least every fortnight"
    reason = f"rows come every {days_apart} days or so: a challenger is tried once {LEAST_NEW_DAYS} such days are new"
    return LEAST_NEW_DAYS * days_apart, reason


def _strongest(seen: Facts, task: Task, best: Validated, days: int) -> tuple[str, float]:
    """Return the feature that explains most alone in any block of a holdout's length, and how much."""
    features = best.recipe.features
    rows = newest_rows(seen.labelled)
    lagged = features.history
    if lagged:
        rows = add_history(
            rows, rows, lagged, target=task.target, label_delay_days=task.label_delay_days, classes=task.classes
        )
    columns = [*features.categorical, *features.numeric, *features.spline, *history_names(lagged)]
    return leaks.strongest_of_blocks(
        rows, columns, target=task.target, kind=task.kind, classes=len(task.classes), days=days
    )


def _task(seen: Facts, task: Task, best: Validated) -> Section:
    section: Section = {
        "name": (task.name, ""),
        "kind": (task.kind, seen.target.reason),
        "target": (task.target, ""),
    }
    if task.positive is not None:
        section["positive"] = (task.positive, "")
    if task.negative is not None:
        section["negative"] = (task.negative, "any other label is rejected")
    if task.classes:
        section["classes"] = (list(task.classes), "any other label is rejected")
    section["key"] = (list(task.key), seen.key.reason)
    section["label_delay_days"] = (task.label_delay_days, seen.delay.reason)
    section["timezone"] = (task.timezone, "as you say" if seen.answers.timezone else "nobody said another one")
    if task.kind == "classification":
        section["threshold"] = limits.decision_threshold(best)
    return section


def _features(best: Validated) -> Section:
    features = best.recipe.features
    section: Section = {}
    for name in ("categorical", "numeric", "spline"):
        if values := list(getattr(features, name)):
            section[name] = (values, "")
    if features.history:
        lagged = [
            {
                "by": list(item.by),
                "days": list(item.days),
                **({"of": item.of} if item.of is not None else {}),
                **({"prior_rows": item.prior_rows} if item.by else {}),
            }
            for item in features.history
        ]
        section["history"] = (lagged, "lagged target means: they helped in validation")
    section["min_category_rows"] = (features.min_category_rows, "")
    return section


def _drift(seen: Facts, *, features_columns: Sequence[str], counts_days_with_rows: bool) -> Section:
    used = {*seen.columns.categories, *seen.columns.numeric}
    watched = [column for column in seen.table if column in used and not _is_of_the_calendar(seen.table, column)]
    ours = [column for column in watched if column in MONITORED]
    watched = [column for column in watched if column not in ours]
    unwatched = f"; {' and '.join(ours)} cannot be watched under that name, which is monitoring's own" if ours else ""
    proposals = propose(seen.table[["day", *watched]], Drift())
    roles: dict[str, list[str]] = {"structural": [], "environment": []}
    for column in watched:
        proposal = proposals[column]
        is_used = column in features_columns
        roles[proposal.role or "environment"] += [column] if proposal.role or is_used else []
    rows = max(seen.grain.rows_per_day, 1.0)
    share = 1.0 if counts_days_with_rows else seen.grain.share_of_days
    return {
        "window_days": limits.drift_window(rows * share),
        "min_category_share": (max(0.02, round(min(0.5, 3 / rows), 2)), f"three rows, of {amount(rows, 'row')} a day"),
        "min_null_jump": (max(0.2, round(min(0.9, 3 / rows), 2)), ""),
        "structural": (roles["structural"], f"blocks of a week lie close together: a move is news{unwatched}"),
        "environment": (roles["environment"], "wander by themselves, as weather and season do: a move only warns"),
    }


def _is_of_the_calendar(table: pd.DataFrame, column: str) -> bool:
    """Return whether a column only says which weekday or month a day is: it moves when days are missing, not data."""
    day = pd.to_datetime(table["day"])
    return any(says_the_same(table[column], values) for values in (day.dt.dayofweek, day.dt.month))
