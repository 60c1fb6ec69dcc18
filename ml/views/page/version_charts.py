"""What the charts of a version draw: how it and the champion of then did on the holdout on which it was judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml.adapters.tracking.decision_log import merged
from ml.core.champions.decision_summaries import summarise
from ml.core.champions.tenures import judged_version
from ml.core.gate.comparison import mean_of_days
from ml.core.gate.holdout_charts import SHAPE
from ml.core.monitoring.day_summary import Facts, plain
from ml.views import decision_view
from ml.views.page.model_list import IMPORTANCE, find_version, stored
from ml.views.page.sources import decided, registered
from ml.wiring import Services

if TYPE_CHECKING:
    from ml.adapters.tracking.model_registry import Version

CHARTS = "card/charts.json"


def version_charts(services: Services, version: int) -> dict[str, Any]:
    """Gather what the charts of a version draw.

    Returns
    -------
    dict
        ``version``; ``judged_version``, another one if it is a refit: the charts are that one's; ``champion``, the
        version that it was compared with (None without one); ``charts``, `ml.core.gate.holdout_charts.charts` (None
        if it was not kept); ``importance`` of ``challenger`` and ``champion``, each as
        `ml.core.training.importance.Importance.facts` (None if it was not kept); ``message``, why there is no chart.

    Raises
    ------
    MissingArtifact
        If there is no such version.
    """
    about = decided(services).about(version)
    compared = [summarise(entry).against for entry in about if entry.payload.get("verdict")]
    champion = compared[-1] if compared else None
    versions = {entry.version: entry for entry in registered(services)}
    problems: list[dict[str, str]] = []
    judged, described, charts = _kept(version, services, problems)
    unknown_shape = charts is not None and charts.get("shape") != SHAPE
    beside = versions.get(champion) if champion is not None else None
    facts: dict[str, Any] = plain(
        {
            "version": version,
            "judged_version": judged,
            "champion": champion,
            "charts": None if unknown_shape else charts,
            "importance": {
                "challenger": stored(described, IMPORTANCE, services, []),
                "champion": stored(beside, IMPORTANCE, services, []) if beside else None,
            },
            "message": _why_none(version, charts is None, unknown_shape, problems),
        }
    )
    return facts


def holdout(services: Services, version: int) -> Facts | None:
    """Return what is known of a version before its first live figure: its mean loss on its holdout.

    Returns
    -------
    dict or None
        ``label`` of the mean loss, ``value`` with ``low`` and ``high`` (an interval of ``confidence``, by days),
        ``base_rate`` (None if it was not kept), ``days`` and ``rows``; None where no charts are kept, or of one day.
    """
    _, _, charts = _kept(version, services, [])
    if charts is None or charts.get("shape") != SHAPE:
        return None
    by_day, gate = charts["by_day"], services.settings.gate
    rows = np.asarray(by_day["rows"], dtype=float)
    mean = mean_of_days(
        np.asarray(by_day["loss"]["challenger"], dtype=float) * rows,
        rows,
        confidence=gate.confidence,
        n_resamples=gate.bootstrap_rounds,
        seed=0,
    )
    base_rate = by_day["loss"].get("base_rate")
    if mean is None or not np.isfinite(mean.value):
        return None
    return {
        "label": charts["loss_label"],
        "value": mean.value,
        "low": mean.low,
        "high": mean.high,
        "confidence": gate.confidence,
        "base_rate": None if base_rate is None else float(np.average(np.asarray(base_rate, float), weights=rows)),
        "days": mean.days,
        "rows": mean.rows,
    }


def _kept(
    version: int, services: Services, problems: list[dict[str, str]]
) -> tuple[int, Version, dict[str, Any] | None]:
    """Return which version was judged in a version's place, which one its card describes, and the charts kept of it."""
    model_version, log = find_version(version, services), decided(services)
    about = log.about(version)
    judged = judged_version(version, merged(log.changes, about))
    versions = {entry.version: entry for entry in registered(services)}
    refit = decision_view.refit_of(version, about)
    described = versions.get(refit, model_version) if refit is not None else model_version
    charts = stored(described, CHARTS, services, problems)
    if charts is None and judged in versions and judged != version:
        charts = stored(versions[judged], CHARTS, services, [])
    return judged, described, charts


def _why_none(version: int, absent: bool, unknown_shape: bool, problems: list[dict[str, str]]) -> str | None:
    if unknown_shape:
        return f"What the charts of version {version} draw was kept by another release of Evergreen: its card has it."
    if not absent:
        return None
    unreadable = next((problem["message"] for problem in problems if "cannot be read" in problem["message"]), None)
    return unreadable or (
        f"There are no charts of version {version}: what they draw is kept since charts are drawn here, "
        "and this version was judged before, or its card could not be written. Its metrics are below."
    )
