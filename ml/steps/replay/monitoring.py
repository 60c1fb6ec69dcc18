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
from ml.records import DriftReport, Finding, Limit
from ml.settings import Settings
from ml.steps.replay.fits import Fits, Fitted


@dataclass(eq=False)
class Reference:
    """What monitoring keeps with a model: its reference, its limits, what it leans on."""

    fitted: Fitted
    fits: Fits
    settings: Settings

    @property
    def key(self) -> str:
        """Name all that determines it."""
        facts = [self.fitted.key, self.settings.drift.model_dump(mode="json"), self.settings.gate.metric]
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


def drift_of(day: date, version: int, reference: Reference) -> DriftReport:
    """Compare the window that ends at ``day`` with a model's reference; kept on disk under what the model is."""

    def make(_: Workspace) -> dict[str, Any]:
        return _measure(day, reference).model_dump(mode="json")

    kept = reference.fits.once(f"references/{reference.key}", f"drift/{_seen(day, reference)}.json", make)
    return DriftReport.model_validate({**kept, "champion_version": version})


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
    if len(current) < settings.drift.min_rows:
        said = f"only {len(current)} rows from {first} to {day}, drift.min_rows is {settings.drift.min_rows}"
        return DriftReport(day=day, status="unknown", champion_version=None, reason=said)
    methods = settings.drift.methods
    before = reference.sample
    scores = {
        column: drift.distance(before[column], current[column], methods) if column in current else None
        for column in reference.columns
    }
    named = {column: drift.method(before[column], methods) for column in reference.columns}
    columns = drift.judge(scores, named, reference.limits, settings.drift, leans=reference.leans)
    status, reason = drift.verdict(columns, settings.drift)
    noticed = _faults_of_day(day, reference)
    broke = [finding.said for finding in noticed if finding.at_once and finding.severity == "alarm"]
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
