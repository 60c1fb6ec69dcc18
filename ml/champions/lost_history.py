"""Bring back earlier changes of the champion that MLflow has lost: the storage's claims hold each of them whole.

Who serves does not depend on these, but what was rolled back, and what a rollback can return to, does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from ml.adapters import layout
from ml.adapters.champion_changes import ChampionChange
from ml.champions import promotion_protocol, recorded_models, serving_state
from ml.wiring import Services

logger = logging.getLogger(__name__)
Successors = Mapping[str, Sequence[ChampionChange]]


def changes(serving: serving_state.ServingState, services: Services) -> list[ChampionChange]:
    """List the changes, oldest first, that were carried out by the storage's claims and that MLflow does not show.

    Not among these: the newest decision, and what was claimed after it.
    """
    present = {entry.key for entry in serving.decisions if entry.finished}
    everywhere = _successors(services)
    carried_out = _follow([None, *present], everywhere)
    pending: dict[str, ChampionChange] = {}
    if services.tracking.has_book():  # to look makes nothing
        pending = _follow([serving_state.after(serving)], _successors(services, services.tracking.book()))
    kept_out = present | pending.keys() | ({serving.last.key} if serving.last else set())
    lost = [change for key, change in carried_out.items() if key not in kept_out]
    return sorted(lost, key=lambda change: change.claimed_at)


def bring_back(lost: Sequence[ChampionChange], services: Services) -> None:
    """Restore the runs of ``lost`` in MLflow, or write them again; no alias is moved. May be done twice."""
    for change in lost:
        recorded_models.write_change(change, services)
        decision = promotion_protocol.agree(change.logged(), services)
        if not decision.finished:
            services.tracking.close_decision(decision)
        logger.warning("doctor: the record of '%s' is back in MLflow", change.key)


def _successors(services: Services, book: str | None = None) -> Successors:
    """Read which changes were claimed after which decision, named by its digest; in one book, or in all."""
    successors: dict[str, list[ChampionChange]] = {}
    for name, claims in services.journal.claims().items():
        for claim in claims if book in (None, name) else ():
            if claim.change is not None and claim.withdrawn is None:
                successors.setdefault(claim.after, []).append(claim.change)
    return successors


def _follow(keys: Iterable[str | None], successors: Successors) -> dict[str, ChampionChange]:
    """Follow the claims from decisions with these keys on (None: from the beginning); return them by key."""
    by_key: dict[str, ChampionChange] = {}
    left = ["none" if key is None else layout.champions.digest(key) for key in keys]
    while left:
        for change in successors.get(left.pop(), ()):
            if change.key not in by_key:
                by_key[change.key] = change
                left.append(layout.champions.digest(change.key))
    return by_key
