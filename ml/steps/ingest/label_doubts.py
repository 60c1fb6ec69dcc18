"""Judge a day's labels before they enter the data registry, and keep those in doubt where a person can let them in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ml.adapters import layout
from ml.core.data.label_doubt import judge, judge_history, recent
from ml.errors import MissingArtifact
from ml.next_moves import rerun
from ml.records import AssetScreening, LabelDay, LabelVerdict
from ml.settings import Settings
from ml.steps.ingest import deliveries, label_sums
from ml.steps.ingest.deliveries import md5_of
from ml.wiring import Services

logger = logging.getLogger(__name__)


def judge_day(day: date, accepted: Path, inputs: Path, services: Services) -> tuple[LabelDay | None, LabelVerdict]:
    """Judge the labels of a day that their contract lets in, beside the inputs of that day.

    Those that the registry holds already, and those that a person accepted with this very content, are plausible. The
    sums of the day are None where nothing had to be summed up for that.
    """
    settings = services.settings
    if not settings.labels.judge:
        return None, LabelVerdict(status="unjudged")
    held, md5 = services.registry.days("labels"), md5_of(accepted)
    if (day in held and held[day].md5 == md5) or is_accepted(day, md5, services):
        return None, LabelVerdict(status="plausible")
    today = label_sums.sum_up(day, accepted, inputs, label_sums.version_of(day, services), services)
    others = label_sums.around(day, held, services)
    later = [other for other in _later(day, others, services) if len(other.level) == len(today.level)]
    verdict = judge(today, recent(day, others, settings.labels), later, labels=settings.labels, task=settings.task)
    logger.info("label_doubts: labels of %s are %s: %s", day, verdict.status, "; ".join(verdict.reasons) or "-")
    return today, verdict


def judge_seeded(sums: Mapping[date, LabelDay], services: Services) -> dict[date, LabelVerdict]:
    """Judge the labels of many past days at once by their own past alone: of most nothing was predicted."""
    return judge_history(sums, labels=services.settings.labels, task=services.settings.task)


def keep_doubtful(
    services: Services,
    result: AssetScreening,
    path: Path,
    accepted: Path,
    today: LabelDay | None,
    verdict: LabelVerdict,
) -> AssetScreening:
    """Quarantine labels that are in doubt: as they came, with the rows that may be let in, and why they wait."""
    folder = services.storage_folder(layout.ingest.quarantine("labels", result.day))
    folder.write_file(layout.ingest.REJECTED_PARTITION, path)
    folder.write_file(layout.ingest.ACCEPTED_ROWS, accepted)
    assert today is not None
    facts = {"labels": today.model_dump(mode="json"), "verdict": verdict.model_dump(mode="json")}
    folder.write_json(layout.ingest.LABEL_DOUBT, {**facts, "md5": md5_of(accepted), "rows": result.accepted_rows})
    folder.write_json(layout.ingest.RESULT, _result(result, verdict))
    return result.model_copy(
        update={"accepted_rows": 0, "quarantined_rows": result.rows, "quarantine_uri": folder.uri(), "rejected": True}
    )


def message(day: date, verdict: LabelVerdict, settings: Settings) -> str:
    """Return why labels wait, until when, and the next move."""
    doubts = "; ".join(verdict.reasons)
    if verdict.lasting:
        wait = "They wait for corrected labels, or for a person"
    else:
        wait = (
            "They wait for corrected labels or a person, and are let in when "
            f"{settings.labels.confirm_days} later days agree with them"
        )
    return (
        f"labels of {day} in doubt: {doubts}{'' if doubts.endswith('?') else '.'} {wait}; no features, training or "
        "performance use them. Next: compare them with their source; deliver them corrected, or let them in: "
        f'evergreen labels accept {day} --reason "..."'
    )


def why_without_labels(day: date, services: Services) -> str:
    """Return why a day has no labels though no partition asks for them any more, and the next move."""
    try:
        verdict = LabelVerdict.model_validate(read_doubt(day, services)["verdict"])
    except MissingArtifact:
        return deliveries.lost(day, services.settings)
    return (
        f"the labels of {day} came and are still in doubt: {'; '.join(verdict.reasons)}; no partition asks for them "
        f"any more. Next: compare them with their source; deliver them corrected, then {rerun('ingest', day)}; or let "
        f'them in: evergreen labels accept {day} --reason "..."'
    )


# --- what a person let in ----------------------------------------------------------------------------


def read_doubt(day: date, services: Services) -> dict[str, Any]:
    """Return what is kept of labels in doubt; MissingArtifact if none of that day are."""
    folder = services.storage_folder(layout.ingest.quarantine("labels", day))
    if not folder.has(layout.ingest.LABEL_DOUBT) or not folder.has(layout.ingest.ACCEPTED_ROWS):
        raise MissingArtifact(f"no labels of {day} are in doubt; the Data page lists those that are")
    facts: dict[str, Any] = folder.read_json(layout.ingest.LABEL_DOUBT)
    return facts


def accept(day: date, md5: str, reason: str, requested_by: str, services: Services) -> None:
    """Remember that a person let in labels with this very content."""
    facts = {"md5": md5, "reason": reason, "requested_by": requested_by}
    services.storage_folder(layout.ingest.ACCEPTED_LABELS).write_json(layout.days.day_json(day), facts)


def is_accepted(day: date, md5: str, services: Services) -> bool:
    """Return whether a person let in labels with this very content."""
    try:
        return bool(
            services.storage_folder(layout.ingest.ACCEPTED_LABELS).read_json(layout.days.day_json(day))["md5"] == md5
        )
    except MissingArtifact:
        return False


def _later(day: date, others: Mapping[date, LabelDay], services: Services) -> list[LabelDay]:
    """Return the days after a day whose labels have come, those in doubt too, oldest first."""
    later = {other: today for other, today in others.items() if other > day}
    for number in range(1, services.settings.labels.recent_days + 1):
        other = day + timedelta(days=number)
        folder = services.storage_folder(layout.ingest.quarantine("labels", other))
        if number > services.settings.land.catch_up_days + 1:
            break
        if other not in later and folder.has(layout.ingest.LABEL_DOUBT):
            later[other] = LabelDay.model_validate(folder.read_json(layout.ingest.LABEL_DOUBT)["labels"])
    return [later[other] for other in sorted(later)]


def _result(result: AssetScreening, verdict: LabelVerdict) -> dict[str, Any]:
    return {
        "rows": result.rows,
        "accepted_rows": 0,
        "quarantined_rows": result.rows,
        "reason": f"in doubt: {'; '.join(verdict.reasons)}",
    }
