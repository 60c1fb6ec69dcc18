"""Compare the challenger with the champion on the same days."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from ml.core.counting import interval_name
from ml.core.gate.rule import Compared, Evidence, GateRule
from ml.next_moves import retrain
from ml.records import GainEvidence, Ruling
from ml.settings import Gate

if TYPE_CHECKING:
    from ml.core.gate.comparison import PairedGain


WHO: Mapping[Compared, str] = {
    "model": "the champion",
    "twin": "the champion's twin (the version that was judged in its place, and has not seen these days)",
    "recipe": "the champion's recipe (fitted again up to the holdout, since the champion has seen these days)",
}
"""Who was compared with, as people read it."""


def nobody(evidence: Evidence, so: str) -> str:
    """Return why a challenger is compared with no champion; ``so`` is what follows where nobody serves."""
    if evidence.champion_asked:
        return f"no champion serves yet: {so}"
    return f"not compared with the champion, which only a registered challenger is: {retrain()} for that"


class ChampionRule(GateRule):
    """The challenger beats the champion (``min_gain``), or is not worse than it (``max_loss``), beyond noise."""

    compares: ClassVar[bool] = True
    advice: ClassVar[str] = "Nothing: as far as these days can tell, the champion is as good."

    kind: Literal["champion"]
    min_gain: float | None = Field(default=None, ge=0)
    """By how much the challenger must be better than the champion in ``gate.metric``, beyond noise (superiority)."""
    max_loss: float | None = Field(default=None, gt=0)
    """By how much the challenger may be worse than the champion, beyond noise (non-inferiority). Give this or
    ``min_gain``.
    """
    refresh_max_loss: float | None = Field(default=None, gt=0)
    """Beside ``min_gain``: by how much a refresh may be worse, see ``gate.refresh``. A refresh is the champion's recipe
    (same task, features and estimator with its arguments) on newer data. Null: it must be better too.
    """

    @model_validator(mode="after")
    def _one_question(self) -> ChampionRule:
        if (self.min_gain is None) == (self.max_loss is None):
            raise ValueError("give either min_gain (superiority) or max_loss (non-inferiority)")
        if self.max_loss is not None and self.refresh_max_loss is not None:
            raise ValueError("refresh_max_loss goes with min_gain: max_loss is asked of every challenger already")
        return self

    def judge(self, name: str, gate: Gate, evidence: Evidence) -> Ruling:
        is_refresh = evidence.is_refresh and self.refresh_max_loss is not None
        by_loss = is_refresh and self._by_expected_loss(gate, evidence)
        setting = "refresh_max_loss" if is_refresh else "min_gain" if self.min_gain is not None else "max_loss"
        threshold: dict[str, float | None] = {setting: getattr(self, setting)}
        if not evidence.against_champion:
            reason = nobody(evidence, "there is nobody to be compared with")
            return self.ruling(name, True, reason, threshold)
        measured = evidence.comparison
        if measured is None or not all(map(math.isfinite, (measured.gain, measured.low, measured.high))):
            problem = evidence.champion_problem or "no day is new to both, or a row has no finite loss"
            reason = f"champion and challenger could not be compared on the same days: {problem}"
            return self.ruling(name, None, reason, threshold)
        compared = GainEvidence(
            gain=measured.gain,
            low=measured.low,
            high=measured.high,
            resolution=measured.resolution,
            days=measured.days,
            rows=measured.rows,
        )
        if by_loss:
            return self._expected_loss(name, gate, evidence, measured, compared)
        if measured.days < gate.min_days or measured.rows < gate.min_rows:
            reason = (
                f"only {measured.days} days and {measured.rows} rows are new to both models; "
                f"the comparison needs {gate.min_days} days and {gate.min_rows} rows"
            )
            return self.ruling(name, None, reason, threshold, comparison=compared)
        passed, wanted = self._wanted(compared, margin=None if setting == "min_gain" else threshold[setting])
        reason = _in_words(compared, gate, WHO[evidence.compared])
        reason = reason if passed else f"{reason}; {wanted}"
        return self.ruling(name, passed, reason, threshold, comparison=compared)

    @staticmethod
    def _by_expected_loss(gate: Gate, evidence: Evidence) -> bool:
        from ml.core.gate import expected_loss

        return expected_loss.decides(gate, evidence)

    def _expected_loss(
        self, name: str, gate: Gate, evidence: Evidence, measured: PairedGain, compared: GainEvidence
    ) -> Ruling:
        """Hold a refresh if its posterior says that serving it would probably cost more than keeping the champion."""
        from ml.core.gate import expected_loss

        assert evidence.refreshes is not None
        assert self.refresh_max_loss is not None
        tolerated = expected_loss.TOLERATED * self.refresh_max_loss
        posterior = expected_loss.weigh(
            evidence.refreshes,
            measured,
            unusual_sd=expected_loss.worth(gate, evidence),
            tolerated=tolerated,
            moved=evidence.moved,
        )
        usual = expected_loss.learned(evidence.refreshes)
        assert posterior is not None
        assert usual is not None
        holds = expected_loss.holds(posterior, tolerated)
        figures: dict[str, float | None] = {
            "refresh_max_loss": self.refresh_max_loss,
            "superior": float(compared.low > 0 and compared.gain >= (self.min_gain or 0.0)),
            "past_refreshes": float(len(evidence.refreshes.refreshes)),
            "usual_gain": usual.mean,
            "usual_sd": usual.sd,
            "usual_days": float(evidence.refreshes.apart_days),
            "prior_gain": posterior.prior.mean,
            "prior_sd": posterior.prior.sd,
            "unjudged_gain": posterior.unjudged.mean,
            "posterior_gain": posterior.gain,
            "probability_worse": posterior.worse,
            "moved": evidence.moved,
            "usual_moved": max(expected_loss.usual_moves(evidence.refreshes), default=None),
            "prior_unusual": posterior.moved_unusually,
            "probability_unusual": posterior.unusual,
            "tips_at": posterior.tips_at,
        }
        who = WHO[evidence.compared]
        reason = expected_loss.in_words(posterior, evidence.refreshes, measured, gate.metric, who=who, holds=holds)
        return self.ruling(name, not holds, reason, figures, comparison=compared)

    def _wanted(self, compared: GainEvidence, *, margin: float | None) -> tuple[bool, str]:
        if margin is not None:
            return compared.low > -margin, f"must lose no more than {margin:g}, beyond noise"
        passed = compared.low > 0 and compared.gain > 0 and compared.gain >= (self.min_gain or 0.0)
        wanted = f"must be above 0 beyond noise and at least {self.min_gain:g}"
        if self.refresh_max_loss is not None:
            wanted += ", for it is not the champion's recipe on newer data"
        return passed, wanted


def _in_words(compared: GainEvidence, gate: Gate, who: str) -> str:
    from ml.core.metrics import mean_loss

    return (
        f"gain over {who} {compared.gain:+.4f} {mean_loss(gate.metric)} "
        f"({interval_name(gate.confidence)} {compared.low:+.4f} to {compared.high:+.4f}); "
        f"with {compared.days} days this gate can see a gain of about {compared.resolution:.4f}"
    )


RULE = ChampionRule
