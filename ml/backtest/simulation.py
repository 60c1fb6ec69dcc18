"""Live through a span of days under one policy: score, monitor, decide, train, judge, promote, day after day."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from ml.backtest.fits import Fits, Training
from ml.backtest.judging import Version, judge, refit
from ml.backtest.monitoring import Monitored, Window, drift_on
from ml.backtest.outcome import DayOf, DayRecords, Outcome
from ml.backtest.policies import Policy
from ml.backtest.scores import Scores
from ml.backtest.shadow_refits import ShadowRefits
from ml.core.champions import previous_champion, promoted_losses, tenures
from ml.core.data import windows
from ml.core.data.days import days_between
from ml.core.gate import gate_evidence
from ml.core.monitoring import performance, policy, policy_facts
from ml.core.monitoring.label_coverage import ServedDay
from ml.core.monitoring.slice_findings import with_changes
from ml.core.predictions import column
from ml.errors import DataRejected, MissingArtifact
from ml.records import Champion, Decision, DriftReport, LivePerformance, Logged, PreviousChampionComparison


@dataclass(eq=False)
class Simulation:
    """The registry, the decisions and the versions of one policy, as they grow."""

    policy: Policy
    fits: Fits
    first: date
    last: date
    log: list[Logged] = field(default_factory=list)
    versions: dict[int, Version] = field(default_factory=dict)
    monitored: dict[int, Monitored] = field(default_factory=dict)
    records: dict[date, DayRecords] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings, self.dataset = self.policy.settings, self.fits.dataset
        self.scores = Scores(self.dataset, self.settings, self.versions)
        self.refits = ShadowRefits(self.fits, self.scores, self.settings)

    def run(self, on_day: Callable[[int], None] = lambda _: None) -> Outcome:
        """Live through all days; the same world and policy give the same outcome."""
        self._begin()
        simulated = []
        for day in days_between(self.first, self.last):
            simulated.append(self._live(day))
            on_day(1)
        parts = [
            self.dataset.rows_of(day).assign(
                target=self.dataset.outcomes(day), prediction=column(self.scores.predicted[day, version])
            )
            for day, version in sorted(self.scores.served.items())
            if day not in self.dataset.excluded
        ]
        empty = pd.DataFrame({"day": [], "row": [], "target": [], "prediction": []})
        return Outcome(
            scored=pd.concat(parts, ignore_index=True) if parts else empty,
            days=pd.DataFrame([vars(day_facts) for day_facts in simulated]),
        )

    # -- a day ---------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Let the same model serve first under every policy: the recipe on all that was known the day before."""
        eve = self.first - timedelta(days=1)
        whole = self._window(eve)
        self.versions[1] = self._version(whole)
        self._promote(max(self._inputs(eve)), 1, whole, previous=None)

    def _live(self, day: date) -> DayOf:
        simulated = DayOf(day, quarantined=self.dataset.quarantined.get(day, 0))
        if day not in self.dataset.inputs:
            simulated.rejected = self.dataset.rejected.get(day, "")  # nothing is expected on other days without inputs
            return simulated  # nothing is scored, and monitor does not start
        tenure, reason = tenures.champion_of(day, self.log)
        assert tenure is not None
        version = tenure.version
        champion = Champion(day=day, version=version, reason=reason, data_version="")
        simulated.version, simulated.shift, simulated.rows = version, *self.scores.score(day, version, self.log)
        drift, live, previous = self._drift(day, version), self._performance(champion), self._comparison(champion)
        decision = self._decide(champion, drift, live, previous)
        self.records[day] = DayRecords(drift, live, previous, decision)
        simulated.drift, simulated.performance = drift.status, live.status
        simulated.state, simulated.alarm, simulated.action = decision.state, decision.alarm, decision.action
        simulated.reason = "; ".join(decision.reasons)
        simulated.alarm_conditions = " ".join(
            sorted({f"{finding.severity}:{finding.kind}:{finding.column or ''}" for finding in decision.findings})
        )
        if self.policy.replayed.monitor:
            self.refits.score(version, day, self.log)
        if decision.rollback is not None and decision.rollback.to_version is not None:
            simulated.event = self._roll_back(day, version, decision.rollback.to_version, decision.rollback.reason)
        elif decision.request is not None:
            self._write("retrain_request", day, day, None, {"version": version})
            simulated.event, simulated.fit_seconds = self._retrain(day, version, tenure.window_last_day)
        return simulated

    def _inputs(self, day: date) -> set[date]:
        """Return the days whose inputs the registry would hold on ``day``."""
        return {other for other in self.dataset.inputs if other <= day}

    # -- monitor -------------------------------------------------------------------------------------

    def _monitored(self, version: int) -> Monitored:
        if version not in self.monitored:
            self.monitored[version] = Monitored(self.versions[version], self.records)
        return self.monitored[version]

    def _drift(self, day: date, version: int) -> DriftReport:
        if not self.policy.replayed.monitor:
            return DriftReport(day=day, status="unknown", champion_version=version, reason="nobody looks")

        def served(other: date) -> np.ndarray | None:
            return self.scores.raw[other, version] if self.scores.served.get(other) == version else None

        return drift_on(Window(day, self.settings, self.dataset, served), version, self._monitored(version))

    def _performance(self, champion: Champion) -> LivePerformance:
        day = champion.day
        if not self.policy.replayed.monitor:
            facts = {"rows": 0, "metrics": {}, "reason": "nobody looks", "champion_version": champion.version}
            return LivePerformance(day=day, labelled_day=None, **facts)
        oldest, first, last = performance.days_of(day, self.settings)
        arrived = set(self.dataset.labelled_days(day))
        measured = [other for other in days_between(first, last) if other in arrived and other in self.scores.served]
        share, parts, days = self.scores.share(measured), [], []
        for other in (other for other in days_between(oldest, last) if other in self.dataset.inputs):
            version = self.scores.served.get(other)
            labelled = int(self.dataset.labels[other][self.dataset.target].notna().sum()) if other in arrived else None
            if other in arrived and version is not None:
                rows, predicted = self.scores.served_rows(other, share), len(self.scores.predicted[other, version])
                looked_at = int(self.dataset.in_sample(other, share).sum())
                labelled = len(rows) if share >= 1 else round(predicted * len(rows) / max(looked_at, 1))
                parts += [rows] if other >= first and other not in self.dataset.excluded else []
            days.append(
                ServedDay(other, None if version is None else len(self.scores.predicted[other, version]), labelled)
            )
        columns = ["day", "version", "target", "prediction"]
        report = performance.report_on(
            champion,
            pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns),
            days,
            self.log,
            expected_of=lambda version: self._monitored(version).expected,
            settings=self.settings,
            in_full=False,
        )
        return with_changes(report, self.scores.slices(day), self.settings)

    def _comparison(self, champion: Champion) -> PreviousChampionComparison | None:
        if not self.settings.rollback.automatic:
            return None
        arrived: list[date] = []

        def labelled(first: date, last: date) -> Collection[date]:
            days = self.scores.labelled_between(first, last, champion.day)
            arrived[:] = [day for day in days if day not in self.dataset.excluded]
            return arrived

        def pair(watch: previous_champion.Watch, day: date) -> pd.DataFrame | None:
            if (day, watch.previous) not in self.scores.predicted or self.scores.served.get(day) != watch.champion:
                return None
            ours, theirs = (self.scores.predicted[day, version] for version in (watch.champion, watch.previous))
            return self.scores.rows(day, self.scores.share(arrived), champion=ours, previous=theirs)

        return previous_champion.measure(champion, self.log, labelled=labelled, pair=pair, settings=self.settings)

    def _decide(
        self, champion: Champion, drift: DriftReport, live: LivePerformance, previous: PreviousChampionComparison | None
    ) -> Decision:
        day = champion.day
        earlier = [
            self.records[earlier_day]
            for earlier_day in policy_facts.earlier_days(day, self.settings)
            if earlier_day in self.records
        ]
        lately = policy_facts.decided_days(day, self.settings)
        facts = policy_facts.facts_on(
            champion,
            drift,
            live,
            previous,
            changes=self.log,
            recent=self.log,
            inputs=self._inputs(day),
            labels=self.dataset.labelled_days(day),
            rejected={asset: self.dataset.kept_out_by(asset, day) for asset in self.dataset.kept_out},
            earlier=[measured for records in earlier for measured in (records.drift, records.performance)],
            tried=policy_facts.tried(self._next_fingerprint(day), self.log, judged=self._judged),
            settings=self.settings,
            excluded=self.dataset.excluded,
            refit=self.refits.comparison(champion.version) if champion.version is not None else None,
            before=next((self.records[other].decision for other in lately if other in self.records), None),
        )
        return policy.decide(facts, settings=self.settings)

    def _next_fingerprint(self, day: date) -> str | None:
        try:
            return self._fingerprint(self._window(day))
        except MissingArtifact:
            return None

    def _judged(self, fingerprint: str) -> list[Logged]:
        return [entry for entry in self.log if entry.kind in tenures.JUDGED and entry.fingerprint == fingerprint]

    # -- retrain -------------------------------------------------------------------------------------

    def _window(self, day: date) -> Training:
        """Choose the days of a training out of what is known on ``day``."""
        chosen = windows.choose_by(self.settings, self.dataset.labelled_days(day), self.dataset.excluded)
        return Training(chosen.days, (*chosen.lookback, *chosen.excluded))

    def _version(self, whole: Training) -> Version:
        """Fit the recipe on a whole window."""
        return Version(self.fits.fit(whole, self.settings), whole, self.fits, self.settings)

    def _fingerprint(self, whole: Training) -> str:
        """Name a training by all that determines it; its holdout too."""
        return f"{self.settings.split.holdout_days}-{self.fits.key(whole, self.settings)}"

    def _retrain(self, day: date, champion: int, champion_last_day: date) -> tuple[str, float]:
        """Train a challenger and let it serve from the next day on if it may; say what came of it."""
        version = max(self.versions) + 1
        try:
            whole = self._window(day)
            if not self.policy.replayed.gate:
                self.versions[version] = self._version(whole)
                self._promote(day, version, whole, previous=champion)
                return f"promoted version {version} without a gate", self.versions[version].fitted.seconds
            self.fits.parts(whole, self.settings)  # nothing is fitted on what *split* would reject
            candidate = self.fits.fit(self.fits.without_holdout(whole, self.settings), self.settings)
            refresh = gate_evidence.is_refresh(
                self.versions[champion].settings, champion_last_day, self.settings, whole.last_day
            )
            anchor = self._anchor(champion) if refresh else None
            challenger = Version(candidate, whole, self.fits, self.settings, anchor)
            fingerprint = self._fingerprint(whole)
            promoted = promoted_losses.beside_base_rate(self.log, self.settings.gate.metric)
            blocked = fingerprint in tenures.blocked(self.log)
            verdict = judge(challenger, self.versions[champion], champion_last_day, promoted=promoted, blocked=blocked)
        except (MissingArtifact, DataRejected) as err:
            return f"not trained: {err}", 0.0
        seconds = candidate.seconds
        if verdict.decision == "promote" and self.settings.retrain.refit == "after_gate":
            verdict, challenger = refit(challenger, verdict, refresh=refresh)
            seconds += challenger.fitted.seconds
        reasons, facts = "; ".join(verdict.reasons), {"verdict": verdict.model_dump(mode="json")}
        if verdict.decision == "hold":
            payload = {"version": None, "window_last_day": str(whole.last_day), "judged_on": str(day), **facts}
            self._write("hold", day, None, fingerprint, payload)
            return f"held: {reasons}", seconds
        self.versions[version] = challenger
        self._promote(day, version, whole, previous=champion, **facts)
        return f"promoted version {version}: {reasons}", seconds

    def _anchor(self, champion: int) -> tuple[int, Version] | None:
        """Find the last version that won by superiority, where refreshes are held to it and it is not the champion."""
        if not gate_evidence.wants_past(self.settings):
            return None
        anchor = tenures.anchor_of(champion, self.log)
        return None if anchor == champion else (anchor, self.versions[anchor])

    def _promote(self, day: date, version: int, whole: Training, *, previous: int | None, **facts: Any) -> None:
        payload = {
            "version": version,
            "previous_version": previous,
            "window_last_day": str(whole.last_day),
            "judged_on": str(day),
            **facts,
        }
        self._write("promotion", day, day + timedelta(days=1), self._fingerprint(whole), payload)

    def _roll_back(self, day: date, bad: int, to: int, reason: str) -> str:
        back, gone = (
            [entry for entry in tenures.promotions_and_returns(self.log) if entry.payload["version"] == version][-1]
            for version in (to, bad)
        )
        payload = {
            "version": to,
            "previous_version": bad,
            "from_version": bad,
            "window_last_day": back.payload["window_last_day"],
            "judged_on": str(day),
            "blocked_fingerprint": gone.fingerprint,
        }
        self._write("rollback", day, day + timedelta(days=1), back.fingerprint, payload)
        return f"rolled back to version {to}: {reason}"

    def _write(self, kind: str, day: date, effective: date | None, fingerprint: str | None, payload: Any) -> None:
        self.log.append(
            Logged(
                decision_id=str(len(self.log) + 1),
                kind=kind,
                decided_at=datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
                fingerprint=fingerprint,
                effective_day=effective,
                payload=payload,
            )
        )
