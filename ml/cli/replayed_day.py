"""Let one day happen as it would in the loop: ingest, score, monitor, and what the policy asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from ml.adapters import layout
from ml.errors import EvergreenError, NoDataExpected
from ml.records import (
    Champion,
    Decision,
    Ingested,
    LivePerformance,
    Promotion,
    ReplayedDay,
    RetrainRequest,
    Rollback,
    RollbackRequest,
    Scoring,
)
from ml.wiring import open_services

Answer = TypeVar("Answer")


@dataclass
class Day:
    """One day on its way; each step opens what it needs anew, as a task does."""

    day: date
    problems: list[str] = field(default_factory=list)

    def live(self) -> ReplayedDay:
        """Run all steps of the day, in order; a problem that stays stops what depends on it.

        Raises
        ------
        Unavailable
            If something does not answer: run again, the day goes on where it was.
        """
        ingested = self._attempt("ingest", self._ingest)
        if ingested is None or ingested.rest:
            rest = ingested.rest if ingested else ""
            return ReplayedDay(day=self.day, rest=rest, problems=tuple(self.problems))
        champion, scoring = self._attempt("score", self._score) or (None, None)
        decision, live = self._attempt("monitor", self._monitor) or (None, None)
        event = ""
        if decision is not None and decision.rollback is not None:
            event = self._attempt("rollback", lambda: self._roll_back(decision.rollback)) or ""
        elif decision is not None and decision.request is not None:
            event = self._attempt("retrain", lambda: retrain(decision.request)) or ""
        return ReplayedDay(
            day=self.day,
            rows=scoring.rows if scoring else ingested.rows,
            version=champion.version if champion else None,
            state=decision.state if decision else "",
            metrics=dict(live.metrics) if live else {},
            reasons=decision.reasons if decision else (),
            event=event,
            problems=tuple(self.problems),
        )

    def _attempt(self, what: str, work: Callable[[], Answer]) -> Answer | None:
        try:
            return work()
        except NoDataExpected:
            return None
        except EvergreenError as err:
            if err.retryable:
                raise
            self.problems.append(f"{what}: {err}")
            return None

    def _ingest(self) -> Ingested:
        from ml.steps.ingest import commit, land, report_rejected, screen

        landing = call(land.run, self.day, now=datetime.now(UTC))
        screening = call(screen.run, landing)
        ingested: Ingested = call(commit.run, screening, defer_labels=True)
        self._attempt("labels", lambda: call(report_rejected.run, screening))
        return ingested

    def _score(self) -> tuple[Champion, Scoring | None]:
        from ml.steps.score import export, plan, predict, publish, resolve, shadow

        champion: Champion = call(resolve.run, self.day)
        if champion.version is None:
            return champion, None
        shards = call(plan.run, champion)
        scoring: Scoring = call(publish.run, shards, [call(predict.run, shard) for shard in shards.shards])
        if open_services().settings.score.sink is not None:
            self._attempt("export", lambda: call(export.run, self.day, scoring.version))
        self._attempt("shadow", lambda: call(shadow.run, champion))
        return champion, scoring

    def _monitor(self) -> tuple[Decision, LivePerformance]:
        from ml.steps.monitor import (
            compare_with_previous,
            decide,
            measure_drift,
            measure_performance,
            measure_requests,
            score_refit,
        )
        from ml.steps.score import resolve

        champion = call(resolve.run, self.day)
        drift, live = call(measure_drift.run, champion), call(measure_performance.run, champion)
        if open_services().storage.list(layout.serving.REQUESTS):
            self._attempt("requests", lambda: call(measure_requests.run, champion))
        decision: Decision = call(decide.run, champion, drift, live, call(compare_with_previous.run, champion))
        self._attempt("score_refit", lambda: call(score_refit.run, champion))
        return decision, live

    def _roll_back(self, request: RollbackRequest | None) -> str:
        from ml.steps import rollback

        done: Rollback = call(rollback.run, request)
        return done.reason


def retrain(request: RetrainRequest | None) -> str:
    """Train and judge a challenger, and let it serve if it wins; nobody is asked. Return what came of it."""
    promotion = retrain_steps(request, call)
    if promotion is None:
        return "this very training was judged before"
    return f"{'promoted' if promotion.promoted else 'held'} version {promotion.version}: {promotion.reason}"


def retrain_steps(request: RetrainRequest | None, call: Callable[..., Any]) -> Promotion | None:
    """Run the steps of *retrain* in their order, without a person's approval.

    Parameters
    ----------
    call
        Runs one step: takes its ``run`` and its records, ``workspace`` (that of the training whose settings count) and
        the step's own options, and returns what the step returns.

    Returns
    -------
    Promotion or None
        None if this very training was judged before.
    """
    from ml.steps.retrain import (
        check,
        describe,
        evaluate,
        fit,
        gate,
        promote,
        pull,
        refit,
        register,
        split,
        tune,
        validate,
    )

    window = call(pull.run, request)
    if window.seen_before:
        return None
    for step in (validate, split, tune, fit, check):
        call(step.run, window, workspace=window.workspace)
    evaluation = call(evaluate.run, window, workspace=window.workspace, meet_champion=True)
    challenger = call(register.run, window, evaluation, workspace=window.workspace)
    verdict = call(gate.run, window, workspace=window.workspace, challenger=challenger)
    judgement = call(refit.run, window, verdict, workspace=window.workspace)
    call(describe.run, window, judgement, workspace=window.workspace)
    promotion: Promotion = call(promote.run, window, judgement, workspace=window.workspace)
    return promotion


def call(run: Callable[..., Answer], *records: object, workspace: str | None = None, **options: object) -> Answer:
    """Run a step with services of its own, by the settings that its training has pinned where it is of one."""
    services = open_services(run=workspace)
    return run(*records, settings=services.settings, services=services, **options)
