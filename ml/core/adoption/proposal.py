"""Put the settings of a model together from what a sample shows, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
from pydantic import ValidationError

from ml.core.adoption import history, replays
from ml.core.adoption.facts import Facts
from ml.core.adoption.holdouts import Holdout, choose_holdout, history_days
from ml.core.adoption.origins import Location, Section, with_iso_time
from ml.core.adoption.recipes import Validated, choose, newest_rows, recipes
from ml.core.adoption.refits import refit_bound
from ml.core.adoption.seasons import without_season
from ml.core.adoption.sections import input_columns, sections_of
from ml.errors import SettingsError
from ml.settings import Task

LONGEST_BLOCK = 28


@dataclass(frozen=True)
class Proposal:
    """The settings of a model, and what was seen on the way.

    Attributes
    ----------
    inputs, labels : DataFrame
        The sample as the registry will hold it, with ``day``: what contracts are proposed from.
    """

    task: Task
    sections: Mapping[str, Section]
    facts: Facts
    period: replays.Period | None
    holdout: Holdout
    best: Validated
    results: tuple[Validated, ...]
    inputs: pd.DataFrame
    labels: pd.DataFrame

    def params(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {name: {key: value for key, (value, _) in section.items()} for name, section in self.sections.items()}


def task_of(seen: Facts, name: str) -> Task:
    """Return what is predicted; SettingsError if a column has a name of Evergreen's own."""
    target = seen.target
    key = ("day", *(column for column in seen.key.columns if column != "day"))
    raw: dict[str, Any] = {
        "name": name,
        "kind": target.kind,
        "target": seen.answers.target,
        "key": key,
        "label_delay_days": seen.delay.days,
        "timezone": seen.zone,
    }
    if target.positive is not None:
        raw |= {"positive": target.positive} | ({"negative": target.negative} if target.negative is not None else {})
    if target.classes:
        raw |= {"classes": target.classes}
    try:
        return Task.model_validate(raw)
    except ValidationError as err:
        problems = "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in err.errors())
        raise SettingsError(f"{target.reason}: a task of it cannot be made: {problems}") from err


def propose_model(
    seen: Facts,
    *,
    name: str,
    location: Location,
    today: date,
    installed: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Proposal:
    """Choose features, estimator and limits.

    Parameters
    ----------
    today
        The day by which data are past, and to which a past period is moved.
    installed
        Which of ``xgboost`` and ``lightgbm`` may be tried.
    tell
        Gets a line for each recipe that was validated.
    """
    task = task_of(seen, name)
    period = _period(seen, today)
    landed_days = history_days(period.days_before if period else seen.grain.calendar_days, seen.grain)
    seen = without_season(seen, landed_days)
    labelled = newest_rows(seen.labelled)
    target = labelled[task.target]
    counts = bool(task.kind == "regression" and target.min() >= 0 and (target % 1 == 0).all() and target.sum() > 0)
    tried = recipes(
        seen.columns, history.groups_of(seen), kind=task.kind, rows=len(labelled), counts=counts, installed=installed
    )
    longest = min(LONGEST_BLOCK, max(seen.grain.days // 6, 1))
    best, results = choose(tried, labelled, task, longest=longest, tell=tell)
    labelled_days = round((landed_days - task.label_delay_days) * seen.grain.share_of_days)
    holdout = choose_holdout(best, results, seen.grain, days=labelled_days)
    sections = sections_of(seen, task, location, best, holdout, period)
    refit = refit_bound(best.recipe, labelled, task, days=labelled_days, holdout_days=holdout.days)
    if refit is not None:
        reason = "twice what the days of the holdout moved the predictions of a fit in validation"
        sections["retrain"]["refit_max_difference"] = (refit, reason)
    inputs = seen.table[input_columns(seen)]
    days_with_labels = seen.table.loc[seen.table[task.target].notna(), "day"].unique()  # nulls too, as they are landed
    labels = seen.table.loc[seen.table["day"].isin(days_with_labels), [*task.key, task.target]]
    if seen.changed:
        inputs, labels = with_iso_time(seen, inputs), with_iso_time(seen, labels)
    if not seen.has_types and seen.types.get(task.target) == "int64":
        labels = labels.astype({task.target: "float64"})  # as it is declared, so that a null loses nothing
    return Proposal(task, sections, seen, period, holdout, best, tuple(results), inputs, labels)


def _period(seen: Facts, today: date) -> replays.Period | None:
    first, last = date.fromisoformat(seen.grain.first_day), date.fromisoformat(seen.grain.last_day)
    last_known = (
        last
        if not seen.delay.is_certain or seen.answers.label_delay_days is not None
        else (last - timedelta(days=seen.delay.days))
    )
    past = replays.is_past(last, today, label_delay_days=seen.delay.days, days_apart=seen.grain.days_apart)
    wanted = seen.answers.replay if seen.answers.replay is not None else past
    return replays.choose_period(first, last_known, today) if wanted else None
