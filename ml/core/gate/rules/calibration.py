"""Bound how far the scores are off as a whole."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ml.core.gate.rule import Evidence, GateRule, finite
from ml.records import Ruling
from ml.settings import Gate


class CalibrationRule(GateRule):
    """Expected calibration error, and mean prediction minus observed rate, are bounded.

    Of several classes the error is the mean over them, and the gap that of the class which is furthest off.
    A refresh that is decided on by its expected loss passes too where the champion is off as far.
    """

    task_kinds: ClassVar[tuple[str, ...]] = ("classification", "multiclass")
    advice: ClassVar[str] = "The scores are off as a whole: a shorter window, or newer days, may put them right."

    kind: Literal["calibration"]
    max_error: float = Field(gt=0)
    """The largest expected calibration error."""
    max_gap: float = Field(gt=0)
    """The largest difference, in either direction, between the mean prediction and the observed rate."""

    def metrics(self) -> tuple[str, ...]:
        return ("calibration_error", "calibration_gap")

    def judge(self, name: str, gate: Gate, evidence: Evidence) -> Ruling:
        error = finite(evidence.challenger.get("calibration_error"))
        gap = finite(evidence.challenger.get("calibration_gap"))
        figures = {
            "calibration_error": error,
            "calibration_gap": gap,
            "max_error": self.max_error,
            "max_gap": self.max_gap,
        }
        if error is None or gap is None:
            return self.ruling(name, None, "calibration could not be measured", figures)
        passed = error <= self.max_error and abs(gap) <= self.max_gap
        reason = (
            f"calibration error is {error:.4f}, must be at most {self.max_error:g}; mean prediction minus "
            f"observed rate is {gap:+.4f}, must be within {self.max_gap:g}"
        )
        by_class = _gaps_by_class(evidence)
        if by_class:
            reason += f" (of {max(by_class, key=lambda label: abs(by_class[label] or 0.0))}, which is furthest off)"
        theirs = [finite(evidence.champion.get(metric)) for metric in ("calibration_error", "calibration_gap")]
        if not passed and self._refreshes(gate, evidence) and None not in theirs:
            error_too, gap_too = (abs(value) for value in theirs if value is not None)
            if (error <= self.max_error or error <= error_too) and (abs(gap) <= self.max_gap or abs(gap) <= gap_too):
                passed = True
                reason += f"; the champion is off by {error_too:.4f} and {gap_too:.4f}: to keep it would be no better"
        return self.ruling(name, passed, reason, figures | {f"gap of {name}": gap for name, gap in by_class.items()})

    @staticmethod
    def _refreshes(gate: Gate, evidence: Evidence) -> bool:
        from ml.core.gate import expected_loss

        return expected_loss.decides(gate, evidence)


def _gaps_by_class(evidence: Evidence) -> dict[str, float | None]:
    """Return mean probability minus observed rate of each of several classes; empty without classes."""
    from ml.core.predictions import gaps

    if not evidence.classes or evidence.holdout is None:
        return {}
    apart = gaps(evidence.holdout["target"], evidence.holdout["challenger"])
    return {label: finite(values.mean()) for label, values in zip(evidence.classes, apart.values(), strict=True)}


RULE = CalibrationRule
