"""Say whether a challenger may take the champion's place.

The rules are declared by name in ``params.yaml``. Each is evaluated, always, and the verdict lists each
with its evidence, threshold and outcome. A rule whose evidence is missing does not pass. A tie holds, unless
the rule asks only for not being worse (`ChampionRule`). A gate without any rule holds, and so does one that
would replace a champion without a comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from ml.core.comparison import PairedGain, holm, loss_p_value
from ml.core.leakage import Leakage
from ml.core.slices import Slice
from ml.records import PackageCheck, Ruling, Verdict
from ml.settings import (
    BaseRateRule,
    BoundRule,
    CalibrationRule,
    ChampionRule,
    Gate,
    LeakageRule,
    PackageRule,
    Rule,
    SliceGapRule,
    SlicesRule,
)

WORST_SLICES = 10
LEAST_SKILL = 0.02
"""A champion that avoids less of the base rate's loss says nothing of what can be known."""

LEAST_PAIR = {"AUC": 0.0, "R²": 0.9}
PAIR_SAYS_MORE = 0.05
"""Two features that explain no more than this beyond the better one say nothing that it does not say alone."""


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
    past
        The champion's metrics beside the base rate's: on this holdout, and on the one that it was judged on.
    slices
        By the name of a rule of kind ``slices`` or ``slice_gap``; None if a column of it is not there.
    barred
        Whether this very training was rolled back before.
    """

    challenger: Mapping[str, float]
    base_rate: Mapping[str, float]
    holdout_days: int
    holdout_rows: int
    against_champion: bool
    is_refresh: bool = False
    comparison: PairedGain | None = None
    slices: Mapping[str, tuple[Slice, ...] | None] = field(default_factory=dict)
    leakage: Leakage | None = None
    package: PackageCheck | None = None
    barred: bool = False
    past: Sequence[tuple[Mapping[str, float], Mapping[str, float]]] = ()


def decide(gate: Gate, evidence: Evidence) -> Verdict:
    """Weigh the evidence of one holdout, rule by rule.

    Examples
    --------
    >>> from ml.settings import BoundRule
    >>> rules = {"ranks": BoundRule(kind="bound", metric="roc_auc", at_least=0.6)}
    >>> decide(Gate(rules=rules, min_rows=10), Evidence(challenger={"roc_auc": 0.7}, base_rate={},
    ...        holdout_days=14, holdout_rows=900, against_champion=False)).decision
    'promote'
    """
    if not gate.rules:
        nothing = "no rule is declared under gate.rules: nothing can be shown"
        return Verdict(decision="hold", reasons=(nothing,), rulings=())
    rulings = [_ruling(name, rule, gate, evidence) for name, rule in gate.rules.items()]
    if evidence.against_champion and not any(isinstance(rule, ChampionRule) for rule in gate.rules.values()):
        reason = "a champion serves, but no rule of kind champion compares with it; declare one under gate.rules"
        rulings.append(Ruling(rule="champion", passed=None, evidence={}, reason=reason))
    rulings.append(_enough(gate, evidence.holdout_days, evidence.holdout_rows))
    if evidence.barred:
        reason = "this very training (same fingerprint) was rolled back: train on other data, parameters or code"
        rulings.append(Ruling(rule="not rolled back", passed=False, evidence={}, reason=reason))
    failed = tuple(ruling.reason for ruling in rulings if not ruling.passed)
    if failed:
        return Verdict(decision="hold", reasons=failed, rulings=tuple(rulings))
    said = tuple(ruling.reason for ruling in rulings if ruling.reason)
    return Verdict(decision="promote", reasons=said, rulings=tuple(rulings))


def _ruling(name: str, rule: Rule, gate: Gate, found: Evidence) -> Ruling:  # noqa: PLR0911  one for each kind
    match rule:
        case BoundRule():
            return _bound(name, rule, found)
        case BaseRateRule():
            return _base_rate(name, gate.metric, found)
        case ChampionRule():
            return _champion(name, rule, gate, found)
        case SlicesRule():
            return _slices(name, rule, gate, found)
        case SliceGapRule():
            return _slice_gap(name, rule, found)
        case CalibrationRule():
            return _calibration(name, rule, found)
        case LeakageRule():
            return _leakage(name, rule, gate.metric, found)
        case PackageRule():
            return package(name, rule, found.package)
        case _:
            assert_never(rule)


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _bound(name: str, rule: BoundRule, found: Evidence) -> Ruling:
    value = _finite(found.challenger.get(rule.metric))
    evidence = {rule.metric: value, "at_least": rule.at_least, "at_most": rule.at_most}
    evidence = {key: number for key, number in evidence.items() if number is not None or key == rule.metric}
    if value is None:
        return Ruling(rule=name, passed=None, evidence=evidence, reason=f"{rule.metric} could not be measured")
    above = rule.at_least is None or value >= rule.at_least
    below = rule.at_most is None or value <= rule.at_most
    bounds = [("at least", rule.at_least), ("at most", rule.at_most)]
    must = " and ".join(f"{word} {limit:g}" for word, limit in bounds if limit is not None)
    reason = f"{rule.metric} is {value:.4f}, must be {must}"
    return Ruling(rule=name, passed=above and below, evidence=evidence, reason=reason)


def _base_rate(name: str, metric: str, found: Evidence) -> Ruling:
    value, base = _finite(found.challenger.get(metric)), _finite(found.base_rate.get(metric))
    evidence = {metric: value, "base_rate": base}
    if value is None or base is None:
        reason = f"{metric} could not be measured against the base rate"
        return Ruling(rule=name, passed=None, evidence=evidence, reason=reason)
    words = f"{metric} {value:.4f} against {base:.4f} for the base rate"
    return Ruling(rule=name, passed=value < base, evidence=evidence, reason=words)


def _champion(name: str, rule: ChampionRule, gate: Gate, evidence: Evidence) -> Ruling:
    is_refresh = evidence.is_refresh and rule.refresh_max_loss is not None
    asked = "refresh_max_loss" if is_refresh else "min_gain" if rule.min_gain is not None else "max_loss"
    threshold: dict[str, float | None] = {asked: getattr(rule, asked)}
    if not evidence.against_champion:
        reason = "no champion serves yet: there is nobody to be compared with"
        return Ruling(rule=name, passed=True, evidence=threshold, reason=reason)
    found = evidence.comparison
    if found is None or not np.isfinite([found.gain, found.low, found.high]).all():
        reason = "champion and challenger could not be compared on the same days"
        return Ruling(rule=name, passed=None, evidence=threshold, reason=reason)
    facts: dict[str, float | None] = {
        "gain": found.gain,
        "low": found.low,
        "high": found.high,
        "resolution": found.resolution,
        "days": float(found.days),
        "rows": float(found.rows),
        **threshold,
    }
    if found.days < gate.min_days or found.rows < gate.min_rows:
        reason = (
            f"only {found.days} days and {found.rows} rows are new to both models; "
            f"the comparison needs {gate.min_days} days and {gate.min_rows} rows"
        )
        return Ruling(rule=name, passed=None, evidence=facts, reason=reason)
    unit = "mean squared error" if gate.metric == "rmse" else gate.metric
    reason = (
        f"gain over the champion {found.gain:+.4f} {unit} "
        f"({gate.confidence:.0%} interval {found.low:+.4f} to {found.high:+.4f}); "
        f"with {found.days} days this gate can see a gain of about {found.resolution:.4f}"
    )
    margin = None if asked == "min_gain" else threshold[asked]
    if margin is not None:
        passed = found.low > -margin
        wanted = f"must lose no more than {margin:g}, beyond noise"
    else:
        passed = found.low > 0 and found.gain > 0 and found.gain >= (rule.min_gain or 0.0)
        wanted = f"must be above 0 beyond noise and at least {rule.min_gain:g}"
        if rule.refresh_max_loss is not None:
            wanted += ", for it is not the champion's recipe on newer data"
    return Ruling(rule=name, passed=passed, evidence=facts, reason=reason if passed else f"{reason}; {wanted}")


def _slices(name: str, rule: SlicesRule, gate: Gate, evidence: Evidence) -> Ruling:
    """Hold if any slice loses more than the margin, at the gate's level over all slices (Holm 1979)."""
    threshold: dict[str, float | None] = {"max_loss": rule.max_loss}
    if not evidence.against_champion:
        reason = "no champion serves yet: no slice can regress"
        return Ruling(rule=name, passed=True, evidence=threshold, reason=reason)
    found = evidence.slices.get(name)
    if found is None:
        reason = f"the slices by {', '.join(rule.by)} could not be cut: a column of them is not in inputs"
        return Ruling(rule=name, passed=None, evidence=threshold, reason=reason)
    if not found or evidence.comparison is None:
        reason = f"no slice of {rule.min_rows} rows and {rule.min_days} days is new to both models"
        return Ruling(rule=name, passed=None, evidence=threshold, reason=reason)
    unknown = [part.name for part in found if part.gain is None]
    if unknown:
        reason = f"no loss could be compared for {', '.join(unknown)}"
        return Ruling(rule=name, passed=None, evidence=threshold, reason=reason)
    gains = [part.gain for part in found if part.gain is not None]
    rejected = holm([loss_p_value(gain, rule.max_loss) for gain in gains], 1 - gate.confidence)
    worse = [part.name for part, bad in zip(found, rejected, strict=True) if bad]
    order = sorted(zip(found, gains, strict=True), key=lambda pair: pair[1].gain)
    facts: dict[str, float | None] = {**{part.name: gain.gain for part, gain in order[:WORST_SLICES]}, **threshold}
    worst, gain = order[0]
    said = f"the worst of {len(found)} slices, {worst.name}: {gain.gain:+.4f} {gate.metric} on {worst.rows} rows"
    if worse:
        said = f"{', '.join(worse)} lost more than {rule.max_loss:g} to the champion, beyond noise; {said}"
    return Ruling(rule=name, passed=not worse, evidence=facts, reason=said)


