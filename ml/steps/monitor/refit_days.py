"""The days that refits in shadow have scored beside a champion, as they are kept: one small file a version."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date

from ml.adapters import layout
from ml.core.monitoring import refit_gain
from ml.errors import MissingArtifact
from ml.records import RefitComparison, RefitDay
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)
Kept = dict[date, tuple[str, RefitDay | None]]
"""By day: what it was scored of, and what came of it; None where the refit that was due had seen nothing new."""


def read(version: int, services: Services) -> Kept:
    """Read the scored days of a version; none where nothing was kept, or cannot be read."""
    try:
        facts = services.storage_folder(layout.monitoring.REFITS).read_json(layout.monitoring.refit_days(version))
        return {
            date.fromisoformat(day): (str(content), None if scored is None else RefitDay.model_validate(scored))
            for day, (content, scored) in facts.items()
        }
    except MissingArtifact:
        return {}
    except (ValueError, TypeError, AttributeError) as err:
        logger.warning("the days scored by refits cannot be read, they are scored anew: %s", err)
        return {}


def write(version: int, scored: Mapping[date, tuple[str, RefitDay | None]], services: Services) -> None:
    """Keep the scored days of a version; of two who write at once one is forgotten, and scored again."""
    facts = {
        str(day): [content, None if refit_day is None else refit_day.model_dump(mode="json")]
        for day, (content, refit_day) in sorted(scored.items())
    }
    services.storage_folder(layout.monitoring.REFITS).write_json(layout.monitoring.refit_days(version), facts)


def counted(scored: Mapping[date, tuple[str, RefitDay | None]]) -> list[RefitDay]:
    """Return the newest scored days, in order."""
    days = [refit_day for _, (_, refit_day) in sorted(scored.items()) if refit_day is not None]
    return days[-refit_gain.MOST_DAYS :]


def comparison(version: int | None, day: date, *, settings: Settings, services: Services) -> RefitComparison | None:
    """Return how refits did on the days before ``day``, from what is kept; None where none are made."""
    if version is None or not refit_gain.matters(settings):
        return None
    excluded = services.registry.excluded_days()
    scored = {other: entry for other, entry in read(version, services).items() if other < day and other not in excluded}
    return refit_gain.compare(version, counted(scored), settings)
