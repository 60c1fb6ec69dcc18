"""Judge a candidate of a backtest: the same evidence, the same rules and the same refit as *retrain*."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import pandas as pd

from ml.adapters import layout
from ml.adapters.workspace import Workspace
from ml.backtest.fits import Fits, Fitted, Training
from ml.core import gate
from ml.core.gate import gate_evidence
from ml.core.gate.expected_loss import most_of_a_refit
from ml.core.gate.refit import agreement, compared_rows, conclude, difference
from ml.core.gate.rule import Compared
from ml.records import PastRefresh, RefreshHistory, Verdict
from ml.settings import Settings
from ml.steps.retrain import past_refreshes


@dataclass(eq=False)
class Version:
    """A model that serves or may come to serve, and its window; what of it was judged is the candidate.

    The first model of a backtest, and those of a policy without a gate, were never judged. What a holdout says of them
    is said, as of a refit, of a fit on the days before it. A refresh has an ``anchor``: the last version that won by
    superiority, with its number, where that is not the champion.
    """

    fitted: Fitted
    whole: Training
    fits: Fits
    settings: Settings
    anchor: tuple[int, Version] | None = None

    @cached_property
    def candidate(self) -> Fitted:
        """Fit the recipe on all days but the newest, which are held out."""
        return self.fits.fit(self.fits.without_holdout(self.whole, self.settings), self.settings)

    @cached_property
    def parts(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the rows of the training part and of the holdout."""
        return self.fits.parts(self.whole, self.settings)

    @cached_property
    def scored(self) -> pd.DataFrame:
        """Score the holdout by the candidate."""
        train, holdout = self.parts
        return gate_evidence.scored_holdout(train, holdout, self.candidate.predict(holdout), self.settings)

    @cached_property
    def anchored(self) -> Fitted | None:
        """Return who stands for the anchor on the holdout; None without one."""
        return None if self.anchor is None else _compared(self, self.anchor[1], recipe=False)[1]

    @cached_property
    def judged(self) -> pd.DataFrame:
        """Return what *register* would keep of the holdout: `scored`, and what the anchor predicts of it."""
        if self.anchored is None:
            return self.scored
        predicted, until = self.anchored.predict(self.parts[1]), str(self.anchored.training.last_day)
        return gate_evidence.with_anchor(self.scored, predicted, trained_until=until)

    @property
    def when_judged(self) -> Mapping[str, float]:
        """Return what MLflow would hold of the serving model's own holdout: of a refit, which has seen it, nothing."""
        if self.fitted.key != self.candidate.key:
            return {}
        measured, metric = gate_evidence.measure(self.scored, self.settings), self.settings.gate.metric
        return {**measured["challenger"], f"base_rate_{metric}": measured["base_rate"][metric]}

    @cached_property
    def past(self) -> tuple[PastRefresh, ...]:
        """Measure what refreshes of the recipe gained within the training part; each kept on disk."""

        def once(key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
            named = hashlib.sha256(f"{key} {self.fits.code}".encode()).hexdigest()
            return self.fits.once(layout.backtest.cached("refreshes", named), "refresh.json", lambda _: make())

        return past_refreshes.measure(self.parts[0], self.settings, once=once, remember=self.fits.remember)

    @property
    def key(self) -> str:
        """Name all that determines it."""
        return f"{self.fitted.key} {self.fits.key(self.whole, self.settings)}"


def judge(
    challenger: Version,
    champion: Version,
    champion_last_day: date,
    *,
    promoted: Sequence[tuple[float, float]],
    blocked: bool,
) -> Verdict:
    """Weigh a challenger's candidate against the champion on the challenger's holdout; kept on disk.

    Parameters
    ----------
    champion_last_day
        The last day of the champion's window.
    promoted
        See `ml.core.gate.gate_evidence.past_skills`.
    """
    settings, fits, anchor = challenger.settings, challenger.fits, challenger.anchor
    anchor_key = None if anchor is None else [anchor[0], anchor[1].key]
    facts: list[Any] = [challenger.key, champion.key, str(champion_last_day), blocked, promoted]
    facts += [settings.gate.model_dump(mode="json"), settings.fit.seed, settings.split.holdout_days]
    facts += [settings.retrain.refit, settings.pull.min_days, anchor_key]
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def make(_: Workspace) -> dict[str, Any]:
        evidence = _evidence(challenger, champion, champion_last_day, promoted, blocked)
        return gate.decide(settings.gate, evidence).model_dump(mode="json")

    return Verdict.model_validate(fits.once(layout.backtest.cached("gates", name), "verdict.json", make))


def _evidence(
    challenger: Version,
    champion: Version,
    champion_last_day: date,
    promoted: Sequence[tuple[float, float]],
    blocked: bool,
) -> gate.Evidence:
    settings, dataset = challenger.settings, challenger.fits.dataset
    train, holdout = challenger.parts
    whole = challenger.whole
    refresh = gate_evidence.is_refresh(champion.settings, champion_last_day, settings, whole.last_day)
    compared, model = _compared(challenger, champion)
    scored = gate_evidence.with_champion(
        challenger.judged, model.predict(holdout), trained_until=str(model.training.last_day)
    )
    refreshes = None
    if refresh and gate_evidence.wants_past(settings):
        refreshes = _refreshes(challenger, champion, model)
    label_columns = {str(name) for day in (*whole.lookback, *whole.days) for name in dataset.labels[day].columns}
    return gate_evidence.collect(
        scored,
        holdout,
        gate_evidence.measure(scored, settings),
        settings,
        against_champion=True,
        refresh=refresh,
        leakage=gate_evidence.leaks(train, holdout, settings, label_columns=sorted(label_columns)),
        when_judged=champion.when_judged,
        promoted=promoted,
        blocked=blocked,
        compared=compared,
        refreshes=refreshes,
        anchor_version=None if challenger.anchor is None else challenger.anchor[0],
    )


def _compared(challenger: Version, other: Version, *, recipe: bool = True) -> tuple[Compared, Fitted]:
    """Choose who stands for a version on the challenger's holdout, and fit it if need be."""
    fits, days = challenger.fits, challenger.scored["day"]
    trained_until: dict[Compared, date] = {"model": other.fitted.training.last_day}
    judged = fits.without_holdout(other.whole, other.settings)
    if fits.key(judged, other.settings) != other.fitted.key:
        trained_until["twin"] = judged.last_day
    if recipe:
        trained_until["recipe"] = challenger.candidate.training.last_day
    who = gate_evidence.who_compares(days, trained_until, challenger.settings.gate)
    if who == "recipe":
        return who, fits.fit(challenger.candidate.training, other.settings)
    return who, other.candidate if who == "twin" else other.fitted


def _refreshes(challenger: Version, champion: Version, compared: Fitted) -> RefreshHistory:
    anchored = challenger.anchored
    return gate_evidence.refresh_history(
        challenger.past,
        challenger.settings,
        compared_last_day=compared.training.last_day,
        champion_last_day=champion.fitted.training.last_day,
        train_last_day=challenger.candidate.training.last_day,
        last_day=challenger.whole.last_day,
        anchor_last_day=None if anchored is None else anchored.training.last_day,
    )


def refit(challenger: Version, verdict: Verdict, *, refresh: bool) -> tuple[Verdict, Version]:
    """Fit the winner again on all days; it is held if the two disagree by more than is usual for a refresh of it."""
    settings, candidate = challenger.settings, challenger.candidate
    again = challenger.fits.fit(challenger.whole, settings)
    sample = compared_rows(challenger.parts[0])
    apart = difference(candidate.predict(sample), again.predict(sample), settings.task.kind)
    verdict = conclude(verdict, [agreement(apart, most_of_a_refit(settings, challenger.past if refresh else ()))])
    return verdict, Version(again, challenger.whole, challenger.fits, settings, challenger.anchor)
