"""Lay out a model card: which fact is said where, and how numbers are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ml.adapters.card import Block, Cell, Facts, Picture, Points, Prose, Section, Table
from ml.core.card import Interval, SliceTable
from ml.core.features import feature_columns, history_names
from ml.core.importance import Importance
from ml.core.metrics import greater_is_better
from ml.records import Evaluation, Parts, Verdict
from ml.settings import Settings

NONE = "–"
METRIC_NAMES = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "calibration_error": "calibration error",
    "calibration_gap": "calibration gap",
    "prevalence": "observed rate",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "bias": "bias",
}
NEITHER_WAY = {"prevalence": "", "calibration_gap": "nearer 0", "bias": "nearer 0"}
LINEAGE = {
    "fingerprint": "fingerprint",
    "data_version": "data version",
    "code_version": "code version",
    "code_sha256": "code SHA-256",
    "lock_sha256": "lock file SHA-256",
    "python": "Python",
    "platform": "platform",
    "asked_by": "asked by",
}


def number(value: float | None, *, signed: bool = False) -> str:
    """Write a number with about four figures, with a true minus sign; a dash for none.

    Examples
    --------
    >>> [number(value) for value in (0.48712, -0.0003, 12.345, 125430.2, None)]
    ['0.4871', '−0.0003', '12.35', '125,430', '–']
    """
    if value is None or not np.isfinite(value):
        return NONE
    size = abs(value)
    decimals = next((digits for limit, digits in ((1000, 0), (100, 1), (10, 2)) if size >= limit), 4)
    text = f"{value:{'+' if signed else ''},.{decimals}f}"
    if not float(text.replace(",", "")):  # no sign before a zero
        text = text.lstrip("+-")
    return text.replace("-", "−")


def span(interval: Interval | None) -> str:
    """Write an interval; a dash for none."""
    return f"{number(interval[0])} to {number(interval[1])}" if interval else NONE


def metric_name(metric: str) -> str:
    """Name a metric as people do."""
    return METRIC_NAMES.get(metric, metric)


def figures(
    evaluation: Evaluation, intervals: Mapping[str, Interval], settings: Settings
) -> tuple[tuple[str, str, str], ...]:
    """Give what a reader looks for first: the gate's metric of the model, of the base rate and of the champion."""
    metric = settings.gate.metric
    unit = metric_name(metric)
    level = f"{settings.gate.confidence:.0%} interval {span(intervals.get(metric))}"
    found = [
        (f"{unit}, this model", number(evaluation.challenger.get(metric)), level),
        (f"{unit}, base rate", number(evaluation.base_rate.get(metric)), "on the same rows"),
    ]
    if evaluation.champion_version is not None:
        value = (evaluation.champion or {}).get(metric)
        remark = "on the same rows" if value is not None else "could not score these rows"
        found.append((f"{unit}, champion v{evaluation.champion_version}", number(value), remark))
    days = f"{evaluation.holdout_days} days"
    return (*found, ("holdout", days, f"{evaluation.holdout_rows:,} rows"))


def purpose(settings: Settings) -> Section:
    """Say what is predicted, for what kind of row, and when the truth arrives."""
    task = settings.task
    if task.kind == "classification":
        what = f"The probability that {task.target} is 1; at {task.threshold:g} or more it is decided so."
    else:
        what = f"The value of {task.target}."
    delay = f"{task.label_delay_days} days after the row's day" if task.label_delay_days else "on the row's own day"
    pairs = (
        ("task", task.name),
        ("predicts", what),
        ("kind", task.kind),
        ("a row is", f"one {' × '.join(task.key)}"),
        ("outcome known", delay.replace("1 days", "1 day") if task.label_delay_days == 1 else delay),
        ("days are those of", task.timezone),
        ("source", settings.source.kind),
    )
    return Section("Purpose", (Facts(pairs),))


def data(parts: Parts, data_version: str, window: Mapping[str, Any]) -> Section:
    """Say which days it was fitted and judged on."""
    train_days = sum(day < parts.holdout_first_day.isoformat() for day in window["days"])
    rows = (
        ("training", f"{parts.train_first_day}", f"{parts.train_last_day}", f"{train_days}", f"{parts.train_rows:,}"),
        (
            "holdout",
            f"{parts.holdout_first_day}",
            f"{parts.holdout_last_day}",
            f"{len(window['days']) - train_days}",
            f"{parts.holdout_rows:,}",
        ),
    )
    table = Table(("part", "first day", "last day", "days", "rows"), rows)
    version = (("data version", data_version), ("files", f"{len(window['files'])}, each pinned by its MD5"))
    return Section("Data", (table, Facts(version, exact=True)))


