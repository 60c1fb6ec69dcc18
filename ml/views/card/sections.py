"""Lay out a model card: which fact is said where, and how numbers are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ml.core.counting import interval_name
from ml.core.data.days import spans_in_words
from ml.core.gate.day_resampling import Interval
from ml.core.gate.holdout_tables import SliceTable
from ml.core.metrics import direction, label
from ml.core.training.features import feature_columns
from ml.core.training.importance import Importance
from ml.core.training.lagged_means import history_names
from ml.records import Evaluation, Parts, Verdict
from ml.settings import Settings
from ml.views.card.render import Block, Cell, Facts, Points, Prose, Section, Table

NONE = "–"
LINEAGE = {
    "fingerprint": "fingerprint",
    "data_version": "data version",
    "code_version": "code version",
    "code_sha256": "code SHA-256",
    "lock_sha256": "lock file SHA-256",
    "python": "Python",
    "platform": "platform",
    "requested_by": "requested by",
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


def figures(
    evaluation: Evaluation, intervals: Mapping[str, Interval], settings: Settings
) -> tuple[tuple[str, str, str], ...]:
    """Return what a reader looks for first: the gate's metric of the model, of the base rate and of the champion."""
    metric = settings.gate.metric
    unit = label(metric)
    level = f"{interval_name(settings.gate.confidence)} {span(intervals.get(metric))}"
    entries = [
        (f"{unit}, this model", number(evaluation.challenger.get(metric)), level),
        (f"{unit}, base rate", number(evaluation.base_rate.get(metric)), "on the same rows"),
    ]
    if evaluation.champion_version is not None:
        value = (evaluation.champion or {}).get(metric)
        remark = "on the same rows" if value is not None else "could not score these rows"
        entries.append((f"{unit}, champion v{evaluation.champion_version}", number(value), remark))
    days = f"{evaluation.holdout_days} days"
    return (*entries, ("holdout", days, f"{evaluation.holdout_rows:,} rows"))


def purpose(settings: Settings) -> Section:
    """Return what is predicted, for what kind of row, and when the truth arrives."""
    task = settings.task
    if task.classes:
        what = (
            f"The probability of each {task.target}: {', '.join(map(str, task.classes))}; the most probable is decided."
        )
    elif task.kind == "classification":
        what = f"The probability that {task.target} is 1; at {task.threshold:g} or more it is decided so."
    elif task.quantile is not None:
        what = f"The {task.quantile:g} quantile of {task.target}: it is at or below that in so large a share of rows."
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
    """Return which days it was fitted and judged on."""
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
    sampled = _samples(parts)
    left_out: Mapping[str, str] = window.get("marked") or {}
    if not left_out:
        return Section("Data", (table, *sampled, Facts(version, exact=True)))
    reasons = ", ".join(dict.fromkeys(left_out.values()))
    days = spans_in_words(map(date.fromisoformat, left_out))
    looked_back = " Lagged target means look back on these days." if window.get("excluded") else ""
    note = Prose(f"Excluded from learning by a person: {days} ({reasons}).{looked_back}")
    return Section("Data", (table, *sampled, note, Facts(version, exact=True)))


def _samples(parts: Parts) -> tuple[Prose, ...]:
    """Say which figures of the card come from samples of the rows; nothing where all rows were held in memory."""
    if parts.train_sample_rows is None or parts.holdout_sample_rows is None:
        return ()
    return (
        Prose(
            "Fitted on all rows of the training part, some after the others (fit.stream). What this card measures, and "
            f"the limits of drift, rest on samples by key: {parts.train_sample_rows:,} rows of the training part and "
            f"{parts.holdout_sample_rows:,} of the holdout."
        ),
    )


def verdict(judged: Verdict) -> Section:
    """List every rule of the gate with its outcome."""
    outcome = {True: Cell("✓ passed", "good"), False: Cell("✗ failed", "bad"), None: Cell("? no evidence", "open")}
    rows = tuple((ruling.rule, outcome[ruling.passed], ruling.reason) for ruling in judged.rulings)
    if not rows:
        return Section("Gate", tuple(Prose(reason) for reason in judged.reasons))
    passed = sum(bool(ruling.passed) for ruling in judged.rulings)
    summary = f"{passed} of {len(rows)} rules passed; the answer is {judged.decision}. All must pass for a promotion."
    table = Table(("rule", "outcome", "evidence"), rows, words=(0, 1, 2), stacked=True)
    return Section("Gate", (Prose(summary), table))


