"""Say whether a challenger may take the champion's place.

Every rule is evaluated, always, and the verdict lists each with its evidence. A rule whose
evidence is missing does not pass. Ties hold. A gate without any rule holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.core.metrics import row_loss
from ml.records import Ruling, Verdict
from ml.settings import Gate


@dataclass(frozen=True)
class PairedGain:
    """How much lower the challenger's mean loss is, over the days on which both can be judged.

    ``gain`` is champion's minus challenger's mean row loss (positive is better), ``low`` and
    ``high`` its confidence interval.
    """

    gain: float
    low: float
    high: float
    days: int
    rows: int


def paired_gain(holdout: pd.DataFrame, *, metric: str, confidence: float, rounds: int, seed: int) -> PairedGain | None:
    """Compare two models on the same rows, resampling whole days.

    Rows of a day share its weather and its luck, so the day is the independent unit: a bootstrap
    of rows would be far too sure of itself (cluster bootstrap; Cameron, Gelbach & Miller 2008,
    doi:10.1162/rest.90.3.414). The interval is the percentile interval of the ratio of resampled
    sums, so that busy days count by their rows.

    Parameters
    ----------
    holdout : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target``, ``challenger``, ``champion``; not modified.

    Returns
    -------
    PairedGain or None
        None for fewer than two days (one cluster carries no interval), and if any row has no
        finite loss: a row that one of the two did not predict is no tie.
    """
    difference = row_loss(holdout["target"], holdout["champion"], metric) - row_loss(
        holdout["target"], holdout["challenger"], metric
    )
    if not np.isfinite(difference).all():
        return None
    days = pd.DataFrame({"day": holdout["day"].to_numpy(), "gain": difference}).groupby("day")["gain"]
    sums, rows = days.sum().to_numpy(), days.size().to_numpy()
    if len(sums) < 2:
        return None
    draws = np.random.default_rng(seed).integers(0, len(sums), size=(rounds, len(sums)))
    gains = sums[draws].sum(axis=1) / rows[draws].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(gains, [tail, 1 - tail])
    return PairedGain(float(sums.sum() / rows.sum()), float(low), float(high), len(sums), int(rows.sum()))


def decide(
    gate: Gate,
    *,
    challenger: Mapping[str, float],
    base_rate: Mapping[str, float],
    holdout_days: int,
    holdout_rows: int,
    against_champion: bool,
    comparison: PairedGain | None = None,
) -> Verdict:
    """Weigh the evidence of one holdout.

    Parameters
    ----------
    challenger
        Its metrics on the holdout; an absent metric is missing evidence.
    base_rate
        Metrics of the constant training prevalence (or mean) on the same rows.
    against_champion
        Whether a champion serves. If so, ``comparison`` is needed: None is missing evidence.

    Examples
    --------
    >>> decide(Gate(floors={"roc_auc": 0.6}, base_rate=False, min_rows=10), challenger={"roc_auc": 0.7},
    ...        base_rate={}, holdout_days=14, holdout_rows=900, against_champion=False).decision
    'promote'
    """
    rulings = [
        *(_bound(name, challenger.get(name), low, lower=True) for name, low in sorted(gate.floors.items())),
        *(_bound(name, challenger.get(name), high, lower=False) for name, high in sorted(gate.ceilings.items())),
    ]
    if gate.base_rate:
        rulings.append(_base_rate(gate.metric, challenger.get(gate.metric), base_rate.get(gate.metric)))
    if against_champion:
        rulings.append(_comparison(gate, comparison))
    if not rulings:
        return Verdict(decision="hold", reasons=("no rule is declared under gate: nothing can be shown",), rulings=())
    rulings.append(_enough(gate, holdout_days, holdout_rows))
    failed = tuple(ruling.reason for ruling in rulings if not ruling.passed)
    if failed:
        return Verdict(decision="hold", reasons=failed, rulings=tuple(rulings))
    return Verdict(decision="promote", reasons=tuple(r.reason for r in rulings), rulings=tuple(rulings))


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _bound(name: str, value: float | None, limit: float, *, lower: bool) -> Ruling:
    kind, word = ("floor", "at least") if lower else ("ceiling", "at most")
    value = _finite(value)
    evidence = {name: value, "limit": limit}
    if value is None:
        return Ruling(rule=f"{kind}: {name}", passed=None, evidence=evidence, reason=f"{name} could not be measured")
    passed = value >= limit if lower else value <= limit
    said = f"{name} is {value:.4f}, must be {word} {limit:g}"
    return Ruling(rule=f"{kind}: {name}", passed=passed, evidence=evidence, reason=said)


def _base_rate(metric: str, value: float | None, base: float | None) -> Ruling:
    value, base = _finite(value), _finite(base)
    evidence = {metric: value, "base_rate": base}
    if value is None or base is None:
        reason = f"{metric} could not be measured against the base rate"
        return Ruling(rule="base rate", passed=None, evidence=evidence, reason=reason)
    words = f"{metric} {value:.4f} against {base:.4f} for the base rate"
    return Ruling(rule="base rate", passed=value < base, evidence=evidence, reason=words)


def _comparison(gate: Gate, found: PairedGain | None) -> Ruling:
    if found is None or not np.isfinite([found.gain, found.low, found.high]).all():
        reason = "champion and challenger could not be compared on the same days"
        return Ruling(rule="champion", passed=None, evidence={}, reason=reason)
    evidence: dict[str, float | None] = {
        "gain": found.gain,
        "low": found.low,
        "high": found.high,
        "days": float(found.days),
        "rows": float(found.rows),
        "min_gain": gate.min_gain,
    }
    if found.days < gate.min_days or found.rows < gate.min_rows:
        reason = (
            f"only {found.days} days and {found.rows} rows are new to both models; "
            f"the comparison needs {gate.min_days} days and {gate.min_rows} rows"
        )
        return Ruling(rule="champion", passed=None, evidence=evidence, reason=reason)
    passed = found.low > 0 and found.gain > 0 and found.gain >= gate.min_gain
    unit = "mean squared error" if gate.metric == "rmse" else gate.metric
    reason = (
        f"gain over the champion {found.gain:+.4f} {unit} "
        f"({gate.confidence:.0%} interval {found.low:+.4f} to {found.high:+.4f}) on {found.days} days"
    )
    if not passed:
        reason += f"; must be above 0 beyond noise and at least {gate.min_gain:g}"
    return Ruling(rule="champion", passed=passed, evidence=evidence, reason=reason)


def _enough(gate: Gate, days: int, rows: int) -> Ruling:
    evidence: dict[str, float | None] = {"days": float(days), "rows": float(rows)}
    reason = f"holdout of {days} days and {rows} rows, must be at least {gate.min_days} and {gate.min_rows}"
    passed = days >= gate.min_days and rows >= gate.min_rows
    return Ruling(rule="holdout size", passed=passed, evidence=evidence, reason=reason)
