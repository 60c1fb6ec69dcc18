"""What a decision begins with: how much a challenger gained over the champion, and what spoke for or against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml.core import metrics
from ml.core.champions.decision_summaries import summarise
from ml.core.counting import interval_name
from ml.core.metrics import mean_loss
from ml.core.monitoring.day_summary import Facts
from ml.records import Logged
from ml.settings import Gate


def of(rulings: Sequence[Mapping[str, Any]], gate: Gate) -> Facts | None:
    """Return the gain that the gate weighed; None where it compared with no champion.

    Parameters
    ----------
    rulings
        Those of a verdict, as the decision log keeps them.
    gate
        Names the metric, and the confidence of the interval.

    Returns
    -------
    dict or None
        ``gain`` with ``low`` and ``high`` (in the unit of the mean loss, above 0 is better), ``margin`` (the least gain
        that serves, below 0 where a loss is tolerated; None if there is none), ``days``, ``expected`` (the expected
        gain of a refresh, None of others), the ``rule``, and all of it in a ``sentence``.
    """
    for ruling in rulings:
        compared = ruling.get("comparison")
        if ruling.get("kind") == "champion" and isinstance(compared, Mapping):
            evidence = ruling.get("evidence") or {}
            facts: Facts = {name: compared.get(name) for name in ("gain", "low", "high", "days")}
            facts |= {"margin": _margin(evidence), "expected": evidence.get("posterior_gain"), "rule": ruling["rule"]}
            if "split_days" in evidence:
                return facts | {"sentence": _reason(ruling)}
            return facts | {"sentence": _sentence(facts, gate, evidence.get("probability_worse"))}
    return None


def _margin(evidence: Mapping[str, Any]) -> float | None:
    """Return the least gain that serves; of a refresh that its past decides on, the one that would have tipped it."""
    if evidence.get("posterior_gain") is not None:
        return evidence.get("tips_at")
    tolerated = next((evidence[name] for name in ("refresh_max_loss", "max_loss") if evidence.get(name)), None)
    return -tolerated if tolerated is not None else evidence.get("min_gain")


def _sentence(facts: Facts, gate: Gate, worse: float | None) -> str:
    ends = [facts[end] for end in ("low", "high")]
    interval = "" if None in ends else f"{interval_name(gate.confidence)} {signed(ends[0])} to {signed(ends[1])}"
    margin = "" if facts["margin"] is None else f"margin {signed(facts['margin'])}"
    words = (
        f"Gain over the champion in {metrics.label(mean_loss(gate.metric))}: {signed(facts['gain'])} "
        f"({', '.join(filter(None, [interval, margin]))}) on the same {facts['days']} days"
    )
    if facts["expected"] is None:
        return words
    risk = "" if worse is None else f" (the probability that it is worse is {_percent(worse)})"
    return f"{words}. With what refreshes gained before, {signed(facts['expected'])} is expected{risk}"


def reasons_of(entry: Logged, gate: Gate) -> list[str]:
    """Return why a decision was made, what matters most first; rules that passed are only counted.

    What a person said comes first, then the gain (or the base rate, where nobody served), then what held. Decisions
    without a verdict of the gate keep their own reasons.
    """
    verdict = entry.payload.get("verdict")
    stored = verdict.get("rulings") if isinstance(verdict, Mapping) else None
    rulings = [ruling for ruling in stored or () if isinstance(ruling, Mapping)]
    if not isinstance(verdict, Mapping) or not rulings:
        return list(summarise(entry).reasons)
    own = [reason for reason in summarise(entry).reasons if reason not in {_reason(one) for one in rulings}]
    return list(dict.fromkeys([*own, *in_short(rulings, gate)]))


def in_short(rulings: Sequence[Mapping[str, Any]], gate: Gate) -> list[str]:
    """Return what a verdict says in few sentences: the gain or the base rate, what did not pass, how many did."""
    missed = [ruling for ruling in rulings if ruling.get("passed") is not True]
    passed = [ruling for ruling in rulings if ruling.get("passed") is True]
    gain = of(rulings, gate)
    basis = {str(ruling.get("kind")): _reason(ruling) for ruling in reversed(passed)}
    lead = [gain["sentence"] if gain else basis.get("base_rate") or basis.get("champion", "")]
    held = [f"{ruling.get('rule')}: {_reason(ruling)}" for ruling in missed if not _led_by(gain, ruling)]
    if not missed:
        return [*filter(None, lead), f"All {len(passed)} rules of the gate passed"]
    names = ", ".join(str(ruling.get("rule")) for ruling in missed)
    return [*filter(None, lead), *held, f"Not passed: {names} ({len(passed)} of {len(rulings)} rules passed)"]


def _led_by(gain: Facts | None, ruling: Mapping[str, Any]) -> bool:
    return gain is not None and ruling.get("rule") == gain["rule"] and ruling.get("passed") is False


def _reason(ruling: Mapping[str, Any]) -> str:
    return str(ruling.get("reason", ""))


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def signed(value: float) -> str:
    """Return a difference with its sign and four decimals; the minus is one that does not break off."""
    return f"{value:+.4f}".replace("-", "−")
