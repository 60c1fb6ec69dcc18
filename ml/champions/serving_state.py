"""Who serves by the decisions and by the alias, read only, and what it means where the two disagree."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date, timedelta

from ml.adapters.champion_changes import DOCTOR
from ml.core.champions import tenures
from ml.errors import EvergreenError, MissingArtifact
from ml.next_moves import ingest_past
from ml.records import Logged
from ml.wiring import Services

LOOK_AGAIN_SECONDS = 0.2
LOOKS = 5
"""So often an alias must be found where no decision has put it, before a person is called."""


@dataclass(frozen=True)
class ServingState:
    """Who serves by the decisions, and by the alias; the two differ only in the midst of a change.

    Attributes
    ----------
    tenure
        The decision by which the champion serves; None before the first promotion, and after a withdrawal.
    decisions
        All changes of the champion that count, oldest first.
    """

    tenure: Logged | None
    alias: int | None
    decisions: tuple[Logged, ...]

    @property
    def version(self) -> int | None:
        """Return the version that serves by the decisions."""
        return int(self.tenure.payload["version"]) if self.tenure else None

    @property
    def last(self) -> Logged | None:
        """Return the newest change of the champion: what a next one succeeds."""
        if self.tenure is not None:
            return self.tenure
        changes = tenures.changes(self.decisions)
        return changes[-1] if changes else None


def read_serving(services: Services) -> ServingState:
    """Read who serves, and touch nothing."""
    decisions = services.tracking.decisions(kinds=tenures.CHAMPION_CHANGES)
    return ServingState(tenures.promoted_on(None, decisions), services.tracking.alias("champion"), tuple(decisions))


def await_alias(services: Services) -> ServingState:
    """Read who serves, and look again for a moment while the alias is not where the decisions say; touch nothing."""
    for _ in range(LOOKS):
        serving = read_serving(services)
        if serving.alias == serving.version:
            break
        time.sleep(LOOK_AGAIN_SECONDS)
    return serving


def is_gone(version: int | None, services: Services) -> bool:
    """Return whether MLflow has lost a version; None is no version, and not lost."""
    if version is None:
        return False
    try:
        services.tracking.version_tags(version)
    except MissingArtifact:
        return True
    return False


def moved_by_hand(serving: ServingState, *, gone: bool = False) -> str:
    """Explain that the alias and the decisions disagree, and what to do about it.

    Parameters
    ----------
    gone
        Whether MLflow has lost the version that serves by the decisions.
    """
    if gone:
        return (
            f"version {serving.version} is the champion by the decisions, and MLflow has lost it (deleted, or a "
            f"database that is older than the storage); run '{DOCTOR}': the champion before it then serves again, "
            "or nobody until a challenger is promoted"
        )
    points = f"points at version {serving.alias}" if serving.alias is not None else "points nowhere"
    if serving.version is None:
        return (
            f"the alias 'champion' {points}, but no decision has made a version champion; "
            f"remove the alias in MLflow ('{DOCTOR}' does), and promote that version through the gate"
        )
    return (
        f"the alias 'champion' {points}, but by the decisions version {serving.version} serves; move it back with "
        f"'evergreen rollback --to {serving.version} --reason \"moved by hand\"'"
    )


def newest_day(serving: ServingState, services: Services) -> date:
    """Return the registry's newest day; if it has none (restored, or made anew), the day before the present tenure."""
    days = services.registry.days("inputs")
    if days:
        return max(days)
    if serving.last is None or serving.last.effective_day is None:
        raise EvergreenError(f"the data registry holds no day; {ingest_past()}, or restore it from a backup")
    return serving.last.effective_day - timedelta(days=1)


def after(serving: ServingState) -> str | None:
    """Name the decision that a next change succeeds; None before the first."""
    return None if serving.last is None else serving.last.key or serving.last.decision_id
