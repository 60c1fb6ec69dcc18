"""Let all refreshes together lose no more than one margin to the last version that won by superiority: the anchor.

A chain of refreshes that each lose a little within the margin would else lose without end ("bio-creep"; Feng, Emerson
& Simon 2021, doi:10.1111/biom.13379, whose policy "Reset" this is).
"""

from __future__ import annotations

from ml.core.gate.rule import Evidence
from ml.records import GainEvidence, Ruling
from ml.settings import Gate

RULE, KIND = "anchor", "anchor"


def judge_anchor(gate: Gate, evidence: Evidence) -> Ruling | None:
    """Return whether a refresh is still within one margin of the anchor; None where there is nothing to ask.

    The comparison with the anchor is weighed as that with the champion is, by what the recipe's own past makes likely.
    Only, what each refresh of a chain loses adds up unseen: that it came to about a margin is as likely as not.
    """
    margins = [getattr(rule, "refresh_max_loss", None) for rule in gate.rules.values()]
    margin = min((value for value in margins if value is not None), default=None)
    if gate.refresh != "expected_loss" or not evidence.is_refresh or evidence.anchor_version is None or margin is None:
        return None
    from ml.core.gate import expected_loss
    from ml.core.metrics import mean_loss

    name, measured, past = f"version {evidence.anchor_version}", evidence.anchor, evidence.refreshes
    figures: dict[str, float | None] = {"anchor_version": float(evidence.anchor_version), "refresh_max_loss": margin}
    if measured is None:
        problem = evidence.anchor_problem or "fewer than two days are new to both, or a loss is not finite"
        reason = f"{name}, the last that won by superiority, cannot be compared with: {problem}; a person decides"
        return Ruling(rule=RULE, kind=KIND, passed=None, evidence=figures, reason=reason)
    gain = measured.gain
    if past is not None and past.anchor_days is not None:
        judged = past.model_copy(update={"judged_days": past.anchor_days, "unjudged_days": 0})
        posterior = expected_loss.weigh(
            judged, measured, unusual_sd=expected_loss.worth(gate, evidence), tolerated=margin, doubt=margin
        )
        if posterior is not None:
            gain = posterior.gain
            figures["tips_at"] = posterior.tips_at
    least = max((getattr(rule, "min_gain", None) or 0.0) for rule in gate.rules.values())
    superior = measured.low > 0 and measured.gain >= least
    figures |= {"posterior_gain": gain, "superior": float(superior)}
    reason = (
        f"gain over {name}, the last that won by superiority: {measured.gain:+.4f} {mean_loss(gate.metric)} on "
        f"{measured.days} days, expected {gain:+.4f}; all refreshes since together may lose {margin:g}"
    )
    compared = GainEvidence(
        gain=measured.gain,
        low=measured.low,
        high=measured.high,
        resolution=measured.resolution,
        days=measured.days,
        rows=measured.rows,
    )
    return Ruling(rule=RULE, kind=KIND, passed=gain >= -margin, evidence=figures, reason=reason, comparison=compared)
