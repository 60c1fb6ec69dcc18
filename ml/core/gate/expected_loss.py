"""Decide on a refresh by what serving it is expected to gain: its own past says what is likely, the holdout updates it.

A refresh is the champion's recipe on newer data. What refreshes of this recipe gained before is the prior; the paired
difference on the holdout is the evidence; the posterior mean decides (Bayes' rule for the loss of serving the worse
model; Berger, Statistical Decision Theory, 1985, chapter 4). A normal prior would shrink a disaster away with the
noise, so a small share of refreshes is taken to be of another kind, broken or far better (contaminated normal; Tukey
1960; Berger & Berliner 1986, doi:10.1214/aos/1176349933): a larger one the further it moves predictions, see
`ml.core.gate.unusual`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ml.core.gate import unusual
from ml.core.gate.comparison import PairedGain
from ml.core.gate.rule import Evidence, finite
from ml.records import PastRefresh, RefreshHistory
from ml.settings import Gate, Settings

LEAST_REFRESHES = 3
"""With fewer refreshes in its past, nothing is known of what they gain."""
LONGEST = 2.0
"""So many times what the past shows a longer gap may be worth: what is older than that does not age on for ever."""
LEAST_SPREAD = 0.7
"""Two fits of one recipe on the same days are as far apart as chance has it: so much of what usual refreshes differ."""
TOLERATED = 0.2
"""The share of ``refresh_max_loss`` that is not worth a hold."""
USUAL_DIFFERENCE, NEWEST = 1.5, 4
"""So many times the largest difference between so many of the newest successive refits of the past is still usual."""
STEP, MOST_STEPS = 0.1, 600
"""How the evidence that would tip a decision is searched for: in tenths of its standard error."""


@dataclass(frozen=True)
class Normal:
    """What is believed of a gain: mean and standard deviation, in the unit of the loss."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Posterior:
    """What is expected of a refresh that would serve from now on.

    Attributes
    ----------
    prior
        Of the difference that the holdout shows, between the judged models.
    unjudged
        Of what the holdout cannot show: the days that the refit has seen and the judged model has not. Of a refresh of
        another kind nothing is expected of them.
    gain, worse, unusual
        The expected gain over the champion, the probability that it is worse, and that it is of another kind than
        those of the past.
    tips_at
        The difference on the holdout that would have decided otherwise; None where none would.
    moved, moved_unusually
        How far apart the predictions are, None where that is not known; and the probability that it is unusual by that
        alone.
    """

    prior: Normal
    unjudged: Normal
    gain: float
    worse: float
    unusual: float
    tips_at: float | None
    moved: float | None
    moved_unusually: float


def learned(past: RefreshHistory | None) -> Normal | None:
    """Return what a refresh gains after as many days as the past ones were apart; None if too few are known.

    The mean of the past, with one refresh more that gained nothing: what few show is believed less. The spread is what
    true gains differ by (the scatter beyond the errors; DerSimonian & Laird 1986, doi:10.1016/0197-2456(86)90046-2)
    and how uncertain the mean is, both wider with few refreshes as Student's t asks.
    """
    gains = [] if past is None else [refresh.gain for refresh in past.refreshes]
    if past is None or len(gains) < LEAST_REFRESHES or past.apart_days < 1:
        return None
    scatter = float(np.var(gains, ddof=1))
    errors = float(np.mean([refresh.standard_error**2 for refresh in past.refreshes]))
    spread = math.sqrt(max(0.0, scatter - errors) + scatter / len(gains))
    return Normal(sum(gains) / (len(gains) + 1), spread * wider(len(gains) - 1))


def after(usual: Normal, days: int, apart_days: int) -> Normal:
    """Return what ``days`` of newer data gain: in proportion, up to `LONGEST`; older data lose as much."""
    if days == 0:
        return Normal(0.0, 0.0)
    times = float(np.clip(days / apart_days, -LONGEST, LONGEST))
    return Normal(usual.mean * times, usual.sd * math.sqrt(abs(times)))


