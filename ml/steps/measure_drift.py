"""Measure how far the newest days have moved from what the champion knew, and what broke on the newest of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from ml.adapters import rows
from ml.adapters.column_types import types_in
from ml.core import drift, findings, history
from ml.core.changes import change_in_words
from ml.core.findings import ColumnProfile
from ml.core.schema import NULL, Kind, Types, kind_of_values
from ml.core.targets import coded
from ml.errors import MissingArtifact
from ml.records import Champion, DriftReport, Finding, Limit
from ml.settings import Settings
from ml.steps.evaluate import settings_of
from ml.wiring import Services

logger = logging.getLogger(__name__)
IMPORTANCE = "card/importance.json"


@dataclass(frozen=True)
class Kept:
    """What was kept with the champion for this: its reference, how that was by day, and what follows.

    ``predictions`` (out of fold, with their targets) is None for versions that were registered without.
    """

    reference: pd.DataFrame
    limits: dict[str, Limit]
    profiles: dict[str, ColumnProfile]
    predictions: pd.DataFrame | None

    @property
    def rows_by_day(self) -> tuple[int, ...]:
        """Give the rows of each day of the reference; empty where no column is watched."""
        return next((profile.rows for profile in self.profiles.values()), ())

    @property
    def last_labelled_day(self) -> str:
        """Give the last day whose labels it was trained or judged on; the end of time if that is not known."""
        known = self.predictions
        return str(known["day"].max()) if known is not None and len(known) else date.max.isoformat()


@dataclass(frozen=True)
class _Watch:
    """One day's check: who is watched, over which days, and with what."""

    champion: Champion
    version: int
    first: date
    settings: Settings
    services: Services

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.champion.day - self.first).days + 1)]

    def sampled(self, files: Mapping[date, Path], columns: list[str]) -> pd.DataFrame:
        """Read no more than `drift.reference_rows` rows of the files: what a distance is computed from."""
        return rows.sample(files, columns, rows=self.settings.drift.reference_rows, seed=self.settings.fit.seed)


def run(champion: Champion, *, settings: Settings, services: Services) -> DriftReport:
    """Compare the trailing window with the champion's reference and keep Evidently's report.

    Evidently sees a bounded, seeded sample of either side; the newest day is counted row by row. What cannot be
    measured is ``unknown``, with the reason: never drift, and never calm. What broke on the newest day is drift
    all the same.
    """
    logger.info("measure_drift: %s against version %s", champion.day, champion.version)
    if champion.version is None:
        return _unknown(champion, champion.reason)
    first = champion.day - timedelta(days=settings.drift.window_days - 1)
    watch = _Watch(champion, champion.version, first, settings, services)
    days = services.registry.open(
        "inputs",
        rev=champion.data_version,
        first_day=min(first, champion.day - timedelta(days=1)),
        last_day=champion.day,
    )
    files = {day: path for day, path in days.items() if day >= first}
    kept = services.tracking.read_file(watch.version, "monitoring", lambda folder: _read(folder, settings))
    leans = _leans(watch)
    kinds = {column: kind_of_values(kept.reference[column]) for column in kept.limits if column in kept.reference}
    types = {day: types_in(path) for day, path in days.items()}
    matters = {column: worth for column, (_, worth) in leans.items()}
    other = findings.type_changes(champion.day, types, kinds, settings.drift, matters)
    comparable = replace(
        kept,
        limits={column: limit for column, limit in kept.limits.items() if column not in {f.column for f in other}},
        profiles={column: known for column, known in kept.profiles.items() if column not in {f.column for f in other}},
    )
    noticed = (*other, *_faults_of_day(watch, days, comparable, leans), *_missing_predictions(watch, files))
    noticed += drift.never_measured(settings.drift, kept.rows_by_day)
    current = _of_one_kind(watch.sampled(files, drift.watched(settings.drift)), types, kinds)
    held = sum(map(rows.count_rows, files.values()))
    said = drift.too_few_rows(held, first, champion.day, settings.drift, kept.rows_by_day)
    if said is not None:
        return _finished(watch, DriftReport(**_facts(watch, current), status="unknown", reason=said, findings=noticed))
    return _compared(watch, comparable, current, leans, noticed)