def _slice_gap(name: str, rule: SliceGapRule, evidence: Evidence) -> Ruling:
    threshold: dict[str, float | None] = {"max_gap": rule.max_gap}
    found = evidence.slices.get(name)
    if found is None:
        reason = f"the slices by {rule.by} could not be cut: a column of them is not in inputs"
        return Ruling(rule=name, passed=None, evidence=threshold, reason=reason)
    values = {part.name: _finite(part.metrics.get(rule.metric)) for part in found}
    unknown = sorted(part for part, value in values.items() if value is None)
    if unknown or not values:
        reason = f"{rule.metric} could not be measured for {', '.join(unknown) or 'any slice'}"
        return Ruling(rule=name, passed=None, evidence=values | threshold, reason=reason)
    known = {part: value for part, value in values.items() if value is not None}
    low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    gap = known[high] - known[low]
    reason = f"{rule.metric} differs by {gap:.4f} between {low} and {high}, must be at most {rule.max_gap:g}"
    facts = {low: known[low], high: known[high], "gap": gap} | threshold
    return Ruling(rule=name, passed=gap <= rule.max_gap, evidence=facts, reason=reason)


def _calibration(name: str, rule: CalibrationRule, found: Evidence) -> Ruling:
    error = _finite(found.challenger.get("calibration_error"))
    gap = _finite(found.challenger.get("calibration_gap"))
    evidence = {
        "calibration_error": error,
        "calibration_gap": gap,
        "max_error": rule.max_error,
        "max_gap": rule.max_gap,
    }
    if error is None or gap is None:
        return Ruling(rule=name, passed=None, evidence=evidence, reason="calibration could not be measured")
    passed = error <= rule.max_error and abs(gap) <= rule.max_gap
    reason = (
        f"calibration error is {error:.4f}, must be at most {rule.max_error:g}; mean prediction minus "
        f"observed rate is {gap:+.4f}, must be within {rule.max_gap:g}"
    )
    return Ruling(rule=name, passed=passed, evidence=evidence, reason=reason)


