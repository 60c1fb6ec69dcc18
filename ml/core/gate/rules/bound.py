"""Bound a metric of the holdout."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from ml.core.gate.rule import Evidence, GateRule, finite
from ml.records import Ruling
from ml.settings import Gate, Name


class BoundRule(GateRule):
    """A metric of the holdout has an absolute bound."""

    advice: ClassVar[str] = (
        "The model is too weak by itself: look at the features, the window and the labels of these days."
    )

    kind: Literal["bound"]
    metric: Name
    """The metric that is bounded."""
    at_least: float | None = None
    """The smallest value with which it passes; null for none."""
    at_most: float | None = None
    """The largest value with which it passes; null for none."""

    @model_validator(mode="after")
    def _one_bound(self) -> BoundRule:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both: a bound without a number bounds nothing")
        return self

    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def judge(self, name: str, gate: Gate, evidence: Evidence) -> Ruling:
        from ml.core.metrics import label  # heavy: settings are read without it

        value = finite(evidence.challenger.get(self.metric))
        figures = {self.metric: value, "at_least": self.at_least, "at_most": self.at_most}
        figures = {key: number for key, number in figures.items() if number is not None or key == self.metric}
        if value is None:
            return self.ruling(name, None, f"{label(self.metric)} could not be measured", figures)
        above = self.at_least is None or value >= self.at_least
        below = self.at_most is None or value <= self.at_most
        bounds = [("at least", self.at_least), ("at most", self.at_most)]
        must = " and ".join(f"{word} {limit:g}" for word, limit in bounds if limit is not None)
        return self.ruling(name, above and below, f"{label(self.metric)} is {value:.4f}, must be {must}", figures)


RULE = BoundRule