def weigh(
    past: RefreshHistory,
    compared: PairedGain,
    *,
    unusual_sd: float,
    tolerated: float,
    doubt: float = 0.0,
    moved: float | None = None,
) -> Posterior | None:
    """Update what the past says of a refresh by its comparison on the holdout.

    Parameters
    ----------
    past
        Its past, and by how many days the models differ.
    unusual_sd
        By how much an unusual refresh differs: about what the model is worth at all.
    tolerated
        See `holds`.
    doubt
        By how much more the models may differ than the past says (standard deviation).
    moved
        How far apart their predictions are; None where it is not known.

    Returns
    -------
    Posterior or None
        None if too little of the past is known.
    """
    usual = learned(past)
    if usual is None:
        return None
    prior, unjudged = (after(usual, days, past.apart_days) for days in (past.judged_days, past.unjudged_days))
    prior = Normal(prior.mean, math.hypot(max(prior.sd, LEAST_SPREAD * usual.sd), doubt))
    degrees = compared.days - 1 if compared.degrees_of_freedom is None else compared.degrees_of_freedom
    error = compared.standard_error * wider(degrees)
    share = unusual.share(usual_moves(past), moved, past.judged_days / past.apart_days)
    components = ((1 - share, prior), (share, Normal(0.0, max(unusual_sd, 3 * prior.sd))))

    further = (unjudged, Normal(0.0, unjudged.sd))  # what usual refreshes gain says nothing of an unusual one

    def expected(gain: float) -> float:
        updated = _updated(components, gain, error)
        return sum(weight * (belief.mean + more.mean) for (weight, belief), more in zip(updated, further, strict=True))

    updated = _updated(components, compared.gain, error)
    worse = sum(weight * _below_zero(belief, more) for (weight, belief), more in zip(updated, further, strict=True))
    return Posterior(
        prior=prior,
        unjudged=unjudged,
        gain=expected(compared.gain),
        worse=worse,
        unusual=updated[1][0],
        tips_at=_tips_at(expected, compared.gain, error, -tolerated),
        moved=moved,
        moved_unusually=share,
    )


def usual_moves(past: RefreshHistory) -> list[float]:
    """Return how far the refreshes of the past moved predictions, where that was measured."""
    return [refresh.moved for refresh in past.refreshes if refresh.moved is not None]


def holds(posterior: Posterior, tolerated: float) -> bool:
    """Return whether serving it would probably cost more than keeping the champion, by more than is ``tolerated``."""
    return posterior.gain < -tolerated


def decides(gate: Gate, evidence: Evidence) -> bool:
    """Return whether the challenger is a refresh that is decided on by its expected loss."""
    return gate.refresh == "expected_loss" and evidence.is_refresh and learned(evidence.refreshes) is not None


def worth(gate: Gate, evidence: Evidence) -> float:
    """Return by how much an unusual refresh may differ: what the champion avoids of the base rate's mean loss.

    At least a tenth of that loss, so that a champion that is worth nothing any more can be replaced by one that is.
    """
    from ml.core.metrics import find

    base, champion = (finite(metrics.get(gate.metric)) for metrics in (evidence.base_rate, evidence.champion))
    if base is None or champion is None:
        return 0.0
    if find(gate.metric).is_root:
        base, champion = base**2, champion**2
    return max(abs(base - champion), 0.1 * abs(base))


def most_of_a_refit(settings: Settings, refreshes: Sequence[PastRefresh]) -> float:
    """Return by how much a refit may differ: ``retrain.refit_max_difference``, or more where its own past shows more.

    Models that follow a moving world differ by what moved: a refresh that is decided on by its past may differ by
    `USUAL_DIFFERENCE` times the most that the newest successive fits of the recipe differed by.

    Parameters
    ----------
    refreshes
        What is known of the recipe's past; empty for what is no refresh.
    """
    declared = settings.retrain.refit_max_difference
    differences = [refresh.difference for refresh in refreshes if refresh.difference is not None]
    if settings.gate.refresh != "expected_loss" or len(differences) < LEAST_REFRESHES:
        return declared
    return max(declared, USUAL_DIFFERENCE * max(differences[-NEWEST:]))


