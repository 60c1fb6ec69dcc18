"""What the overview page tells of decisions and of model versions, and of two versions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml.core.champions import decision_summaries, tenures
from ml.core.gate.randomised import EVIDENCE
from ml.core.monitoring.day_summary import Facts
from ml.records import Logged
from ml.settings import Gate
from ml.views import gain
from ml.views.charts import better, day_of, label

OUTCOMES = {True: "passed", False: "failed", None: "no evidence"}
AFFIXES = ("base_rate_", "champion_")
NO_METRICS = ("fit_seconds", "train_rows", "holdout_rows", "holdout_days")


# --- decisions ----------------------------------------------------------------------------------------


def row(entry: Logged, gate: Gate, *, requested_by: str | None = None, replayed: bool = False) -> Facts:
    """Describe one decision in a line.

    Parameters
    ----------
    gate
        Names the metric of the ``gain`` (`ml.views.gain.of`; None where nothing was compared).
    requested_by
        Who asked for the training of its version, for decisions that do not say so themselves.
    replayed
        Whether a replay has decided it (`ml.adapters.replayed_days`).
    """
    summary = decision_summaries.summarise(entry)
    rulings = _rulings(entry)
    approval = entry.payload.get("approval")
    outcomes = [ruling["outcome"] for ruling in rulings]
    return {
        "decision_id": summary.decision_id,
        "decided_at": summary.decided_at,
        "kind": summary.kind,
        "version": summary.version,
        "against": summary.against,
        "day": day_of(entry),
        "replayed": replayed,
        "in_force_from": summary.in_force_from,
        "requested_by": summary.requested_by or requested_by,
        "because": _because(entry),
        "approval": decision_summaries.approval_in_words(approval) if isinstance(approval, Mapping) else None,
        "verdict": _verdict(entry).get("decision"),
        "reasons": gain.reasons_of(entry, gate),
        "gain": gain.of(_rulings(entry), gate),
        "rules": {
            "passed": outcomes.count("passed"),
            "failed": outcomes.count("failed"),
            "missing": outcomes.count("no evidence"),
        }
        if rulings
        else None,
    }


def opened(entry: Logged, gate: Gate, *, requested_by: str | None = None, replayed: bool = False) -> Facts:
    """Describe one decision in full: each rule with its evidence, and whatever else was written down."""
    summary = ("verdict", "approval", "version", "requested_by", "reasons", "evidence", "reason")
    facts = {name: value for name, value in entry.payload.items() if name not in summary}
    evidence = entry.payload.get("evidence")
    return {
        **row(entry, gate, requested_by=requested_by, replayed=replayed),
        "effective_day": entry.effective_day,
        "rulings": _rulings(entry),
        "evidence": dict(evidence) if isinstance(evidence, Mapping) else {},
        "facts": {**facts, "fingerprint": entry.fingerprint, "key": entry.key},
    }


def _because(entry: Logged) -> str | None:
    """Return the words with which a person asked for a training; what asks by itself has a decision of its own."""
    because = entry.payload.get("requested_because")
    by = str(entry.payload.get("requested_by") or "")
    if not because or by.startswith(("monitor of ", "replay")):
        return None
    return because if isinstance(because, str) else "; ".join(map(str, because))


def _verdict(entry: Logged) -> Mapping[str, Any]:
    verdict = entry.payload.get("verdict")
    return verdict if isinstance(verdict, Mapping) else {}


def _rulings(entry: Logged) -> list[Facts]:
    rulings = _verdict(entry).get("rulings")
    records = [ruling for ruling in rulings if isinstance(ruling, Mapping)] if isinstance(rulings, Sequence) else []
    return [
        {
            "rule": str(ruling.get("rule", "unnamed")),
            "kind": str(ruling.get("kind", "")),
            "outcome": OUTCOMES.get(ruling.get("passed"), "no evidence"),
            "reason": str(ruling.get("reason", "")),
            "evidence": dict(ruling.get("evidence") or {}),
            "comparison": ruling.get("comparison"),
            "slices": ruling.get("slices"),
        }
        for ruling in records
    ]


def about(version: int, decisions: Sequence[Logged]) -> list[Logged]:
    """Return the decisions that a version is the subject of or was weighed in, oldest first."""
    named = ("version", "judged_version")
    return [entry for entry in decisions if version in [entry.payload.get(name) for name in named]]


def refit_of(version: int, decisions: Sequence[Logged]) -> int | None:
    """Return the refit in whose place a version was judged, which holds the card of both; None if it has none."""
    for entry in reversed(decisions):
        refit = entry.payload.get("version")
        if entry.payload.get("judged_version") == version and refit not in (None, version):
            return int(refit)
    return None


def twins(decisions: Sequence[Logged]) -> set[int]:
    """Return the versions that were only judged in the place of their refits: one training, which is the refit's."""
    pairs = [(entry.payload.get("judged_version"), entry.payload.get("version")) for entry in decisions]
    return {int(judged) for judged, version in pairs if judged is not None and version not in (None, judged)}


