"""Ask for more than the constant that knows no feature."""

from __future__ import annotations

from typing import ClassVar, Literal

from ml.core.gate.rule import Evidence, GateRule, finite
from ml.records import Ruling
from ml.settings import Gate


class BaseRateRule(GateRule):
    """The challenger beats the training prevalence (or mean) on the same rows.

    A refresh that is decided on by its expected loss passes too where the champion does not beat it either.
    """

    advice: ClassVar[str] = "The features say next to nothing on the newest days: look at them, and at the labels."

    kind: Literal["base_rate"]

    def judge(self, name: str, gate: Gate, evidence: Evidence) -> Ruling:
        from ml.core.metrics import label

        metric = gate.metric
        value, base = finite(evidence.challenger.get(metric)), finite(evidence.base_rate.get(metric))
        figures = {metric: value, "base_rate": base}
        if value is None or base is None:
            return self.ruling(name, None, f"{label(metric)} could not be measured against the base rate", figures)
        words = f"{label(metric)} {value:.4f} against {base:.4f} for the base rate"
        champion = finite(evidence.champion.get(metric))
        if value >= base and champion is not None and self._refreshes(gate, evidence) and champion >= base:
            words += f"; so is the champion's, {champion:.4f}: to keep it would be no better"
            return self.ruling(name, True, words, {**figures, "champion": champion})
        return self.ruling(name, value < base, words, figures)

    @staticmethod
    def _refreshes(gate: Gate, evidence: Evidence) -> bool:
        """Return whether the question is not what may serve, but which of two models of one recipe."""
        from ml.core.gate import expected_loss

        return expected_loss.decides(gate, evidence)


RULE = BaseRateRule
