"""Hold what knows the outcome: features that give it away, rows on both sides of the split, skill from nowhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ml.core.gate.rule import Evidence, GateRule, finite
from ml.records import Ruling
from ml.settings import Gate

if TYPE_CHECKING:
    from ml.core.gate.leakage import Leakage

LEAST_SKILL = 0.02
"""A champion that avoids less of the base rate's loss says nothing of what can be known."""

LEAST_PAIR = {"AUC": 0.0, "R²": 0.9}
MOST_FIRST_SCORE = {"AUC": 0.98, "R²": 0.995}
"""What a first model may reach. A regression on what causes its target is often nearly exact without a leak."""

PAIR_SAYS_MORE = 0.05
"""Two features that explain no more than this beyond the better one say nothing that it does not say alone."""

Shown = tuple[dict[str, float | None], str]


class LeakageRule(GateRule):
    """No feature explains the target, alone or with another, and train and holdout share no key and no day.

    Nor is the challenger too good for the task's own past; a person who has looked into it raises the bound.
    """

    advice: ClassVar[str] = (
        "Look at the features that are named, or at what is new since the champion: one may know the outcome. If a "
        "person has made sure that none does, raise the bound that is named in params.yaml and retrain with force."
    )

    kind: Literal["leakage"]
    max_single_feature: float = Field(default=0.8, gt=0, le=1)
    """How much of the target a single feature may explain: its AUC, or R² for regression."""
    max_feature_pair: float | None = Field(default=None, gt=0, le=1)
    """How much two features may explain together; null for ``max_single_feature``, of a regression at least 0.9."""
    max_skill_gain: float = Field(default=0.15, gt=0, le=1)
    """How much more skill (the share of the base rate's loss that is avoided) a challenger may have than the champion,
    here or when that was judged, and than the newest promoted ones had. More is too good for the task's own past,
    until a person raises the bound.
    """
    max_first_score: float | None = Field(default=None, gt=0, le=1)
    """The largest AUC (or R²) of a first model, which has no past to compare with; null for 0.98, of a regression
    0.995.
    """

    def judge(self, name: str, gate: Gate, evidence: Evidence) -> Ruling:
        measured = evidence.leakage
        threshold: dict[str, float | None] = {
            "max_single_feature": self.max_single_feature,
            "max_skill_gain": self.max_skill_gain,
        }
        strengths = {} if measured is None else measured.strengths
        if measured is None or not strengths or not all(math.isfinite(value) for value in strengths.values()):
            reason = (
                "what each feature alone explains could not be measured: the holdout has a single outcome, or too few "
                "rows of each class. More days in it (split.holdout_days) would have more"
            )
            return self.ruling(name, None, reason, threshold)
        strongest = max(strengths, key=lambda feature: strengths[feature])
        value = strengths[strongest]
        problems = []
        if value > self.max_single_feature:
            problems.append(
                f"{strongest} alone explains the target suspiciously well ({measured.measure} {value:.3f}, "
                f"at most {self.max_single_feature:g}): is it known before the outcome?"
            )
        pair, of_pair = self._telling_pair(name, measured)
        gain, of_gain = self._skill_gain(name, gate.metric, evidence)
        problems += ([of_pair] if of_pair and not problems else []) + ([of_gain] if of_gain else [])
        problems += _shared(measured)
        figures: dict[str, float | None] = {
            strongest: value,
            **pair,
            **gain,
            "shared_days": float(measured.shared_days),
            "shared_keys": float(measured.shared_keys),
            "label_columns": float(len(measured.label_columns)),
            **threshold,
        }
        calm = f"the strongest feature alone, {strongest}, has {measured.measure} {value:.3f}"
        reason = "; ".join(problems) or f"{calm}; train and holdout share nothing"
        return self.ruling(name, not problems, reason, figures)

    def _telling_pair(self, name: str, measured: Leakage) -> Shown:
        """Return the two features that explain most together, and what is wrong with that, if anything."""
        if not measured.pairs:
            return {}, ""
        most = self.max_feature_pair or max(self.max_single_feature, LEAST_PAIR[measured.measure])
        telling = {
            pair: value for pair, value in measured.pairs.items() if value.together - value.alone > PAIR_SAYS_MORE
        }
        pair = max(telling or measured.pairs, key=lambda columns: measured.pairs[columns].together)
        together = measured.pairs[pair].together
        figures: dict[str, float | None] = {pair: together, "max_feature_pair": most}
        if pair not in telling or together <= most:
            return figures, ""
        return figures, (
            f"{pair} explains the target suspiciously well ({measured.measure} {together:.3f} together, "
            f"{measured.pairs[pair].alone:.3f} alone, at most {most:g}): are both known before the outcome? If a "
            f"person has made sure, raise gate.rules.{name}.max_feature_pair and retrain with force"
        )

    def _skill_gain(self, name: str, metric: str, evidence: Evidence) -> Shown:
        """Return how far a challenger's skill is above the best of its past; nothing where there is none."""
        own = _skill(metric, evidence.challenger, evidence.base_rate)
        skills = [_skill(metric, metrics, base) for metrics, base in evidence.past]
        best = max((skill for skill in skills if skill is not None), default=None)
        if best is None and not evidence.against_champion:
            return self._first_score(name, evidence)
        if own is None or best is None or best < LEAST_SKILL:
            return {}, ""
        figures: dict[str, float | None] = {"skill_gain": own - best}
        if own - best <= self.max_skill_gain:
            return figures, ""
        from ml.core.metrics import label

        return figures, (
            f"it avoids {own:.0%} of the base rate's {label(metric)}, the champion and those before it {best:.0%} at "
            "best: too good for this task's own past, as if a feature knew the outcome (a gain of at most "
            f"{self.max_skill_gain:.0%} is believed). If a person has made sure that none does, raise "
            f"gate.rules.{name}.max_skill_gain and retrain with force"
        )

    def _first_score(self, name: str, evidence: Evidence) -> Shown:
        """Return whether a model that has no past to be compared with ranks, or explains, too well to be believed."""
        for metric, called in (("roc_auc", "AUC"), ("r2", "R²")):
            score = finite(evidence.challenger.get(metric))
            most = max(self.max_first_score or MOST_FIRST_SCORE[called], self.max_single_feature)
            if score is not None and score > most:
                return {"first_score": score, "max_first_score": most}, (
                    f"its {called} is {score:.3f}, too good for a first model (at most {most:g} is believed), as if "
                    "some features together knew the outcome. If a person has made sure that all are known before it, "
                    f"raise gate.rules.{name}.max_first_score and retrain with force"
                )
        return {}, ""


def _shared(measured: Leakage) -> list[str]:
    problems = []
    if measured.shared_days or measured.shared_keys:
        problems.append(f"train and holdout share {measured.shared_days} days and {measured.shared_keys} keys")
    if measured.label_columns:
        problems.append(f"columns of labels are features: {', '.join(measured.label_columns)}")
    return problems


def _skill(metric: str, model: Mapping[str, float], base_rate: Mapping[str, float]) -> float | None:
    """Return the share of the base rate's loss that a model avoids."""
    loss, base = finite(model.get(metric)), finite(base_rate.get(metric))
    return 1 - loss / base if loss is not None and base else None


RULE = LeakageRule