def open_request(decisions: Sequence[Logged]) -> Logged | None:
    """Find the newest request for a challenger after which nothing was judged; None if none is open."""
    for entry in reversed(decisions):
        if entry.kind in tenures.JUDGED:
            return None
        if entry.kind == "retrain_request":
            return entry
    return None


# --- versions -----------------------------------------------------------------------------------------


def outcome(version: int, decisions: Sequence[Logged]) -> str:
    """Return in a word what became of a version.

    ``champion``, ``replaced``, ``rolled back``, ``withdrawn``, ``held``, ``rejected``, ``judged`` (in another's place:
    its refit was decided about), or ``registered``.
    """
    promoted = tenures.promotions_and_returns(decisions)
    now = tenures.promoted_on(None, decisions)
    if now is not None and now.payload["version"] == version:
        return "champion"
    bad = tenures.blocked(decisions)
    served = [entry for entry in promoted if entry.payload["version"] == version]
    if served:
        if any(entry.payload.get("withdrawn_version") == version for entry in decisions):
            return "withdrawn"
        return "rolled back" if served[-1].fingerprint in bad else "replaced"
    unpromoted = [entry for entry in decisions if entry.kind in ("hold", "rejection")]
    of_it = [entry.kind for entry in unpromoted if entry.payload.get("version") == version]
    if of_it:
        return {"hold": "held", "rejection": "rejected"}[of_it[-1]]
    return "judged" if about(version, decisions) else "registered"


def metrics_of(measured: Mapping[str, float]) -> dict[str, float]:
    """Keep the version's own metrics on its holdout out of all that its run has logged."""
    return {name: value for name, value in measured.items() if name not in NO_METRICS and not name.startswith(AFFIXES)}


def figures(measured: Mapping[str, float], *, metric: str) -> list[Facts]:
    """List a version's metrics on its holdout, the gate's own first, beside base rate and champion of then."""
    own = metrics_of(measured)
    return [
        {
            "name": name,
            "label": label(name),
            "better": better(name),
            "value": own[name],
            "base_rate": measured.get(f"base_rate_{name}"),
            "champion": measured.get(f"champion_{name}"),
        }
        for name in sorted(own, key=lambda name: (name != metric, name))
    ]


def slices(rulings: Sequence[Facts]) -> list[Facts]:
    """Return what the gate's rules measured by slice, worst first, as they recorded it."""
    return [
        {"rule": ruling["rule"], "message": ruling["reason"], **ruling["slices"]}
        for ruling in rulings
        if ruling["slices"]
    ]


def lineage(facts: Mapping[str, Any]) -> list[Facts]:
    """Lay out what a version depends on, from its ``lineage.json``; what it does not say is left out."""
    settings = facts.get("settings") or {}
    fit, window, parts = settings.get("fit") or {}, facts.get("window") or {}, facts.get("parts") or {}
    features = settings.get("features") or {}
    machine = facts.get("environment") or {}
    named = [name for kind in ("categorical", "numeric", "spline") for name in features.get(kind) or ()]
    values = {
        "window": _span(window.get("first_day"), window.get("last_day")),
        "trained on": _span(parts.get("train_first_day"), parts.get("train_last_day")),
        "holdout": _span(parts.get("holdout_first_day"), parts.get("holdout_last_day")),
        "requested by": facts.get("requested_by"),
        "requested because": "; ".join(map(str, facts.get("reasons") or ())) or None,
        "fingerprint": facts.get("fingerprint"),
        "data version": facts.get("data_version"),
        "code version": facts.get("code_version"),
        "code SHA-256": facts.get("code_sha256"),
        "lock file SHA-256": facts.get("lock_sha256"),
        "estimator": fit.get("estimator"),
        "estimator arguments": ", ".join(f"{name}={value}" for name, value in (fit.get("args") or {}).items()) or None,
        "features": ", ".join(named) or None,
        "seed": fit.get("seed"),
        "Python": machine.get("python"),
        "platform": machine.get("platform"),
    }
    return [{"what": what, "value": str(value)} for what, value in values.items() if value is not None]


