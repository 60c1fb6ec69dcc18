"""How the values of one column were distributed when its drift was measured."""

from __future__ import annotations

from datetime import date
from typing import Any

from ml.adapters import layout
from ml.core.monitoring import day_summary
from ml.core.monitoring.day_summary import plain
from ml.core.monitoring.distributions import SHAPE
from ml.errors import EvergreenError, MissingArtifact
from ml.next_moves import rerun
from ml.views import charts
from ml.views.page import days as monitored
from ml.wiring import Services


def drift_column(services: Services, *, day: str, column: str) -> dict[str, Any]:
    """Gather how a column was distributed in the reference and in the window of a day.

    Returns
    -------
    dict
        ``day`` and ``column``; ``version``, whose reference it is; ``first_day`` of the window and its ``rows``;
        ``distribution``: `ml.core.monitoring.distributions.distribution` (None if it was not kept);
        ``report``, Evidently's of the day; ``message``, why there is no distribution.

    Raises
    ------
    EvergreenError
        If ``day`` is not a day.
    MissingArtifact
        If the column was not watched on that day, or nothing was measured then.
    """
    (monitored_day,) = monitored.read(services, [_day(day)])
    facts = monitored_day.facts or {}
    drift = facts.get("drift") or {}
    if column not in {cell[charts.NAME] for cell in day_summary.columns(drift)}:
        raise MissingArtifact(
            monitored_day.problem
            or f"no drift of column {column!r} was measured on {day}; choose another cell of the map"
        )
    distribution, message = _read(services, monitored_day.day, drift["version"], column)
    answer: dict[str, Any] = plain(
        {
            "day": day,
            "column": column,
            "version": drift["version"],
            "first_day": drift["first_day"],
            "rows": drift["rows"],
            "distribution": distribution,
            "report": charts.report_of(facts),
            "message": message,
        }
    )
    return answer


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as err:
        raise EvergreenError(f"{text!r} is not a day: write it as 2026-11-28") from err


def _read(services: Services, day: date, version: int, column: str) -> tuple[dict[str, Any] | None, str | None]:
    """Return a column's distribution, or why there is none."""
    stored = services.storage_folder(layout.monitoring.day_dir(day))
    name = layout.monitoring.distributions(version)
    try:
        facts = stored.read_json(name)
        if facts["shape"] != SHAPE:
            return (
                None,
                f"The distributions of {day} were kept by another release of Evergreen: see Evidently's report.",
            )
        distribution = facts["columns"].get(column)
    except MissingArtifact:
        return None, (
            f"The distributions of {day} were not kept: that day was measured by an earlier release of Evergreen. "
            "Evidently's report has its distances."
        )
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        return None, f"{stored.uri(name)} cannot be read ({err}): {rerun('monitor', day)}, to write it again"
    if distribution is None:
        return None, f"Of {column} there were no values to compare on {day}."
    return distribution, None
