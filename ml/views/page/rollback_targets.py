"""To which versions one can roll back, and which one comes back if none is named."""

from __future__ import annotations

from typing import Any

from ml.champions import serving_state, withdrawal
from ml.core.champions import tenures
from ml.core.monitoring.day_summary import plain
from ml.wiring import Services


def rollback_targets(services: Services) -> dict[str, Any]:
    """Return who serves, and who served before.

    Returns
    -------
    dict
        ``champion``, the version that serves (None while nobody does); ``default``, the version that a rollback
        without a version brings back (None if there is none); ``versions``, the former champions, the newest first:
        ``version`` and the day ``since`` which it served last.
    """
    serving = serving_state.read_serving(services)
    former = {
        int(entry.payload["version"]): entry.effective_day
        for entry in tenures.promotions_and_returns(serving.decisions)
        if entry.payload["version"] != serving.version
    }
    before, _ = withdrawal.last_good(serving, services) if serving.last is not None else (None, ())
    by_day = sorted(former.items(), key=lambda item: (item[1] is not None, item[1], item[0]), reverse=True)
    facts: dict[str, Any] = plain(
        {
            "champion": serving.version,
            "default": int(before.payload["version"]) if before is not None else None,
            "versions": [{"version": version, "since": day} for version, day in by_day],
        }
    )
    return facts