def _span(first: object, last: object) -> str | None:
    return f"{first} to {last}" if first and last else None


# --- two versions -------------------------------------------------------------------------------------


def compared_metrics(a: Mapping[str, float], b: Mapping[str, float], *, metric: str) -> list[Facts]:
    """Compare two versions' metrics; ``best`` is the side that has the better one, if any.

    The base rate's follows the gate's metric: on other days another loss is good.
    """
    base_rate = f"base_rate_{metric}"
    mine, others = _with_base_rate(a, metric), _with_base_rate(b, metric)
    names = sorted({*mine, *others}, key=lambda name: (name != metric, name != base_rate, name))
    return [
        {
            "name": name,
            "label": f"{label(metric)} of the base rate" if name == base_rate else label(name),
            "better": "" if name == base_rate else better(name),
            "a": mine.get(name),
            "b": others.get(name),
            "best": _best(mine.get(name), others.get(name), "" if name == base_rate else better(name)),
        }
        for name in names
    ]


def _with_base_rate(measured: Mapping[str, float], metric: str) -> dict[str, float]:
    """Return a version's metrics with that of the base rate: a loss follows how hard the days are."""
    name = f"base_rate_{metric}"
    return metrics_of(measured) | ({name: measured[name]} if name in measured else {})


def _best(a: float | None, b: float | None, direction: str) -> str | None:
    if a is None or b is None or not direction:
        return None
    first, second = (abs(a), abs(b)) if direction == "nearer 0" else (a, b)
    if first == second:
        return None
    return "a" if (first < second) != (direction == "higher") else "b"


def compared_facts(a: Sequence[Facts], b: Sequence[Facts]) -> list[Facts]:
    """Compare two lineages fact by fact; None is what one of them does not say."""
    mine, others = ({fact["what"]: fact["value"] for fact in side} for side in (a, b))
    return [
        {"what": what, "a": mine.get(what), "b": others.get(what), "same": mine.get(what) == others.get(what)}
        for what in dict.fromkeys([*mine, *others])
    ]


def paired(a: int, b: int, decisions: Sequence[Logged], gate: Gate) -> Facts | None:
    """Find the newest gate in which two versions met on the same rows: the only figures that compare them.

    A refit is compared by the version that was judged in its place, and so is a champion that is one.

    Parameters
    ----------
    decisions
        Those about both versions and the versions judged in their place; oldest first.
    gate
        As `ml.views.gain.of`.

    Returns
    -------
    dict or None
        ``decision_id``; ``champion`` and ``challenger`` of then, and ``version``, what the challenger became: its
        refit, or itself; ``gain``, ``low`` and ``high``; ``sentence``, these with the margin in words; the rule's
        ``reason``.
    """
    wanted = {tenures.judged_version(version, decisions) for version in (a, b)}
    for entry in reversed(decisions) if len(wanted) == 2 else ():
        judged = entry.payload.get("judged_version") or entry.payload.get("version")
        against = decision_summaries.summarise(entry).against
        if entry.kind in ("rollback", "withdrawal") or judged is None or against is None:
            continue
        if entry.payload.get("judged_by") == EVIDENCE:  # each answered rows of its own
            continue
        if {judged, tenures.judged_version(against, decisions)} != wanted:
            continue
        for ruling in _rulings(entry):
            if ruling["comparison"]:
                return {
                    "decision_id": entry.decision_id,
                    "champion": against,
                    "challenger": judged,
                    "version": entry.payload.get("version") or judged,
                    "sentence": (gain.of([ruling], gate) or {}).get("sentence"),
                    **{figure: ruling["comparison"].get(figure) for figure in ("gain", "low", "high")},
                    "reason": ruling["reason"],
                }
    return None
