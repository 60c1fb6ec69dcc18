"""What a rule of the gate is: its parameters, how it judges, and what to do where it does not pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ml.records import GainEvidence, PackageCheck, RefreshHistory, Ruling, SliceEvidence
from ml.settings import Gate, RuleSettings

if TYPE_CHECKING:  # settings are read without numpy, pandas and scikit-learn
    import pandas as pd

    from ml.core.gate.comparison import PairedGain
    from ml.core.gate.leakage import Leakage
    from ml.core.gate.slices import Slice

Compared = Literal["model", "twin", "recipe"]


@dataclass(frozen=True)
class Evidence:
    """What was measured of one challenger; None and absent keys are missing evidence, never a pass.

    Attributes
    ----------
    challenger, base_rate
        Metrics on the holdout, of the challenger and of the constant training prevalence (or mean).
    against_champion
        Whether a champion serves; ``comparison`` is then needed.
    is_refresh
        Whether the challenger is the champion's recipe on newer data.
    compared
        Who stands for the champion in ``comparison``: it itself (``model``), the version that was judged in its place
        (``twin``), or its recipe fitted again up to the holdout (``recipe``).
    anchor_version, anchor, anchor_problem
        Of a refresh: the last version that won by superiority where that is not the champion, the challenger's
        comparison with it, and why there is none.
    champion_problem
        Why the champion could not score the holdout; None where it did, or where nobody serves.
    champion_asked
        Whether it was looked for a champion at all: ``dvc repro``, which registers nothing, compares with none.
    moved
        How far the challenger's predictions lie from those it is compared with (`ml.core.gate.unusual.moved`).
    refreshes
        What refreshes gained in the recipe's own past; None where that is not known.
    champion
        The champion's metrics on the holdout; empty where it could not score it.
    past
        The champion's metrics beside the base rate's: on this holdout, and on the one that it was judged on.
    slices
        By the name of a rule that wants the holdout cut; None if a column of it is not there.
    holdout
        The holdout row by row: ``day``, ``target``, ``challenger`` and, where they are known, ``base_rate``,
        ``champion`` and ``champion_had_seen``; never modified.
    classes
        ``task.classes`` as text; empty of other kinds of task.
    blocked
        Whether this very training was rolled back before.
    """

    challenger: Mapping[str, float]
    base_rate: Mapping[str, float]
    holdout_days: int
    holdout_rows: int
    against_champion: bool
    is_refresh: bool = False
    comparison: PairedGain | None = None
    compared: Compared = "model"
    anchor_version: int | None = None
    anchor: PairedGain | None = None
    anchor_problem: str | None = None
    champion_problem: str | None = None
    champion_asked: bool = True
    moved: float | None = None
    refreshes: RefreshHistory | None = None
    champion: Mapping[str, float] = field(default_factory=dict)
    slices: Mapping[str, tuple[Slice, ...] | None] = field(default_factory=dict)
    leakage: Leakage | None = None
    package: PackageCheck | None = None
    blocked: bool = False
    past: Sequence[tuple[Mapping[str, float], Mapping[str, float]]] = ()
    holdout: pd.DataFrame | None = None
    classes: Sequence[str] = ()


class GateRule(RuleSettings):
    """One kind of rule: a subclass declares its parameters as fields, and judges by them.

    ``kind`` is a ``Literal`` of the name by which ``params.yaml`` asks for it.
    """

    def judge(self, name: str, gate: Gate, evidence: Evidence) -> Ruling:
        """Judge the evidence; ``name`` is what ``params.yaml`` calls this rule.

        Missing evidence is a ruling with ``passed`` None, which does not promote, and never an exception.
        """
        raise NotImplementedError

    def ruling(
        self,
        name: str,
        passed: bool | None,
        reason: str,
        evidence: Mapping[str, float | None],
        *,
        comparison: GainEvidence | None = None,
        slices: SliceEvidence | None = None,
    ) -> Ruling:
        """Build a ruling of this kind."""
        return Ruling(
            rule=name,
            kind=self.kind,
            passed=passed,
            evidence=dict(evidence),
            reason=reason,
            comparison=comparison,
            slices=slices,
        )


def finite(value: float | None) -> float | None:
    """Return a number, None where there is none: what is not finite was not measured."""
    return float(value) if value is not None and math.isfinite(value) else None