def _leakage(name: str, rule: LeakageRule, metric: str, known: Evidence) -> Ruling:
    found = known.leakage
    threshold: dict[str, float | None] = {
        "max_single_feature": rule.max_single_feature,
        "max_skill_gain": rule.max_skill_gain,
    }
    strengths = {} if found is None else found.strengths
    if found is None or not strengths or not all(np.isfinite(value) for value in strengths.values()):
        reason = "what each feature alone explains could not be measured"
        return Ruling(rule=name, passed=None, evidence=threshold, reason=reason)
    strongest = max(strengths, key=lambda feature: strengths[feature])
    value = strengths[strongest]
    problems = []
    if value > rule.max_single_feature:
        problems.append(
            f"{strongest} alone explains the target suspiciously well ({found.measure} {value:.3f}, "
            f"at most {rule.max_single_feature:g}): is it known before the outcome?"
        )
    pair, of_pair = _telling_pair(name, rule, found)
    gain, of_gain = _skill_gain(name, rule, metric, known)
    problems += ([of_pair] if of_pair and not problems else []) + ([of_gain] if of_gain else [])
    if found.shared_days or found.shared_keys:
        problems.append(f"train and holdout share {found.shared_days} days and {found.shared_keys} keys")
    if found.label_columns:
        problems.append(f"columns of labels are features: {', '.join(found.label_columns)}")
    evidence: dict[str, float | None] = {
        strongest: value,
        **pair,
        **gain,
        "shared_days": float(found.shared_days),
        "shared_keys": float(found.shared_keys),
        "label_columns": float(len(found.label_columns)),
        **threshold,
    }
    calm = f"the strongest feature alone, {strongest}, has {found.measure} {value:.3f}; train and holdout share nothing"
    return Ruling(rule=name, passed=not problems, evidence=evidence, reason="; ".join(problems) or calm)


