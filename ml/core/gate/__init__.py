"""Decide whether a challenger may take the champion's place.

The rules are declared by name in ``params.yaml``; `ml.core.gate.rules` has a module for each kind. Each is evaluated,
always, and the verdict lists each with its evidence, threshold and outcome. A rule whose evidence is missing does not
pass. A tie holds, unless the rule asks only for not being worse (`ml.core.gate.rules.champion`). A gate without any
rule holds, and so does one that would replace a champion without a comparison.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml.core.gate.anchor import judge_anchor
from ml.core.gate.rule import Evidence, GateRule
from ml.records import Ruling, Verdict
from ml.settings import Gate

__all__ = ["OWN_ADVICE", "Evidence", "decide"]

OWN_ADVICE = {
    "holdout_size": "The holdout is too small to judge by: wait for more labelled days, or lower gate.min_rows.",
    "anchor": "Refreshes since that version have lost too much together: look for what changed in the data since, or "
    "roll back to it. If it cannot score these days, a person decides: name another version as gate.anchor.",
    "not_rolled_back": "Train on other data, parameters or code.",
    "other_champion": "Train a challenger anew: it is then compared with the version that serves.",
    "split_stopped": "Find out why the split was stopped; then resume it, or train another challenger.",
    "refit_agreement": "The model changes much with the newest days: compare both versions in MLflow, or set "
    "retrain.refit to never.",
}
"""What to do where the gate holds by itself, by the kind of the ruling; each rule brings its own advice."""


def decide(gate: Gate, evidence: Evidence) -> Verdict:
    """Return the verdict on the evidence of one holdout, rule by rule.

    Examples
    --------
    >>> rules = {"ranks": {"kind": "bound", "metric": "roc_auc", "at_least": 0.6}}
    >>> decide(Gate(rules=rules, min_rows=10), Evidence(challenger={"roc_auc": 0.7}, base_rate={},
    ...        holdout_days=14, holdout_rows=900, against_champion=False)).decision
    'promote'
    """
    if not gate.rules:
        nothing = "no rule is declared under gate.rules: nothing can be shown"
        return Verdict(decision="hold", reasons=(nothing,), rulings=())
    rulings = [_ruling(name, rule, gate, evidence) for name, rule in gate.rules.items()]
    rulings += _of_its_own(gate, evidence)
    failed = tuple(ruling.reason for ruling in rulings if not ruling.passed)
    if failed:
        return Verdict(decision="hold", reasons=failed, rulings=tuple(rulings))
    reasons = tuple(ruling.reason for ruling in rulings if ruling.reason)
    return Verdict(decision="promote", reasons=reasons, rulings=tuple(rulings))


def _ruling(name: str, rule: object, gate: Gate, evidence: Evidence) -> Ruling:
    if not isinstance(rule, GateRule):
        raise TypeError(f"gate.rules.{name} is a {type(rule).__name__}, which cannot judge")
    return rule.judge(name, gate, evidence)


def _of_its_own(gate: Gate, evidence: Evidence) -> Iterable[Ruling]:
    """Yield what no rule has to ask for: no comparison, too small a holdout, a training that was rolled back."""
    if evidence.against_champion and not any(rule.compares for rule in gate.rules.values()):
        reason = "a champion serves, but no rule of kind champion compares with it; declare one under gate.rules"
        yield Ruling(rule="champion", kind="champion", passed=None, evidence={}, reason=reason)
    anchor = judge_anchor(gate, evidence)
    if anchor is not None:
        yield anchor
    yield _enough(gate, evidence.holdout_days, evidence.holdout_rows)
    if evidence.blocked:
        reason = "this very training (same fingerprint) was rolled back: train on other data, parameters or code"
        yield Ruling(rule="not rolled back", kind="not_rolled_back", passed=False, evidence={}, reason=reason)


def _enough(gate: Gate, days: int, rows: int) -> Ruling:
    evidence: dict[str, float | None] = {"days": float(days), "rows": float(rows)}
    reason = f"holdout of {days} days and {rows} rows, must be at least {gate.min_days} and {gate.min_rows}"
    passed = days >= gate.min_days and rows >= gate.min_rows
    return Ruling(rule="holdout size", kind="holdout_size", passed=passed, evidence=evidence, reason=reason)
