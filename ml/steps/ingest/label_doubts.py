"""Judge a day's labels before they enter the data registry, and keep those in doubt where a person can let them in.

The sums of earlier days are kept beside the registry, each under the content that it is of, so that a day reads its
own labels and predictions only. What was predicted is read from the published files; nobody else is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from ml.adapters import layout
from ml.adapters.rows import sampled, sampling_share
from ml.core.data.keys import merge_exactly
from ml.core.data.label_days import content_of, label_day
from ml.core.data.label_doubt import judge, judge_history, recent
from ml.core.data.targets import coded
from ml.core.predictions import gathered, names
from ml.errors import DataRejected, MissingArtifact
from ml.next_moves import rerun
from ml.records import AssetScreening, DayFile, LabelDay, LabelVerdict
from ml.settings import Settings
from ml.steps.ingest import deliveries
from ml.steps.ingest.deliveries import md5_of
from ml.wiring import Services

logger = logging.getLogger(__name__)
SUMMED = 2
"""Which sums of a day these are: those of another kind are computed anew."""
Sums = dict[date, tuple[str, LabelDay]]
"""By day, of what they are (the md5, the version whose predictions they stand beside, the task), and the sums."""


def judge_day(day: date, accepted: Path, services: Services) -> tuple[LabelDay | None, LabelVerdict]:
    """Judge the labels of a day that their contract lets in.

    Those that the registry holds already, and those that a person accepted with this very content, are plausible. The
    sums of the day are None where nothing had to be summed up for that.
    """
    settings = services.settings
    if not settings.labels.judge:
        return None, LabelVerdict(status="unjudged")
    held, md5 = services.registry.days("labels"), md5_of(accepted)
    if (day in held and held[day].md5 == md5) or is_accepted(day, md5, services):
        return None, LabelVerdict(status="plausible")
    today = sum_up(day, accepted, _version(day, services), services)
    others = _other_days(day, held, services)
    later = [other for other in _later(day, others, services) if len(other.level) == len(today.level)]
    verdict = judge(today, recent(day, others, settings.labels), later, labels=settings.labels, task=settings.task)
    logger.info("label_doubts: labels of %s are %s: %s", day, verdict.status, "; ".join(verdict.reasons) or "-")
    return today, verdict


def judge_seeded(sums: Mapping[date, LabelDay], services: Services) -> dict[date, LabelVerdict]:
    """Judge the labels of many past days at once by their own past alone: of most nothing was predicted."""
    return judge_history(sums, labels=services.settings.labels, task=services.settings.task)


def sum_up(day: date, labels: Path, version: int | None, services: Services) -> LabelDay:
    """Sum up a day's labels, beside what a version predicted of the day; of very many rows the same share of keys."""
    settings = services.settings
    task, key = settings.task, list(settings.task.key)
    share = sampling_share([labels], settings.performance.max_rows)
    rows = sampled(labels, [*key, task.target], key=key, share=share)
    predicted = None
    if version is not None:
        with services.storage_folder(layout.scoring.predictions(day)).local(
            layout.scoring.version_table(version)
        ) as path:
            table = sampled(path, list(dict.fromkeys([*key, *names(task)])), key=key, share=share)
        rows = merge_exactly(rows, gathered(table, task), key, how="left")
        predicted = rows["prediction"].to_numpy()
    target = coded(rows[task.target], task.positive, task.classes)
    numbers = pd.Series(target).to_numpy(dtype=float)
    content = content_of(rows[[name for name in key if name != "day"]], numbers)
    return label_day(day, numbers, predicted, task, content=content)


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


# --- the sums of other days --------------------------------------------------------------------------


def _other_days(day: date, held: Mapping[date, DayFile], services: Services) -> dict[date, LabelDay]:
    """Return the sums of the registry's days around a day, computed where they are not kept or not of this content.

    A day whose labels the task cannot read any more (a class that was retired) is compared with no other day.
    """
    labels, stored = services.settings.labels, _read_sums(services)
    first, last = day - timedelta(days=labels.recent_days), day + timedelta(days=labels.recent_days)
    wanted = [other for other in held if first <= other <= last and other != day]
    task = services.settings.task
    read_as = f"{SUMMED} {task.kind} {task.target} {task.positive} {list(task.classes)}"
    sums: Sums = {}
    for other in wanted:
        version = _version(other, services)
        identity = f"{held[other].md5} {version} {read_as}"
        if other in stored and stored[other][0] == identity:
            sums[other] = stored[other]
            continue
        path = services.registry.open_content("labels", other, held[other].md5)
        try:
            sums[other] = identity, sum_up(other, path, version, services)
        except DataRejected as err:
            logger.warning("label_doubts: %s is compared with no day: %s", other, err)
    if sums != {other: entry for other, entry in stored.items() if other in sums} or len(sums) < len(stored):
        oldest = max(held, default=day) - timedelta(days=2 * labels.recent_days)
        _write_sums({other: entry for other, entry in {**stored, **sums}.items() if other >= oldest}, services)
    return {other: today for other, (_, today) in sums.items()}


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


def _version(day: date, services: Services) -> int | None:
    """Return the newest version whose predictions of a day are published; None if nothing was predicted."""
    names = services.storage_folder(layout.scoring.predictions(day)).names()
    return max(layout.scoring.published_versions(names), default=None)


def _read_sums(services: Services) -> Sums:
    try:
        facts = services.storage_folder(layout.ingest.LABEL_SUMS).read_json(layout.ingest.SUMS)
        return {
            date.fromisoformat(day): (identity, LabelDay.model_validate(today))
            for day, (identity, today) in facts.items()
        }
    except MissingArtifact:
        return {}
    except (ValidationError, ValueError, TypeError, AttributeError) as err:
        logger.warning("label_doubts: the kept sums cannot be read, they are computed anew: %s", err)
        return {}


def _write_sums(sums: Sums, services: Services) -> None:
    """Keep sums for the next day; of two who write at once one is forgotten, and computed again."""
    facts = {str(day): [identity, today.model_dump(mode="json")] for day, (identity, today) in sorted(sums.items())}
    services.storage_folder(layout.ingest.LABEL_SUMS).write_json(layout.ingest.SUMS, facts)


def _result(result: AssetScreening, verdict: LabelVerdict) -> dict[str, Any]:
    return {
        "rows": result.rows,
        "accepted_rows": 0,
        "quarantined_rows": result.rows,
        "reason": f"in doubt: {'; '.join(verdict.reasons)}",
    }