def verdict(found: Verdict) -> Section:
    """List every rule of the gate with its outcome."""
    outcome = {True: Cell("✓ passed", "good"), False: Cell("✗ failed", "bad"), None: Cell("? no evidence", "open")}
    rows = tuple((ruling.rule, outcome[ruling.passed], ruling.reason) for ruling in found.rulings)
    if not rows:
        return Section("Gate", tuple(Prose(reason) for reason in found.reasons))
    passed = sum(bool(ruling.passed) for ruling in found.rulings)
    said = f"{passed} of {len(rows)} rules passed; the answer is {found.decision}. All must pass for a promotion."
    table = Table(("rule", "outcome", "evidence"), rows, words=(0, 1, 2), stacked=True)
    return Section("Gate", (Prose(said), table))


def metrics(evaluation: Evaluation, intervals: Mapping[str, Interval], settings: Settings, rounds: int) -> Section:
    """Set the metrics of the model beside those of the base rate and of the champion."""
    met = evaluation.champion_version is not None
    headers = ("metric", "better", "this model", f"{settings.gate.confidence:.0%} interval", "base rate")
    rows = []
    for name, value in sorted(evaluation.challenger.items(), key=lambda item: item[0] != settings.gate.metric):
        better = NEITHER_WAY.get(name, "higher" if greater_is_better(name) else "lower")
        row = [metric_name(name), better, number(value), span(intervals.get(name))]
        row.append(number(evaluation.base_rate.get(name)))
        rows.append((*row, number((evaluation.champion or {}).get(name))) if met else tuple(row))
    table = Table((*headers, f"champion v{evaluation.champion_version}") if met else headers, tuple(rows), words=(0, 1))
    method = (
        f"Intervals: {rounds} bootstrap samples of whole days, seed {settings.fit.seed} (cluster bootstrap; Cameron, "
        "Gelbach & Miller 2008, doi:10.1162/rest.90.3.414), percentiles expanded for few days (Hesterberg 2015, "
        "doi:10.1080/00031305.2015.1089789). They speak of one model at a time: two models are compared by their "
        "paired difference, under Gate."
    )
    if "calibration_error" in intervals:
        method += " Resampling adds noise to the calibration error, which is never negative: its interval lies high."
    return Section("Metrics on the holdout", (table, Prose(method)))


def slices(tables: Sequence[SliceTable], settings: Settings, *, champion_version: int | None) -> Section:
    """Show how it does on each group of rows."""
    if not tables:
        return Section("Slices", (Prose("No column is named under gate.rules, and no feature is categorical."),))
    loss = metric_name(settings.gate.metric)
    seen = "observed rate" if settings.task.kind == "classification" else "mean outcome"
    headers = ("slice", "rows", "days", "mean prediction", seen, loss)
    met = champion_version is not None and any(s.gain is not None for table in tables for s in table.slices)
    blocks: list[Block] = []
    if met:
        said = (
            f"The last column is the gain over champion v{champion_version}: how much lower this model's {loss} is. "
            "It has no interval: what is noise and what is not, the rules under Gate say."
        )
        blocks.append(Prose(said))
    for table in tables:
        if table.problem:
            blocks.append(Prose(f"{table.by}: {table.problem}", missing=True))
            continue
        rows = []
        for found in table.slices:
            measured = (found.predicted, found.observed, found.loss)
            row = (
                found.name.removeprefix(f"{table.by} = "),
                f"{found.rows:,}",
                f"{found.days}",
                *map(number, measured),
            )
            rows.append((*row, number(found.gain, signed=True)) if met else row)
        blocks.append(Table((*headers, "gain") if met else headers, tuple(rows), caption=table.by))
        if table.left_out:
            blocks.append(Prose(f"{table.left_out} smaller groups with {table.left_out_rows:,} rows are not shown."))
    return Section("Slices", tuple(blocks))


def calibration(table: pd.DataFrame, settings: Settings, pictures: tuple[bytes, bytes]) -> Section:
    """Compare what was predicted with what came, bin by bin."""
    seen = "observed rate" if settings.task.kind == "classification" else "observed mean"
    level = f"{settings.gate.confidence:.0%} interval"
    columns = [table[name].tolist() for name in ("rows", "predicted", "observed", "low", "high")]
    rows = tuple(
        (f"{at}", f"{count:,}", number(predicted), number(observed), span(_interval(low, high)))
        for at, (count, predicted, observed, low, high) in enumerate(zip(*columns, strict=True), start=1)
    )
    said = (
        f"Equally filled bins of the prediction: in each, the mean prediction beside the {seen} and its interval "
        "(whole days resampled)."
    )
    caption = f"On the dashed line the {seen} equals the mean prediction. The bars are {level}s."
    description = f"Mean prediction against {seen} in {len(table)} bins; the numbers are in the table below."
    shown = Table(("bin", "rows", "mean prediction", seen, level), rows, words=())
    return Section("Calibration", (Prose(said), Picture(*pictures, description, caption), shown))


