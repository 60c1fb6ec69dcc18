"""Bound how much a metric differs between the slices of a column."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ml.core.gate.rule import Evidence, GateRule, finite
from ml.records import Ruling, SliceEvidence
from ml.settings import Cut, Gate, Name, Term


class SliceGapRule(GateRule):
    """A metric differs by no more than ``max_gap`` between any two slices of a column (fairness)."""

    advice: ClassVar[str] = "Look at the groups in the model card: they would be served too differently."

    kind: Literal["slice_gap"]
    by: Term
    """A column, or a condition on columns, whose values are the slices."""
    metric: Name
    """The metric that is compared between slices."""
    max_gap: float = Field(gt=0)
    """The largest difference between any two slices."""
    min_rows: int = Field(default=300, ge=2)
    """Slices of fewer rows are left out."""

    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def cut(self) -> Cut:
        return Cut((self.by,), self.min_rows)

    def judge(self, name: str, gate: Gate, evidence: Evidence) -> Ruling:
        from ml.core.metrics import label  # heavy: settings are read without it

        threshold: dict[str, float | None] = {"max_gap": self.max_gap}
        parts = evidence.slices.get(name)
        if parts is None:
            reason = f"the slices by {self.by} could not be cut: a column of them is not in inputs"
            return self.ruling(name, None, reason, threshold)
        values = {part.name: finite(part.metrics.get(self.metric)) for part in parts}
        figures = {part: value for part, value in values.items() if value is not None}
        if not figures or len(figures) < len(values):
            unknown = ", ".join(sorted(values.keys() - figures.keys()))
            reason = f"{label(self.metric)} could not be measured for {unknown or 'any slice'}"
            return self.ruling(name, None, reason, threshold, slices=SliceEvidence(measure=self.metric, values=values))
        low, high = min(figures, key=figures.__getitem__), max(figures, key=figures.__getitem__)
        gap = figures[high] - figures[low]
        reason = f"{label(self.metric)} differs by {gap:.4f} between {low} and {high}, must be at most {self.max_gap:g}"
        measured = SliceEvidence(measure=self.metric, values={low: figures[low], high: figures[high]})
        return self.ruling(name, gap <= self.max_gap, reason, {"gap": gap, **threshold}, slices=measured)


RULE = SliceGapRule