def metrics(evaluation: Evaluation, intervals: Mapping[str, Interval], settings: Settings, n_resamples: int) -> Section:
    """Set the metrics of the model beside those of the base rate and of the champion."""
    met = evaluation.champion_version is not None
    headers = ("metric", "better", "this model", interval_name(settings.gate.confidence), "base rate")
    rows = []
    for name, value in sorted(evaluation.challenger.items(), key=lambda item: item[0] != settings.gate.metric):
        row = [label(name), direction(name), number(value), span(intervals.get(name))]
        row.append(number(evaluation.base_rate.get(name)))
        rows.append((*row, number((evaluation.champion or {}).get(name))) if met else tuple(row))
    table = Table((*headers, f"champion v{evaluation.champion_version}") if met else headers, tuple(rows), words=(0, 1))
    method = (
        f"Intervals: {n_resamples} bootstrap samples of whole days, seed {settings.fit.seed} (cluster bootstrap; "
        "Cameron, Gelbach & Miller 2008, doi:10.1162/rest.90.3.414), percentiles expanded for few days "
        "(Hesterberg 2015, doi:10.1080/00031305.2015.1089789). They speak of one model at a time: two models are "
        "compared by their paired difference, under Gate."
    )
    if "calibration_error" in intervals:
        method += " Resampling adds noise to the calibration error, which is never negative: its interval lies high."
    return Section("Metrics on the holdout", (table, Prose(method)))


def slices(tables: Sequence[SliceTable], settings: Settings, *, champion_version: int | None) -> Section:
    """Show how it does on each group of rows."""
    if not tables:
        return Section("Slices", (Prose("No column is named under gate.rules, and no feature is categorical."),))
    loss = label(settings.gate.metric)
    of_kind = {"classification": "observed rate", "multiclass": "accuracy", "regression": "mean outcome"}
    predicted = "mean probability of the decided class" if settings.task.classes else "mean prediction"
    headers = ("slice", "rows", "days", predicted, of_kind[settings.task.kind], loss)
    met = champion_version is not None and any(s.gain is not None for table in tables for s in table.slices)
    blocks: list[Block] = []
    if met:
        explanation = (
            f"The last column is the gain over champion v{champion_version}: how much lower this model's {loss} is. "
            "It has no interval: what is noise and what is not, the rules under Gate say."
        )
        blocks.append(Prose(explanation))
    for table in tables:
        if table.problem:
            blocks.append(Prose(f"{table.by}: {table.problem}", missing=True))
            continue
        rows = []
        for group in table.slices:
            measured = (group.predicted, group.observed, group.loss)
            row = (
                group.name.removeprefix(f"{table.by} = "),
                f"{group.rows:,}",
                f"{group.days}",
                *map(number, measured),
            )
            rows.append((*row, number(group.gain, signed=True)) if met else row)
        blocks.append(Table((*headers, "gain") if met else headers, tuple(rows), caption=table.by))
        if table.left_out:
            blocks.append(Prose(f"{table.left_out} smaller groups with {table.left_out_rows:,} rows are not shown."))
    return Section("Slices", tuple(blocks))


def importance(measured: Importance) -> Section:
    """Rank the features by what permuting them costs."""
    loss, most = label(measured.metric), max([*measured.increase, 0.0]) or 1.0
    rows = tuple(
        (name, number(mean, signed=True), number(sd), Cell(f"{max(mean, 0) / most:.0%}", bar=max(mean, 0.0) / most))
        for name, mean, sd in zip(measured.features, measured.increase, measured.sd, strict=True)
    )
    explanation = (
        f"By how much the {loss} grows when a feature is permuted within the holdout (permutation importance; Breiman "
        f"2001, doi:10.1023/A:1010933404324): {measured.rows:,} rows, {measured.repeats} permutations each, "
        f"seed {measured.seed}. As they are, the {loss} of these rows is {number(measured.loss)}. About 0 means that "
        "the model does not need the feature, below 0 that it would have done better on these rows without it."
    )
    return Section(
        "Features by importance", (Prose(explanation), Table(("feature", "increase", "sd", "of the largest"), rows))
    )


def features(train: pd.DataFrame, settings: Settings) -> Section:
    """List the features by kind, with what training held of each."""
    lagged_means = {
        name: (f"mean {settings.task.target}" if by.of is None else f"share of {by.of}")
        + f" of {days} earlier days"
        + (f" by {', '.join(by.by)}" if by.by else "")
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
        kind = kinds.get(name, "history") + (f": {lagged_means[name]}" if name in lagged_means else "")
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


def limits(sentences: Sequence[str]) -> Section:
    """List what this card cannot show."""
    return Section("Known limits", (Points(tuple(sentences)),))


def lineage(facts: Mapping[str, Any], run_id: str) -> Section:
    """Return what would build this model again; further facts of the run are listed under their own names."""
    seeds = {f"seed of {name}": value for name, value in (facts.get("seeds") or {}).items()}
    facts = {**facts, **(facts.get("environment") or {}), **seeds}
    listed = [(label, facts[name]) for name, label in LINEAGE.items() if name in facts]
    other = [(name.replace("_", " "), value) for name, value in sorted(facts.items()) if name not in LINEAGE]
    pairs = [
        (label, str(value))
        for label, value in [*listed, *other]
        if isinstance(value, str | int | float) and value != ""
    ]
    reasons = facts.get("reasons") or ()
    pairs += [("because", "; ".join(map(str, reasons)))] if reasons else []
    return Section("Lineage", (Facts((("MLflow run", run_id), *pairs), exact=True),))


def absent(title: str, reason: str) -> Section:
    """Explain that a part could not be computed, and why."""
    return Section(title, (Prose(reason, missing=True),))
