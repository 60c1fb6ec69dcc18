"""Measure a day of a replay as *monitor* does, without Evidently: `ml.core.drift` measures the same distances."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import pandas as pd

from ml.adapters.workspace import Workspace
from ml.core import drift, findings, limits
from ml.core.features import matrix
from ml.core.importance import measure_importance
from ml.records import ColumnDrift, DriftReport, Finding, Limit
from ml.settings import Settings
from ml.steps import out_of_fold
from ml.steps.replay.fits import Fits, Fitted, Training


@dataclass(eq=False)
class Reference:
    """What monitoring keeps with a model: its reference, its limits, what it leans on."""

    fitted: Fitted
    fits: Fits
    settings: Settings
    judged: tuple[Fitted, Training] | None = None
    """The candidate that was judged, and the window with its holdout; None for a model that nobody judged."""

    @property
    def key(self) -> str:
        """Name all that determines it."""
        facts: list[Any] = [self.fitted.key, self.settings.drift.model_dump(mode="json"), self.settings.gate.metric]
        if self.judged is not None:
            facts += [self.judged[0].key, self.fits.key(self.judged[1], self.settings)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @cached_property
    def columns(self) -> list[str]:
        """Name the columns that are watched."""
        return drift.watched(self.settings.drift)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Give the rows that the model was fitted on."""
        return self.fits.rows(self.fitted.training, self.settings)

    @cached_property
    def sample(self) -> pd.DataFrame:
        """Give the part of them that distances are measured from."""
        chosen = self.settings.drift.reference_rows
        return drift.sample_days(self.rows[["day", *self.columns]], rows=chosen, seed=self.settings.fit.seed)

    @cached_property
    def profile(self) -> dict[str, findings.ColumnProfile]:
        """Give how its days were, column by column."""
        return findings.profile(self.rows, self.columns, self.settings.drift)

    @cached_property
    def limits(self) -> dict[str, Limit]:
        """Give how far each column may move; kept on disk."""

        def make(_: Workspace) -> dict[str, Any]:
            declared = self.settings.drift
            blocks = max(self.rows["day"].nunique() // declared.window_days, 1)
            seen = drift.sample_days(
                self.rows[["day", *self.columns]], rows=declared.reference_rows * blocks, seed=self.settings.fit.seed
            )
            found = limits.limits_of(seen, declared)
            return {column: limit.model_dump(mode="json") for column, limit in found.items()}

        return drift.read_limits(self.fits.once(f"references/{self.key}", "limits.json", make))

    @property
    def rows_by_day(self) -> tuple[int, ...]:
        """Give the rows of each day; empty where no column is watched."""
        return next((profile.rows for profile in self.profile.values()), ())

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Predict the newer part of the rows by fits that had not seen it, and the holdout by the candidate; kept."""

        def make(place: Workspace) -> dict[str, Any]:
            candidate, whole = self.judged or (self.fitted, self.fitted.training)
            train = self.fits.rows(candidate.training, self.settings)
            parts = out_of_fold.by_folds(train, self.settings)
            if whole.days != candidate.training.days:
                rows = self.fits.rows(whole, self.settings)
                held = rows.loc[rows["day"] > candidate.last_day.isoformat()]
                target = held[self.settings.task.target].to_numpy(dtype=float)
                parts.append(
                    pd.DataFrame({"day": held["day"], "prediction": candidate.predict(held), "target": target})
                )
            place.write_table("predictions.parquet", out_of_fold.together(parts))
            return {"rows": sum(map(len, parts))}

        folder = f"references/{self.key}"
        self.fits.once(folder, "predictions.json", make)
        return Workspace(self.fits.place.objects, folder).read_table("predictions.parquet")

    @cached_property
    def own_limits(self) -> dict[str, Limit]:
        """Give how far predictions and labels may move."""
        return limits.own_limits(self.predictions, self.settings.drift)

    @cached_property
    def leans(self) -> dict[str, tuple[float | None, bool | None]]:
        """Say of each column whether the model depends on it, by its newest days; kept on disk."""

        def make(_: Workspace) -> dict[str, Any]:
            newest = sorted(self.rows["day"].unique())[-self.settings.split.holdout_days :]
            rows = self.rows.loc[self.rows["day"].isin(newest)]
            found = measure_importance(
                self.fitted.pipeline,
                matrix(rows, self.settings.features),
                rows[self.settings.task.target],
                kind=self.settings.task.kind,
                metric=self.settings.gate.metric,
                seed=self.settings.fit.seed,
            )
            return {one["feature"]: one["increase"] for one in found.facts()["features"]}

        importance = self.fits.once(f"references/{self.key}", "importance.json", make)
        return drift.leaning(self.columns, self.settings.features, importance)


def drift_of(day: date, version: int, reference: Reference, ends: Ends) -> DriftReport:
    """Compare the window that ends at ``day`` with a model's reference; kept on disk under what the model is.

    What depends on the course of a policy, predictions and labels, is compared each time.
    """

    def make(_: Workspace) -> dict[str, Any]:
        return _measure(day, reference).model_dump(mode="json")

    kept = reference.fits.once(f"references/{reference.key}", f"drift/{_seen(day, reference)}.json", make)
    report = DriftReport.model_validate({**kept, "champion_version": version})
    if not report.columns:  # too few rows
        return report
    columns = _ends(reference, ends)
    declared = reference.settings.drift
    known = reference.predictions["day"]
    are_new = ends.first_label_day.isoformat() > (str(known.max()) if len(known) else date.max.isoformat())
    found = drift.drift_findings(columns, declared, labels_are_new=are_new)
    return report.model_copy(update={"columns": (*report.columns, *columns), "findings": (*report.findings, *found)})


@dataclass(frozen=True, eq=False)
class Ends:
    """What a version predicted itself in the window, and the newest labels that have arrived, from a day on."""

    predictions: pd.Series
    labels: pd.Series
    first_label_day: date


def _ends(reference: Reference, ends: Ends) -> tuple[ColumnDrift, ...]:
    """Measure how far predictions and labels have moved; of too few, nothing."""
    declared, seed = reference.settings.drift, reference.settings.fit.seed
    if reference.predictions.empty:
        return ()
    known = drift.sample_days(reference.predictions, rows=declared.reference_rows, seed=seed)
    least = drift.fewest_rows(declared, reference.rows_by_day)
    pairs = {drift.PREDICTION: (known["prediction"], ends.predictions), drift.LABEL: (known["target"], ends.labels)}
    scores = {
        name: drift.distance(before, now, declared.methods)
        for name, (before, now) in pairs.items()
        if name in reference.own_limits and now.notna().sum() >= least
    }
    only_ends = declared.model_copy(update={"structural": (), "environment": ()})
    named = dict.fromkeys(pairs, declared.methods.numeric)
    return drift.judge(scores, named, reference.own_limits, only_ends, also=("prediction", "label"))


def _seen(day: date, reference: Reference) -> str:
    """Name a day and all that is compared on it, the day before included."""
    digests = reference.fits.world.digests
    reach = max(reference.settings.drift.window_days, 2)
    days = [day - timedelta(days=back) for back in range(reach)]
    facts = [digests.get(("inputs", each), "") for each in days]
    return f"{day}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def _measure(day: date, reference: Reference) -> DriftReport:
    settings, inputs = reference.settings, reference.fits.world.inputs
    first = day - timedelta(days=settings.drift.window_days - 1)
    days = [each for each in sorted(inputs) if first <= each <= day]
    current = pd.concat([inputs[each] for each in days], ignore_index=True) if days else pd.DataFrame()
    noticed = (*_faults_of_day(day, reference), *drift.never_measured(settings.drift, reference.rows_by_day))
    broke = [finding.said for finding in noticed if finding.at_once and finding.severity == "alarm"]
    few = drift.too_few_rows(len(current), first, day, settings.drift, reference.rows_by_day)
    if few is not None:
        return DriftReport(
            day=day,
            status="drift" if broke else "unknown",
            champion_version=None,
            reason="; ".join([*broke, few]),
            findings=noticed,
        )
    methods = settings.drift.methods
    before = reference.sample
    scores = {
        column: drift.distance(before[column], current[column], methods) if column in current else None
        for column in reference.columns
    }
    named = {column: drift.method(before[column], methods) for column in reference.columns}
    columns = drift.judge(scores, named, reference.limits, settings.drift, leans=reference.leans)
    status, reason = drift.verdict(columns, settings.drift)
    if broke:
        reason = "; ".join([reason, *broke] if status == "drift" else [*broke, reason])
        status = "drift"
    return DriftReport(
        day=day,
        status=status,
        champion_version=None,
        reason=reason,
        current_first_day=first,
        current_rows=len(current),
        columns=columns,
        findings=(*noticed, *drift.drift_findings(columns, settings.drift)),
    )


def _faults_of_day(day: date, reference: Reference) -> tuple[Finding, ...]:
    """Hold every row of the newest day against how the days of the reference were."""
    inputs = reference.fits.world.inputs

    def counted(each: date) -> dict[str, findings.DayColumn]:
        return {
            column: findings.count(inputs[each][column], categorical=profile.categorical)
            for column, profile in reference.profile.items()
            if column in inputs[each]
        }

    before = day - timedelta(days=1)
    return findings.structural_faults(
        day,
        counted(day),
        reference.profile,
        reference.settings.drift,
        matters={column: matter for column, (_, matter) in reference.leans.items()},
        yesterday=counted(before) if before in inputs else None,
    )
