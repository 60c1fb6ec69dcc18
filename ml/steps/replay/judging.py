"""Judge a candidate of a replay as *retrain* does: the same measures, the same rules, on the same kind of holdout."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.adapters.workspace import Workspace
from ml.core import gate, leakage, metrics, slices
from ml.core.comparison import new_to_both, paired_gain
from ml.core.features import feature_columns
from ml.core.slices import Slice
from ml.records import Verdict
from ml.settings import Settings, SliceGapRule, SlicesRule
from ml.steps.refit import agreement
from ml.steps.replay.fits import Fits, Fitted, Training


@dataclass(frozen=True)
class Judged:
    """What the gate said of a candidate, and the holdout that it judged by."""

    verdict: Verdict
    candidate: Fitted


def judge(
    candidate: Fitted, whole: Training, champion: Fitted, *, fits: Fits, settings: Settings, barred: bool
) -> Verdict:
    """Weigh the candidate against the champion on the days of ``whole`` that it was not fitted on; kept on disk."""
    facts = [candidate.key, champion.key, fits.key(whole, settings), barred]
    facts += [settings.gate.model_dump(mode="json"), settings.fit.seed]
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def make(_: Workspace) -> dict[str, Any]:
        evidence = _evidence(candidate, whole, champion, fits, settings, barred)
        return gate.decide(settings.gate, evidence).model_dump(mode="json")

    return Verdict.model_validate(fits.once(f"gates/{name}", "verdict.json", make))


def _evidence(
    candidate: Fitted, whole: Training, champion: Fitted, fits: Fits, settings: Settings, barred: bool
) -> gate.Evidence:
    task = settings.task
    rows = fits.rows(whole, settings)
    is_held = rows["day"] > candidate.last_day.isoformat()
    train, holdout = rows.loc[~is_held], rows.loc[is_held]
    scored = pd.DataFrame(
        {
            "day": holdout["day"],
            "target": holdout[task.target].astype(float),
            "challenger": candidate.predict(holdout),
            "champion": champion.predict(holdout),
            "champion_had_seen": holdout["day"] <= champion.last_day.isoformat(),
        }
    )
    base_rate = metrics.measure(scored["target"], np.full(len(scored), candidate.base_rate), task.kind)
    return gate.Evidence(
        challenger=metrics.measure(scored["target"], scored["challenger"], task.kind),
        base_rate=base_rate,
        holdout_days=int(scored["day"].nunique()),
        holdout_rows=len(scored),
        against_champion=True,
        is_refresh=True,  # a policy replays one recipe, each time on newer days
        comparison=paired_gain(
            new_to_both(scored),
            metric=settings.gate.metric,
            confidence=settings.gate.confidence,
            rounds=settings.gate.bootstrap_rounds,
            seed=settings.fit.seed,
        ),
        slices=_slices(scored, holdout, settings),
        leakage=leakage.look(
            train, holdout, feature_columns(settings.features), target=task.target, key=task.key, kind=task.kind
        ),
        past=[(metrics.measure(scored["target"], scored["champion"], task.kind), base_rate)],
        barred=barred,
    )


def _slices(scored: pd.DataFrame, holdout: pd.DataFrame, settings: Settings) -> dict[str, tuple[Slice, ...] | None]:
    found: dict[str, tuple[Slice, ...] | None] = {}
    for name, rule in settings.gate.rules.items():
        if not isinstance(rule, SlicesRule | SliceGapRule):
            continue
        compared = isinstance(rule, SlicesRule)
        part = new_to_both(scored) if compared else scored.drop(columns="champion")
        try:
            found[name] = slices.gains(
                part,
                holdout.loc[part.index],
                rule.by if isinstance(rule, SlicesRule) else (rule.by,),
                kind=settings.task.kind,
                metric=settings.gate.metric,
                confidence=settings.gate.confidence,
                min_rows=rule.min_rows,
                min_days=rule.min_days if isinstance(rule, SlicesRule) else 1,
            )
        except KeyError:
            found[name] = None
    return found


def refit(candidate: Fitted, whole: Training, verdict: Verdict, *, fits: Fits, settings: Settings) -> Judged:
    """Fit the winner again on all days, as `ml.steps.refit` does; it is held if the two disagree."""
    again = fits.fit(whole, settings)
    sample = fits.rows(candidate.training, settings)
    sample = sample.iloc[np.unique(np.linspace(0, len(sample) - 1, 1000).astype(int))]
    before, after = candidate.predict(sample), again.predict(sample)
    difference = float(np.abs(after - before).mean())
    if settings.task.kind == "regression":
        difference = difference / float(before.std()) if before.std() > 0 else float("nan")
    ruling = agreement(difference, settings.retrain.refit_max_difference)
    if ruling.passed:
        return Judged(verdict.model_copy(update={"rulings": (*verdict.rulings, ruling)}), again)
    held = Verdict(decision="hold", reasons=(ruling.reason,), rulings=(*verdict.rulings, ruling))
    return Judged(held, candidate)