def in_words(
    posterior: Posterior, past: RefreshHistory, compared: PairedGain, metric: str, *, who: str, holds: bool
) -> str:
    """Return prior, evidence, posterior and what would have tipped the decision, as people read them."""
    from ml.core.metrics import mean_loss

    usual, count = learned(past), len(past.refreshes)
    assert usual is not None
    tip = "no difference on these days would have decided otherwise"
    if posterior.tips_at is not None:
        verb = "promoted" if holds else "held"
        tip = f"{posterior.tips_at:+.4f} or {'better' if holds else 'worse'} on these days would have {verb} it"
    judged = f"on {compared.days} days the challenger, with {_days(past.judged_days)},"
    message = (
        f"{count} refreshes in the past gained {usual.mean:+.4f} {mean_loss(metric)} on average after "
        f"{past.apart_days} days of newer data; {judged} gained "
        f"{compared.gain:+.4f} over {who} (standard error {compared.standard_error:.4f})"
    )
    if past.unjudged_days:
        message += f"; its refit, with {_days(past.unjudged_days)} on top, should add {posterior.unjudged.mean:+.4f}"
    message += (
        f". Together: expected gain over the champion {posterior.gain:+.4f}, worse with a probability of "
        f"{100 * posterior.worse:.0f} %"
    )
    if posterior.moved is not None and posterior.moved_unusually > 0.5:
        message += (
            f", for its predictions differ from the champion's by {posterior.moved:.3g} on average, where refreshes "
            f"before moved them by {max(usual_moves(past)):.3g} at most: it is probably unlike them, so that their "
            "gain says little of it"
        )
    elif posterior.unusual > 0.5:
        message += ", for these days say that it is unlike the refreshes before, so that their gain says little of it"
    return f"{message}; {tip}"


def _days(days: int) -> str:
    count = f"{abs(days)} day{'s' if abs(days) != 1 else ''}"
    return f"{count} of {'older' if days < 0 else 'newer'} data" if days else "data no newer"


def wider(degrees_of_freedom: int) -> float:
    """Return how much wider than the normal one Student's 95 % interval is."""
    return float(stats.t.isf(0.025, max(degrees_of_freedom, 1)) / stats.norm.isf(0.025))


Components = Sequence[tuple[float, Normal]]


def _updated(components: Components, gain: float, error: float) -> list[tuple[float, Normal]]:
    """Update a mixture of normals by a normal observation: each component, and how likely each is by now."""
    updated, weights = [], []
    for weight, belief in components:
        variance = belief.sd**2 + error**2
        if variance == 0:
            weights.append(math.log(weight) + (0.0 if gain == belief.mean else -math.inf))
            updated.append(belief)
            continue
        weights.append(math.log(weight) + float(stats.norm.logpdf(gain, belief.mean, math.sqrt(variance))))
        share = belief.sd**2 / variance
        updated.append(Normal(belief.mean + share * (gain - belief.mean), math.sqrt(share) * error))
    top = max(weights)
    likely = [math.exp(weight - top) for weight in weights] if math.isfinite(top) else [1.0, *[0.0] * len(weights[1:])]
    return [(share / sum(likely), belief) for share, belief in zip(likely, updated, strict=True)]


def _below_zero(judged: Normal, unjudged: Normal) -> float:
    mean, sd = judged.mean + unjudged.mean, math.hypot(judged.sd, unjudged.sd)
    return float(stats.norm.cdf(0, mean, sd)) if sd > 0 else float(mean < 0)


def _tips_at(expected: Callable[[float], float], gain: float, error: float, bound: float) -> float | None:
    promotes = expected(gain) >= bound
    direction = -STEP if promotes else STEP
    for number in range(1, MOST_STEPS + 1):
        other = gain + direction * number * error
        if (expected(other) >= bound) != promotes:
            return float(other)
    return None
