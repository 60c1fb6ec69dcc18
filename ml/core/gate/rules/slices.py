"""Compare the challenger with the champion slice by slice."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ml.core.gate.rule import Evidence, GateRule
from ml.core.gate.rules.champion import nobody
from ml.records import Ruling, SliceEvidence
from ml.settings import Cut, Gate, Term

WORST_SLICES = 10


class SlicesRule(GateRule):
    """No slice of the holdout loses more than ``max_loss`` to the champion, beyond noise, Holm-controlled."""

    advice: ClassVar[str] = "Look at the slice in the model card: that group would be served worse."

    kind: Literal["slices"]
    by: tuple[Term, ...] = Field(min_length=1)
    """Columns, or conditions on columns such as ``hour >= 18``; the values of each are slices."""
    max_loss: float = Field(ge=0)
    """How much a slice may lose to the champion, beyond noise."""
    min_rows: int = Field(default=300, ge=2)
    """Slices of fewer rows are left out."""
    min_days: int = Field(default=5, ge=2)
    """Slices of fewer days are left out."""

    def cut(self) -> Cut:
        return Cut(self.by, self.min_rows, self.min_days, new_to_both=True)

    def judge(self, name: str, gate: Gate, evidence: Evidence) -> Ruling:
        """Hold if any slice loses more than the margin, at the gate's level over all slices (Holm 1979)."""
        from ml.core.gate import expected_loss
        from ml.core.gate.comparison import holm, loss_p_value
        from ml.core.metrics import mean_loss

        threshold: dict[str, float | None] = {"max_loss": self.max_loss}
        if not evidence.against_champion:
            return self.ruling(name, True, nobody(evidence, "no slice can regress"), threshold)
        parts = evidence.slices.get(name)
        if parts is None:
            reason = f"the slices by {', '.join(self.by)} could not be cut: a column of them is not in inputs"
            return self.ruling(name, None, reason, threshold)
        if not parts or evidence.comparison is None:
            reason = f"no slice of {self.min_rows} rows and {self.min_days} days is new to both models"
            if evidence.comparison is not None and expected_loss.decides(gate, evidence):
                reason += ": none is clearly harmed, and the refresh as a whole is judged by the rule of kind champion"
                return self.ruling(name, True, reason, threshold)
            return self.ruling(name, None, reason, threshold)
        unknown = [part.name for part in parts if part.gain is None]
        if unknown:
            return self.ruling(name, None, f"no loss could be compared for {', '.join(unknown)}", threshold)
        gains = [part.gain for part in parts if part.gain is not None]
        rejected = holm([loss_p_value(gain, self.max_loss) for gain in gains], 1 - gate.confidence)
        worse = [part.name for part, bad in zip(parts, rejected, strict=True) if bad]
        order = sorted(zip(parts, gains, strict=True), key=lambda pair: pair[1].gain)
        measured = SliceEvidence(measure="gain", values={part.name: gain.gain for part, gain in order[:WORST_SLICES]})
        worst, gain = order[0]
        reason = f"the worst of {len(parts)} slices, {worst.name}: {gain.gain:+.4f} {mean_loss(gate.metric)} on "
        reason += f"{worst.rows} rows"
        if worse:
            reason = f"{', '.join(worse)} lost more than {self.max_loss:g} to the champion, beyond noise; {reason}"
        return self.ruling(name, not worse, reason, threshold, slices=measured)


RULE = SlicesRule