def importance(found: Importance) -> Section:
    """Rank the features by what permuting them costs."""
    loss, most = metric_name(found.metric), max([*found.increase, 0.0]) or 1.0
    rows = tuple(
        (name, number(mean, signed=True), number(sd), Cell(f"{max(mean, 0) / most:.0%}", bar=max(mean, 0.0) / most))
        for name, mean, sd in zip(found.features, found.increase, found.sd, strict=True)
    )
    said = (
        f"By how much the {loss} grows when a feature is permuted within the holdout (permutation importance; Breiman "
        f"2001, doi:10.1023/A:1010933404324): {found.rows:,} rows, {found.repeats} permutations each, "
        f"seed {found.seed}. As they are, the {loss} of these rows is {number(found.loss)}. About 0 means that the "
        "model does not need the feature, below 0 that it would have done better on these rows without it."
    )
    return Section(
        "Features by importance", (Prose(said), Table(("feature", "increase", "sd", "of the largest"), rows))
    )


def features(train: pd.DataFrame, settings: Settings) -> Section:
    """List the features by kind, with what training held of each."""
    past = {
        name: f"mean {settings.task.target} of {days} earlier days" + (f" by {', '.join(by.by)}" if by.by else "")
        for by in settings.features.history
        for days, name in zip(by.days, history_names([by]), strict=True)
    }
    kinds = {name: kind for kind in ("categorical", "numeric", "spline") for name in getattr(settings.features, kind)}
    rows = []
    for name in feature_columns(settings.features):
        column = train[name]
        values = column.dropna()
        held = f"{values.nunique()} categories" if kinds.get(name) == "categorical" else NONE
        if kinds.get(name) != "categorical" and len(values):
            held = f"{values.min():,.4g} to {values.max():,.4g}".replace("-", "−")
        role = "environment" if name in settings.drift.environment else ""
        role = "structural" if name in settings.drift.structural else role
        kind = kinds.get(name, "history") + (f": {past[name]}" if name in past else "")
        rows.append((name, kind, role, held, f"{column.isna().mean():.1%}"))
    table = Table(("feature", "kind", "role", "in training", "missing"), tuple(rows), words=(0, 1, 2), stacked=True)
    return Section("Features", (table,))


def estimator(settings: Settings, parameters: Mapping[str, Any], defaults: Mapping[str, Any]) -> Section:
    """Name the estimator and every parameter it was fitted with."""
    named = (("estimator", settings.fit.estimator), ("encoding of categories", settings.fit.encoding))
    changed = {name for name in parameters if name not in defaults or repr(parameters[name]) != repr(defaults[name])}
    order = sorted(parameters, key=lambda name: (name not in changed, name))
    rows = tuple((name, repr(parameters[name]), "set here" if name in changed else "default") for name in order)
    return Section("Estimator", (Facts(named, exact=True), Table(("parameter", "value", ""), rows, words=(0, 1, 2))))


def limits(said: Sequence[str]) -> Section:
    """List what this card cannot show."""
    return Section("Known limits", (Points(tuple(said)),))


def lineage(facts: Mapping[str, Any], run_id: str) -> Section:
    """Say what would build this model again; further facts of the run are listed under their own names."""
    seeds = {f"seed of {name}": value for name, value in (facts.get("seeds") or {}).items()}
    facts = {**facts, **(facts.get("environment") or {}), **seeds}
    known = [(label, facts[name]) for name, label in LINEAGE.items() if name in facts]
    other = [(name.replace("_", " "), value) for name, value in sorted(facts.items()) if name not in LINEAGE]
    pairs = [
        (label, str(value)) for label, value in [*known, *other] if isinstance(value, str | int | float) and value != ""
    ]
    reasons = facts.get("reasons") or ()
    pairs += [("because", "; ".join(map(str, reasons)))] if reasons else []
    return Section("Lineage", (Facts((("MLflow run", run_id), *pairs), exact=True),))


def absent(title: str, reason: str) -> Section:
    """Say that a part could not be computed, and why."""
    return Section(title, (Prose(reason, missing=True),))


def _interval(low: float, high: float) -> Interval | None:
    return (low, high) if np.isfinite(low) and np.isfinite(high) else None