def _of_one_kind(current: pd.DataFrame, types: Mapping[date, Types], kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """Leave out what some days of the window hold in a column of another kind than the reference."""
    for column, kind in kinds.items():
        odd = [str(day) for day, found in types.items() if findings.is_other_kind(found.get(column, NULL), kind)]
        if column in current and current["day"].isin(odd).any():
            values = current[column].mask(current["day"].isin(odd))
            current = current.assign(**{column: pd.to_numeric(values) if kind == "number" else values})
    return current


def _compared(
    watch: _Watch,
    kept: Kept,
    current: pd.DataFrame,
    leans: Mapping[str, tuple[float | None, bool | None]],
    noticed: tuple[Finding, ...],
) -> DriftReport:
    from ml.adapters import drift as evidently

    declared = watch.settings.drift
    sides, also = _sides(watch, kept, current)
    roles = dict.fromkeys(declared.structural, "structural") | dict.fromkeys(declared.environment, "environment")
    before, now = (
        pd.DataFrame({column: pair[side].reset_index(drop=True) for column, pair in sides.items()}) for side in (0, 1)
    )
    measured = evidently.measure(
        before,
        now,
        {column: kept.limits[column] for column in sides},
        methods=declared.methods,
        roles=roles,
        loud=declared.structural,
    )
    changed = {column: change_in_words(*pair) for column, pair in sides.items()}
    columns = drift.judge(
        measured.scores, measured.methods, kept.limits, declared, leans=leans, changed=changed, also=also
    )
    status, reason = drift.verdict(columns, declared)
    first_label = watch.first - timedelta(days=watch.settings.task.label_delay_days)
    are_new = first_label.isoformat() > kept.last_labelled_day
    found = (*noticed, *drift.drift_findings(columns, declared, labels_are_new=are_new))
    shelf = watch.services.shelf(f"monitor/day={watch.champion.day}/version={watch.version}")
    report = DriftReport(
        **_facts(watch, current),
        status=status,
        reason=reason,
        columns=columns,
        findings=found,
        report_uri=shelf.write_text("drift.html", measured.html),
    )
    return _finished(watch, report, measured.result)


def _facts(watch: _Watch, current: pd.DataFrame) -> dict[str, Any]:
    return {
        "day": watch.champion.day,
        "champion_version": watch.version,
        "current_first_day": watch.first,
        "current_rows": len(current),
    }


def _finished(watch: _Watch, report: DriftReport, result: Mapping[str, Any] | None = None) -> DriftReport:
    """Let what broke on the day speak first, and keep the report."""
    broke = [finding.said for finding in report.findings if finding.at_once and finding.severity == "alarm"]
    if broke:
        reasons = [report.reason, *broke] if report.status == "drift" else [*broke, report.reason]
        report = report.model_copy(update={"status": "drift", "reason": "; ".join(reasons)})
    shelf = watch.services.shelf(f"monitor/day={report.day}/version={watch.version}")
    report = report.model_copy(update={"result_uri": shelf.uri("drift.json")})
    shelf.write_json("drift.json", {**report.model_dump(mode="json"), "evidently": dict(result or {})})
    logger.info("measure_drift: %s: %s", report.status, report.reason)
    return report


# --- what is compared ---------------------------------------------------------------------------------


def _read(folder: Path, settings: Settings) -> Kept:
    """Read what `ml.steps.register` kept; of a version without profiles they follow from its reference."""

    def facts(name: str) -> Any:
        path = folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    reference = pd.read_parquet(folder / "reference.parquet")
    profiles = facts("profiles.json")
    columns = [column for column in drift.watched(settings.drift) if column in reference]
    path = folder / "predictions.parquet"
    return Kept(
        reference=reference,
        limits=drift.read_limits(facts("limits.json")),
        profiles=_from_sample(reference, columns, settings)
        if profiles is None
        else {column: ColumnProfile.model_validate(kept) for column, kept in profiles.items()},
        predictions=pd.read_parquet(path) if path.exists() else None,
    )


def _from_sample(reference: pd.DataFrame, columns: list[str], settings: Settings) -> dict[str, ColumnProfile]:
    """Profile a reference that may be thinned: whether two of its days were alike is not to be seen."""
    found = findings.profile(reference, columns, settings.drift)
    return {column: profile.model_copy(update={"pairs": 0, "repeats": 0}) for column, profile in found.items()}


def _sides(
    watch: _Watch, kept: Kept, current: pd.DataFrame
) -> tuple[dict[str, tuple[pd.Series, pd.Series]], tuple[drift.Role, ...]]:
    """Give either side of each column that has a limit, and of predictions and labels, which are kept by themselves.

    Of too few predictions or labels there is nothing to compare: they read as unknown.
    """
    declared = watch.settings.drift
    sides = {
        column: (kept.reference[column], current[column])
        for column in drift.watched(declared)
        if column in kept.limits and column in kept.reference
    }
    if kept.predictions is None or kept.predictions.empty:
        return sides, ()
    known = drift.sample_days(kept.predictions, rows=declared.reference_rows, seed=watch.settings.fit.seed)
    served, labels = _served(watch), _labels(watch)
    for name, before, now in ((drift.PREDICTION, known["prediction"], served), (drift.LABEL, known["target"], labels)):
        if name in kept.limits and now.notna().sum() >= drift.fewest_rows(declared, kept.rows_by_day):
            sides[name] = (before, now)
    return sides, ("prediction", "label")


def _served(watch: _Watch) -> pd.Series:
    """Read what the champion itself predicted on the days before this one; those of the day may be under way."""
    name = f"version={watch.version}.parquet"
    with ExitStack() as stack:
        files = {}
        for day in watch.days[:-1]:
            shelf = watch.services.shelf(f"predictions/day={day}")
            if shelf.has(name):
                files[day] = stack.enter_context(shelf.local(name))
        found = watch.sampled(files, ["prediction", "raw_prediction"])
    served = found["raw_prediction"].where(found["raw_prediction"].notna(), found["prediction"])
    return served.astype("float64")


def _labels(watch: _Watch) -> pd.Series:
    """Read the newest labels that have arrived, of as many days as the window has."""
    task = watch.settings.task
    delay = timedelta(days=task.label_delay_days)
    try:
        files = watch.services.registry.open(
            "labels",
            rev=watch.champion.data_version,
            first_day=watch.first - delay,
            last_day=watch.champion.day - delay,
        )
    except MissingArtifact:  # none has arrived: the live performance says so
        files = {}
    return coded(watch.sampled(files, [task.target])[task.target], task.positive).astype("float64")


def _leans(watch: _Watch) -> dict[str, tuple[float | None, bool | None]]:
    """Find which columns the champion leans on; without its importances only what is no feature is known."""
    importance: dict[str, float] | None = None
    if watch.services.tracking.has_file(watch.version, IMPORTANCE):
        kept = watch.services.tracking.read_file(
            watch.version, IMPORTANCE, lambda path: json.loads(path.read_text(encoding="utf-8"))
        )
        importance = {entry["feature"]: float(entry["increase"]) for entry in kept["features"]}
    features = settings_of(watch.version, watch.services).features
    return drift.leaning(drift.watched(watch.settings.drift), features, importance)


# --- what is noticed at once --------------------------------------------------------------------------


def _faults_of_day(
    watch: _Watch,
    files: Mapping[date, Path],
    kept: Kept,
    leans: Mapping[str, tuple[float | None, bool | None]],
) -> tuple[Finding, ...]:
    """Hold every row of the newest day against how the days of the reference were."""
    day = watch.champion.day
    if day not in files:
        return ()
    declared = watch.settings.drift
    known = {column: kept.profiles[column] for column in drift.watched(declared) if column in kept.profiles}
    wanted = {column: found.categorical for column, found in known.items()}
    before = day - timedelta(days=1)
    return findings.structural_faults(
        day,
        rows.count_day(files[day], wanted),
        known,
        declared,
        matters={column: matters for column, (_, matters) in leans.items()},
        yesterday=rows.count_day(files[before], wanted) if before in files else None,
    )


def _missing_predictions(watch: _Watch, files: Mapping[date, Path]) -> tuple[Finding, ...]:
    """Find days before this one that a champion should have scored, and nobody has."""
    decisions = watch.services.tracking.decisions(kinds=history.REIGNS)
    missing = []
    for day in (day for day in watch.days[:-1] if day in files):
        reign, _ = history.champion_of(day, decisions, allow_future=watch.settings.score.force_future_model)
        if reign is None or reign.effective_day > day:
            continue
        served = watch.services.shelf(f"predictions/day={day}").names()
        if not any(name.endswith(".parquet") for name in served):
            missing.append(day)
    if not missing:
        return ()
    listed = ", ".join(map(str, missing))
    return (
        Finding(
            kind="missing_predictions",
            severity="warning",
            said=f"no predictions were served for {listed}, although a champion was in force: run 'score' for each",
        ),
    )


def _unknown(champion: Champion, reason: str) -> DriftReport:
    logger.info("measure_drift: unknown: %s", reason)
    return DriftReport(day=champion.day, status="unknown", champion_version=champion.version, reason=reason)
