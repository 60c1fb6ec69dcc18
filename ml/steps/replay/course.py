"""Live through a span of days under one policy: score, monitor, decide, train, judge, promote, day after day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd

from ml.core import adapt, history, performance, policy, rivalry, windows
from ml.core.coverage import ServedDay
from ml.core.features import days_between, lookback_days
from ml.core.rest_days import rest_reason
from ml.core.served import Promise, Serving
from ml.errors import MissingArtifact
from ml.records import Decision, DriftReport, LivePerformance, Logged, Rivalry
from ml.steps.replay.fits import Fits, Fitted, Training
from ml.steps.replay.judging import judge, refit
from ml.steps.replay.monitoring import Ends, Reference, drift_of
from ml.steps.replay.policies import Policy


@dataclass
class DayOf:
    """What happened on one day of one policy."""

    day: date
    version: int | None = None
    rows: int = 0
    shift: float = 0.0
    drift: str = ""
    performance: str = ""
    state: str = ""
    alarm: bool = False
    action: str = ""
    event: str = ""
    reason: str = ""
    refused: str = ""
    quarantined: int = 0
    signs: str = ""
    fit_seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """A policy's whole course.

    Attributes
    ----------
    scored : DataFrame of shape (n_rows, 4)
        ``day``, ``row`` (a hash of the key), ``target`` (NaN where no outcome came) and ``prediction``, as served.
    days : DataFrame of shape (n_days, n_columns)
        What happened on each day, see `DayOf`.
    """

    scored: pd.DataFrame
    days: pd.DataFrame


@dataclass(eq=False)
class Course:
    """The registry, the decisions and the served predictions of one policy, as they grow."""

    policy: Policy
    fits: Fits
    first: date
    last: date
    log: list[Logged] = field(default_factory=list)
    versions: dict[int, Fitted] = field(default_factory=dict)
    promises: dict[int, Promise] = field(default_factory=dict)
    references: dict[str, Reference] = field(default_factory=dict)
    raw: dict[tuple[date, int], np.ndarray] = field(default_factory=dict)
    served: dict[date, tuple[int, np.ndarray]] = field(default_factory=dict)
    reports: list[DriftReport | LivePerformance] = field(default_factory=list)
    requests: list[date] = field(default_factory=list)
    judged: dict[str, str] = field(default_factory=dict)
    judged_by: dict[int, tuple[Fitted, Training]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings, self.world = self.policy.settings, self.fits.world

    def run(self, on_day: Callable[[int], None] = lambda _: None) -> Outcome:
        """Live through all days; the same world and policy give the same outcome."""
        self._begin()
        told = []
        for day in days_between(self.first, self.last):
            told.append(self._live(day))
            on_day(1)
        parts = [
            self.world.rows_of(day).assign(target=self.world.outcomes(day), prediction=prediction)
            for day, (_, prediction) in sorted(self.served.items())
        ]
        empty = pd.DataFrame({"day": [], "row": [], "target": [], "prediction": []})
        return Outcome(
            scored=pd.concat(parts, ignore_index=True) if parts else empty,
            days=pd.DataFrame([vars(each) for each in told]),
        )

    # -- a day ---------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Let the same model serve first under every policy: the recipe on all that was known the day before."""
        eve = self.first - timedelta(days=1)
        whole = self._window(eve)
        fitted = self.fits.fit(whole, self.settings)
        self.versions[1] = fitted
        self._crown(eve, 1, whole, previous=None, fingerprint=fitted.key)

    def _live(self, day: date) -> DayOf:
        found = DayOf(day, quarantined=self.world.quarantined.get(day, 0))
        if day not in self.world.inputs:
            found.refused = self.world.refused.get(day, "")  # nothing is expected on other days without inputs
            return found  # nothing is scored, and monitor does not start
        reign, _ = history.champion_of(day, self.log)
        assert reign is not None
        found.version = reign.version
        self._score(day, reign.version, found)
        drift = self._drift(day, reign.version)
        live = self._performance(day, reign.version)
        rival = self._rivalry(day, reign.version)
        decision = self._decide(day, reign.version, drift, live, rival)
        self.reports += [drift, live]
        found.drift, found.performance = drift.status, live.status
        found.state, found.alarm, found.action = decision.state, decision.alarm, decision.action
        found.reason = "; ".join(decision.reasons)
        found.signs = " ".join(
            sorted({f"{each.severity}:{each.kind}:{each.column or ''}" for each in decision.findings})
        )
        if decision.rollback is not None and decision.rollback.to_version is not None:
            found.event = self._roll_back(day, reign.version, decision.rollback.to_version, decision.rollback.why)
        elif decision.request is not None:
            self.requests.append(day)
            found.event, found.fit_seconds = self._retrain(day, reign.version)
        return found

    # -- score ---------------------------------------------------------------------------------------

    def _score(self, day: date, version: int, found: DayOf) -> None:
        watch, _ = rivalry.watch_of(day, version, self.log, days=self.settings.rollback.watch_days)
        watched = self.settings.rollback.automatic and watch is not None and day <= watch.last_day
        if watched and watch is not None and self.versions[watch.rival].last_day < day:
            self._raw(day, watch.rival)
        found.shift = self._shift(day, version)
        prediction = adapt.shifted(self._raw(day, version), found.shift, kind=self.settings.task.kind)
        self.served[day], found.rows = (version, prediction), len(prediction)

    def _raw(self, day: date, version: int) -> np.ndarray:
        """Give what a version itself says of a day."""
        if (day, version) not in self.raw:
            rows = self.world.seen_on(day, self.settings.features.history)
            self.raw[day, version] = self.versions[version].predict(rows)
        return self.raw[day, version]

    def _shift(self, day: date, version: int) -> float:
        """Say by how much the newest labelled days that the version has scored move its scores."""
        score = self.settings.score
        if score.adapt == "none":
            return 0.0
        last = day - timedelta(days=max(self.settings.task.label_delay_days, 1))
        first = last - timedelta(days=score.adapt_days + self.settings.land.catch_up_days - 1)
        known, seen = set(self.world.labelled_days(day)), self.versions[version].last_day
        days = [each for each in days_between(first, last) if each in known and each > seen][-score.adapt_days :]
        rows = self._labelled(days, lambda each: self._raw(each, version))
        share = score.adapt_share * len(days) / score.adapt_days
        if not share:
            return 0.0
        kind, most = self.settings.task.kind, score.adapt_max_shift
        return adapt.shift_of(rows["prediction"], rows["target"], kind=kind, share=share, most=most)

    def _labelled(self, days: list[date], predicted: Callable[[date], np.ndarray], name: str = "prediction") -> Any:
        """Put outcomes beside predictions of days, leaving out rows whose outcome never came."""
        parts = [
            pd.DataFrame({"day": day.isoformat(), "target": self.world.outcomes(day), name: predicted(day)})
            for day in days
        ]
        if not parts:
            return pd.DataFrame({"day": pd.Series(dtype="str"), "target": [], name: []})
        rows = pd.concat(parts, ignore_index=True)
        return rows.loc[rows["target"].notna()].reset_index(drop=True)

    # -- monitor -------------------------------------------------------------------------------------

    def _reference(self, version: int) -> Reference:
        fitted = self.versions[version]
        if fitted.key not in self.references:
            judged = self.judged_by.get(version)
            self.references = {fitted.key: Reference(fitted, self.fits, self.settings, judged)}  # one is enough
        return self.references[fitted.key]

    def _drift(self, day: date, version: int) -> DriftReport:
        if not self.policy.replayed.monitor:
            return DriftReport(day=day, status="unknown", champion_version=version, reason="nobody looks")
        return drift_of(day, version, self._reference(version), self._ends(day, version))

    def _ends(self, day: date, version: int) -> Ends:
        """Give what the version served in the drift window before ``day``, and the labels that have arrived by then."""
        first = day - timedelta(days=self.settings.drift.window_days - 1)
        delay, known = timedelta(days=self.settings.task.label_delay_days), set(self.world.labelled_days(day))
        served = [
            self.raw[each, version]
            for each in days_between(first, day - timedelta(days=1))
            if self.served.get(each, (None,))[0] == version
        ]
        labels = [self.world.outcomes(each) for each in days_between(first - delay, day - delay) if each in known]
        return Ends(
            predictions=pd.Series(np.concatenate([np.zeros(0), *served])),
            labels=pd.Series(np.concatenate([np.zeros(0), *labels])),
            first_label_day=first - delay,
        )

    def _performance(self, day: date, version: int) -> LivePerformance:
        delay, watched = self.settings.task.label_delay_days, self.settings.performance.window_days
        last = day - timedelta(days=max(delay, 1))
        if not self.policy.replayed.monitor:
            said = "nobody looks"
            return LivePerformance(
                day=day, labelled_day=None, rows=0, metrics={}, reason=said, champion_version=version
            )
        known = set(self.world.labelled_days(day))
        window = days_between(last - timedelta(days=watched - 1), last)
        since = min(window[0], last - timedelta(days=self.settings.land.catch_up_days + 1))
        days = [each for each in window if each in known and each in self.served]
        rows = self._labelled(days, lambda each: self.served[each][1])
        versions = {each.isoformat(): self.served[each][0] for each in days}
        return performance.assess(
            day,
            version,
            rows.assign(version=rows["day"].map(versions)),
            self._served_days(days_between(since, last), known),
            promised=self._promise(version),
            settings=self.settings,
            in_full=False,
            others={other: self._promise(other) for other in sorted(set(versions.values()) - {version})},
            serving=self._serving(day, version),
        )

    def _serving(self, day: date, version: int) -> Serving:
        reigns = history.reigns(self.log)
        reign = history.reign_on(version, day, reigns)
        return Serving(min(each.effective_day for each in reigns), reign.effective_day, reign.window_last_day)

    def _served_days(self, window: list[date], known: set[date]) -> list[ServedDay]:
        def labelled(day: date) -> int:
            return int(np.isfinite(self.world.outcomes(day)).sum())

        return [
            ServedDay(
                day,
                len(self.served[day][1]) if day in self.served else None,
                labelled(day) if day in known else None,
            )
            for day in window
            if day in self.world.inputs
        ]

    def _promise(self, version: int) -> Promise:
        """Say what a holdout saw of the recipe: the newest days, predicted by a fit on those before them."""
        if version not in self.promises:
            fitted = self.versions[version]
            held = self.settings.split.holdout_days
            judged_by = self.judged_by.get(version)
            whole = judged_by[1] if judged_by else fitted.training
            candidate = judged_by[0] if judged_by else self.fits.fit(_without(whole, held), self.settings)
            rows = self.fits.rows(whole, self.settings)
            rows = rows.loc[rows["day"] > candidate.last_day.isoformat()]
            holdout = pd.DataFrame(
                {
                    "day": rows["day"],
                    "target": rows[self.settings.task.target].astype(float),
                    "challenger": candidate.predict(rows),
                    "base_rate": candidate.base_rate,
                }
            )
            self.promises[version] = performance.promise(holdout, self.settings)
        return self.promises[version]

    def _rivalry(self, day: date, version: int) -> Rivalry | None:
        settings = self.settings
        watch, _ = rivalry.watch_of(day, version, self.log, days=settings.rollback.watch_days)
        if not settings.rollback.automatic or watch is None:
            return None
        delay = settings.task.label_delay_days
        if day > watch.last_day + timedelta(days=delay + settings.land.catch_up_days):
            return None
        last = min(watch.last_day, day - timedelta(days=max(delay, 1)))
        known = set(self.world.labelled_days(day))
        days = [
            each
            for each in days_between(watch.first_day, last)
            if each in known and (each, watch.rival) in self.raw and self.served.get(each, (None,))[0] == version
        ]
        rows = self._labelled(days, lambda each: self.served[each][1], "champion")
        rows["rival"] = self._labelled(days, lambda each: self.raw[each, watch.rival], "rival")["rival"]
        return rivalry.compare(day, watch, rows, gate=settings.gate, rollback=settings.rollback, seed=settings.fit.seed)

    def _decide(
        self, day: date, version: int, drift: DriftReport, live: LivePerformance, rival: Rivalry | None
    ) -> Decision:
        reigns = history.reigns(self.log)
        reign = history.reign_on(version, day, reigns)
        labelled = [each for each in self.world.labelled_days(day) if each in self.world.inputs]
        window = self.settings.drift.window_days
        held = {each for each in self.world.inputs if each <= day}
        refused = [each for each in self.world.refused if day - timedelta(days=window) < each <= day]
        gaps = policy.gaps(held, last_day=day, days=window)
        missing = [each for each in gaps if not rest_reason(each, held, self.settings.land)]
        facts = policy.Facts(
            drift=drift,
            performance=live,
            newest_day=day,
            champion=policy.ChampionFacts(
                version=version,
                promoted_on=reign.effective_day,
                serves_now=reigns[-1].version == version,
                window_last_day=reign.window_last_day,
            ),
            anyone_serves=True,
            earlier=tuple(self.reports[-2 * self.settings.drift.alarm_days[1] :]),
            rivalry=rival,
            last_judged=history.last_judged(self.log, until=day),
            requests=tuple(self.requests),
            new_days=sum(each > reign.window_last_day for each in labelled),
            absent_days=tuple(sorted({*refused, *missing})),
            tried=self._tried(day),
        )
        return policy.decide(facts, settings=self.settings)

    def _tried(self, day: date) -> Literal["judged", "barred"] | None:
        try:
            name = self._name(self._window(day))
        except MissingArtifact:
            return None
        if name in history.barred(self.log):
            return "barred"
        return "judged" if name in self.judged else None

    # -- retrain -------------------------------------------------------------------------------------

    def _window(self, day: date) -> Training:
        """Choose the days of a training as `ml.steps.pull` does, out of what is known on ``day``."""
        pull = self.settings.pull
        reach = lookback_days(self.settings.features.history, label_delay_days=self.settings.task.label_delay_days)
        chosen = windows.choose(
            self.world.labelled_days(day), last_day=None, days=pull.days, min_days=pull.min_days, lookback_days=reach
        )
        return Training(chosen.days, chosen.lookback)

    def _name(self, whole: Training) -> str:
        """Name a training by all that determines it; its holdout too."""
        return f"{self.settings.split.holdout_days}-{self.fits.key(whole, self.settings)}"

    def _retrain(self, day: date, champion: int) -> tuple[str, float]:
        """Train a challenger and let it serve from the next day on if it may; say what came of it."""
        try:
            whole = self._window(day)
        except MissingArtifact as err:
            return f"not trained: {err}", 0.0
        name = self._name(whole)
        version = max(self.versions) + 1
        if not self.policy.replayed.gate:
            fitted = self.fits.fit(whole, self.settings)
            self.versions[version] = fitted
            self._crown(day, version, whole, previous=champion, fingerprint=name)
            return f"promoted version {version} without a gate", fitted.seconds
        candidate = self.fits.fit(_without(whole, self.settings.split.holdout_days), self.settings)
        serving, seconds = candidate, candidate.seconds
        barred = name in history.barred(self.log)
        verdict = judge(
            candidate, whole, self.versions[champion], fits=self.fits, settings=self.settings, barred=barred
        )
        if verdict.decision == "promote" and self.settings.retrain.refit == "after_gate":
            judged = refit(candidate, whole, verdict, fits=self.fits, settings=self.settings)
            verdict, serving = judged.verdict, judged.candidate
            seconds += serving.seconds if serving is not candidate else 0.0
        self.judged[name] = verdict.decision
        said = "; ".join(verdict.reasons)
        if verdict.decision == "hold":
            self._write("hold", day, None, name, {"version": None, "judged_on": day.isoformat()})
            return f"held: {said}", seconds
        self.versions[version] = serving
        self.judged_by[version] = (candidate, whole)
        self._crown(day, version, whole, previous=champion, fingerprint=name)
        return f"promoted version {version}: {said}", seconds

    def _crown(self, day: date, version: int, whole: Training, *, previous: int | None, fingerprint: str) -> None:
        self.judged[fingerprint] = "promote"
        payload = {
            "version": version,
            "previous_version": previous,
            "window_last_day": whole.days[-1].isoformat(),
            "judged_on": day.isoformat(),
        }
        self._write("promotion", day, day + timedelta(days=1), fingerprint, payload)

    def _roll_back(self, day: date, bad: int, to: int, why: str) -> str:
        crowned = [entry for entry in history.crownings(self.log) if entry.payload["version"] == to][-1]
        gone = [entry for entry in history.crownings(self.log) if entry.payload["version"] == bad][-1]
        payload = {
            "version": to,
            "from_version": bad,
            "window_last_day": crowned.payload["window_last_day"],
            "judged_on": day.isoformat(),
            "barred_fingerprint": gone.fingerprint,
        }
        self._write("rollback", day, day + timedelta(days=1), crowned.fingerprint, payload)
        return f"rolled back to version {to}: {why}"

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


def _without(whole: Training, newest: int) -> Training:
    """Leave the newest days of a training out."""
    return Training(whole.days[:-newest], whole.lookback)
