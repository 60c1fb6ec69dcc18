"""Say what was assumed about somebody's data, what a person must decide, and how good a plain model is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ml.core import metrics
from ml.core.adoption.amounts import amount
from ml.core.adoption.answers import Question
from ml.core.adoption.day_gaps import measure_gaps
from ml.core.adoption.proposal import Proposal
from ml.core.adoption.recipes import Validated

MANY = 12
FEW_UNKNOWN = 0.02
NOTICEABLE = 1.645
"""A mean of days so many standard errors above none is so in 1 of 20 by chance (one-sided)."""
TOO_GOOD = 0.995
"""A model that explains more than this (R², or AUC) is rarely honest."""


def summary(proposal: Proposal, questions: Sequence[Question], *, notes: Sequence[str] = ()) -> str:
    """Return what people read when a model was adopted; ``notes`` are of whoever read the data."""
    seen, task = proposal.facts, proposal.task
    grain = seen.grain
    lines = [
        f"{task.name}: {task.kind} of {task.target}",
        (
            f"  rows      {len(seen.table):,} on {amount(grain.days, 'day')}, {grain.first_day} to {grain.last_day}; "
            f"about {grain.rows_per_day:g} a day"
        ),
        f"  time      {seen.time.name}" + (f" (not {', '.join(seen.time.others)})" if seen.time.others else ""),
        f"  key       {', '.join(task.key)}: {seen.key.reason}",
        f"  target    {seen.target.reason}",
        f"  delay     {amount(task.label_delay_days, 'day')}: {seen.delay.reason}",
        f"  zone      {task.timezone}",
        f"  features  {_shown([*seen.columns.categories, *seen.columns.numeric])}",
    ]
    lines += [f"  leak      {column} is left out: {reason}" for column, reason in seen.suspects.items()]
    lines += [f"  output    {column} is left out: {reason}" for column, reason in seen.outputs.items()]
    fixed = {task.target, "day", seen.time.name, *seen.suspects, *seen.outputs}
    lines += [
        f"  unused    {column} {reason}" for column, reason in seen.columns.left_out.items() if column not in fixed
    ]
    if seen.rows_without_time:
        lines.append(f"  dropped   {seen.rows_without_time:,} rows whose {seen.time.name} nobody can read")
    lines += [f"  dropped   {words}" for words in seen.set_apart]
    if seen.labels_without_row:
        lines.append(f"  dropped   {seen.labels_without_row:,} labels that belong to no row of the data")
    if seen.changed:
        lines.append("  copy      the source cannot read the data as they are, so that a copy was made:")
        lines += [f"              {reason}" for reason in seen.changed[:MANY]]
        lines.append("            run the same command again when there are more data")
    if period := proposal.period:
        lines.append(
            f"  replay    the data end on {grain.last_day}: {period.first_day} to {period.last_day} is served as if it "
            "were now (source.replay)"
        )
    lines += [f"  gaps      {words}" for words in _gaps(proposal)]
    lines += [f"  note      {note}" for note in (*notes, *_without_outcome(proposal), *seen.target.notes)]
    lines += ["", *_quality(proposal)]
    if questions:
        lines += ["", "to decide (assumed so far, and the option that says otherwise):"]
        lines += [f"  {question.text} {question.assumed} ({question.option})" for question in questions]
    return "\n".join(lines)


def _gaps(proposal: Proposal) -> list[str]:
    """Say on which expected days there are no rows, and what the settings make of such a day."""
    gaps = measure_gaps(proposal.facts.table["day"])
    if not gaps.reason:
        return []
    if gaps.every_days > 1:
        return [f"{gaps.reason} (land.every_days)"]
    allowed = f"{gaps.empty_days} days without rows in a row are" if gaps.empty_days > 1 else "one such day is"
    meant = f"{allowed} no error, more are (land.empty_days)" if gaps.empty_days else "such a day is an error"
    return [f"{gaps.reason}: {meant}; read 'Days without data' in docs/sources.md"]


def _without_outcome(proposal: Proposal) -> list[str]:
    """Say how many rows have no outcome though later ones have: they are not learned from."""
    target = proposal.task.target
    table = proposal.facts.table[["day", target]]
    known = table.loc[table[target].notna(), "day"].max()
    share = float(table.loc[table["day"] <= known, target].isna().mean())
    if share < FEW_UNKNOWN:
        return []
    unknown = f"{share:.0%} of the rows up to {known} have no {target}, and are not learned from"
    return [f"{unknown}; if an empty field is an outcome too, write it as one"]


def _quality(proposal: Proposal) -> list[str]:
    best = proposal.best
    unit = "RMSE" if best.kind == "regression" else "log loss"
    gain = 1 - best.score / best.base_score if best.base_score else 0.0
    plain = next(
        (r for r in proposal.results if not r.recipe.features.history and r.recipe.name.startswith("linear")), None
    )
    beside = f", a plain linear model {plain.score:.4g}" if plain is not None and plain is not best else ""
    lines = [
        (
            f"quality: {unit} {best.score:.4g} on days after those it was fitted on; the base rate has "
            f"{best.base_score:.4g} ({gain:.0%} less){beside}"
        ),
        f"  by {best.recipe.name} ({best.recipe.fit.estimator})",
        f"  {proposal.holdout.reason}",
    ]
    library = best.recipe.fit.estimator.split(".", maxsplit=1)[0]
    if library != "sklearn":
        lines.append(
            f"  {library} is needed wherever the model runs: run 'make boosting' here; for an image see "
            "docs/estimators.md"
        )
    if gain <= 0:
        lines.append("  nothing beats the base rate: the gate would hold it; look for columns that say more")
    elif _gain_errors(best) < NOTICEABLE:
        lines.append(
            "  that gain cannot be distinguished from chance, day by day: the gate will probably hold it; look for "
            "columns that say more"
        )
    elif (explained := _explained(best)) > TOO_GOOD:
        measure = "R²" if best.kind == "regression" else "AUC"
        lines.append(
            f"  {measure} {explained:.4f} is more than honest columns usually explain: look for one that is only known "
            f"with {proposal.task.target}, and leave it out with --leave-out"
        )
    return lines


def _gain_errors(best: Validated) -> float:
    """Return how many standard errors the mean daily gain over the base rate is above none; whole days are the unit."""
    gains = pd.Series(best.losses("base") - best.losses()).groupby(best.rows["day"].to_numpy()).mean()
    error = float(gains.std(ddof=1)) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return float(gains.mean()) / error if error else np.inf


def _explained(best: Validated) -> float:
    """Return R² or AUC of all folds together."""
    measured = metrics.measure(best.rows["truth"], best.rows["predicted"], best.kind)
    return measured.get("r2" if best.kind == "regression" else "roc_auc", 0.0)


def _shown(columns: Sequence[str]) -> str:
    more = len(columns) - MANY
    return ", ".join(columns[:MANY]) + (f" and {more} more" if more > 0 else "")