def _telling_pair(name: str, rule: LeakageRule, found: Leakage) -> tuple[dict[str, float | None], str]:
    """Give the two features that explain most together, and what is wrong with it, if they say what neither does."""
    if not found.pairs:
        return {}, ""
    most = rule.max_feature_pair or max(rule.max_single_feature, LEAST_PAIR[found.measure])
    telling = {pair: value for pair, value in found.pairs.items() if value.together - value.alone > PAIR_SAYS_MORE}
    pair = max(telling or found.pairs, key=lambda each: found.pairs[each].together)
    together = found.pairs[pair].together
    facts: dict[str, float | None] = {pair: together, "max_feature_pair": most}
    if pair not in telling or together <= most:
        return facts, ""
    return facts, (
        f"{pair} explains the target suspiciously well ({found.measure} {together:.3f} together, "
        f"{found.pairs[pair].alone:.3f} alone, at most {most:g}): are both known before the outcome? If a person has "
        f"made sure, raise gate.rules.{name}.max_feature_pair and retrain with force"
    )


def _skill_gain(name: str, rule: LeakageRule, metric: str, found: Evidence) -> tuple[dict[str, float | None], str]:
    """Say by how much a challenger's skill is above the best that the champion had; nothing where there is no past."""
    own = _skill(metric, found.challenger, found.base_rate)
    past = [_skill(metric, one, base) for one, base in found.past]
    best = max((skill for skill in past if skill is not None), default=None)
    if own is None or best is None or best < LEAST_SKILL:
        return {}, ""
    facts: dict[str, float | None] = {"skill_gain": own - best}
    if own - best <= rule.max_skill_gain:
        return facts, ""
    return facts, (
        f"it avoids {own:.0%} of the base rate's {metric}, the champion {best:.0%} at best: too good for this task's "
        f"own past, as if a feature knew the outcome (a gain of at most {rule.max_skill_gain:.0%} is believed). If a "
        f"person has made sure that none does, raise gate.rules.{name}.max_skill_gain and retrain with force"
    )


def _skill(metric: str, model: Mapping[str, float], base_rate: Mapping[str, float]) -> float | None:
    """Give the share of the base rate's loss that a model avoids."""
    loss, base = _finite(model.get(metric)), _finite(base_rate.get(metric))
    return 1 - loss / base if loss is not None and base else None


def package(name: str, rule: PackageRule | None, found: PackageCheck | None) -> Ruling:
    """Say whether a packaged model works in a fresh process, and within its budgets.

    Parameters
    ----------
    name
        What the ruling is called.
    rule
        The budgets; None sets none, and the package only has to work.
    found
        None if it was not tried: missing evidence, which does not pass.
    """
    budget: dict[str, float | None] = {}
    if rule is not None:
        budget = {"max_ms_per_1000_rows": rule.max_ms_per_1000_rows, "max_megabytes": rule.max_megabytes}
    if found is None:
        reason = "the packaged model was not tried in a fresh process"
        return Ruling(rule=name, passed=None, evidence=budget, reason=reason)
    speed, size = _finite(found.ms_per_1000_rows), _finite(found.megabytes)
    evidence = {"ms_per_1000_rows": speed, "megabytes": size, "rows": float(found.rows), **budget}
    if found.problem is not None:
        reason = f"the packaged model does not work: {found.problem}"
        return Ruling(rule=name, passed=False, evidence=evidence, reason=reason)
    if speed is None or size is None or found.rows < 1:
        reason = "speed and size of the packaged model could not be measured"
        return Ruling(rule=name, passed=None, evidence=evidence, reason=reason)
    problems = []
    if not found.identical:
        problems.append("the packaged model does not predict what it predicted in training")
    if not found.refuses_bad_input:
        problems.append("the packaged model accepts input that breaks its signature")
    if rule is not None and speed > rule.max_ms_per_1000_rows:
        problems.append(f"it takes {speed:.0f} ms per 1,000 rows, at most {rule.max_ms_per_1000_rows:g}")
    if rule is not None and size > rule.max_megabytes:
        problems.append(f"it is {size:.1f} MB large, at most {rule.max_megabytes:g}")
    calm = f"in a fresh process it predicts {found.rows} kept rows bit-identically, {speed:.0f} ms per 1,000 rows"
    calm += f", {size:.2f} MB, and refuses what breaks its signature"
    return Ruling(rule=name, passed=not problems, evidence=evidence, reason="; ".join(problems) or calm)


def _enough(gate: Gate, days: int, rows: int) -> Ruling:
    evidence: dict[str, float | None] = {"days": float(days), "rows": float(rows)}
    reason = f"holdout of {days} days and {rows} rows, must be at least {gate.min_days} and {gate.min_rows}"
    passed = days >= gate.min_days and rows >= gate.min_rows
    return Ruling(rule="holdout size", passed=passed, evidence=evidence, reason=reason)
