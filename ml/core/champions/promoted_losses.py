"""How well models that were promoted did when they were judged, as the decision log keeps it."""

from __future__ import annotations

from collections.abc import Sequence

from ml.core.champions.tenures import blocked, rulings
from ml.records import Logged

NEWEST = 5
"""So many promotions say what can be known of a task; what was known long ago says little of today."""


def beside_base_rate(decisions: Sequence[Logged], metric: str) -> list[tuple[float, float]]:
    """Return of the newest promotions the loss on the holdout when each was judged, and that of the base rate there.

    A promotion that was rolled back, that was judged by another metric, or whose verdict was not kept is left out.

    Parameters
    ----------
    decisions
        Oldest first.

    Returns
    -------
    list of (float, float)
        Oldest first, at most `NEWEST`.
    """
    losses: list[tuple[float, float]] = []
    rolled_back = blocked(decisions)
    for entry in decisions:
        counts = entry.kind == "promotion" and entry.fingerprint not in rolled_back
        for ruling in rulings(entry, "base_rate") if counts else ():
            figures = ruling.get("evidence") or {}
            loss, base = figures.get(metric), figures.get("base_rate")
            if loss is not None and base:
                losses.append((float(loss), float(base)))
    return losses[-NEWEST:]
