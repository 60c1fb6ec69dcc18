"""Sum up each day's labels for `ml.steps.ingest.label_doubts`, and keep the sums of earlier days beside the registry.

Each is kept under the content that it is of, so that a day reads its own rows only. What was predicted is read from the
published files; nobody else is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from ml.adapters import layout
from ml.adapters.rows import sampled, sampling_share
from ml.core.data.keys import merge_exactly
from ml.core.data.label_days import content_of, label_day
from ml.core.data.label_parts import label_parts
from ml.core.data.targets import coded
from ml.core.monitoring import slice_findings
from ml.core.predictions import gathered, names
from ml.errors import DataRejected, MissingArtifact
from ml.records import DayFile, LabelDay
from ml.wiring import Services

logger = logging.getLogger(__name__)
SUMMED = 3
"""Which sums of a day these are: those of another kind are computed anew."""
Sums = dict[date, tuple[str, LabelDay]]
"""By day, of what they are (the md5s, the version whose predictions they stand beside, the task), and the sums."""


def sum_up(day: date, labels: Path, inputs: Path | None, version: int | None, services: Services) -> LabelDay:
    """Sum up a day's labels, beside what a version predicted of the day; of very many rows the same share of keys.

    Without the inputs of the day its parts are not summed up.
    """
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
    parts = {}
    if inputs is not None and (terms := slice_findings.terms(settings)):
        wanted = [name for name in slice_findings.columns(settings) if name not in rows]
        rows = merge_exactly(rows, sampled(inputs, [*key, *wanted], key=key, share=share), key, how="left")
        parts = label_parts(rows, terms, numbers, predicted, task)
    return label_day(day, numbers, predicted, task, content=content, parts=parts)


def around(day: date, held: Mapping[date, DayFile], services: Services) -> dict[date, LabelDay]:
    """Return the sums of the registry's days around a day, computed where they are not kept or not of this content.

    A day whose labels the task cannot read any more (a class that was retired) is compared with no other day.
    """
    recent_days, stored = services.settings.labels.recent_days, _read(services)
    first, last = day - timedelta(days=recent_days), day + timedelta(days=recent_days)
    inputs = _inputs(services)
    sums: Sums = {}
    for other in (other for other in held if first <= other <= last and other != day):
        version, beside = version_of(other, services), inputs.get(other)
        identity = _identity(held[other], beside, version, services)
        if other in stored and stored[other][0] == identity:
            sums[other] = stored[other]
            continue
        labels = services.registry.open_content("labels", other, held[other].md5)
        rows = _open_inputs(other, beside, services)
        if rows is None:
            identity = _identity(held[other], None, version, services)
        try:
            sums[other] = identity, sum_up(other, labels, rows, version, services)
        except DataRejected as err:
            logger.warning("label_sums: %s is compared with no day: %s", other, err)
    if sums != {other: entry for other, entry in stored.items() if other in sums} or len(sums) < len(stored):
        _write({**stored, **sums}, max(held, default=day), services)
    return {other: today for other, (_, today) in sums.items()}


def _open_inputs(day: date, file: DayFile | None, services: Services) -> Path | None:
    """Open the inputs of a day of the past; None if they are lost: its labels are compared without its parts."""
    if file is None:
        return None
    try:
        return services.registry.open_content("inputs", day, file.md5)
    except MissingArtifact as err:
        logger.warning("label_sums: the parts of %s are not compared: %s", day, err)
        return None


def keep_seeded(sums: Mapping[date, LabelDay], services: Services) -> None:
    """Keep the sums of days that were landed together, so that the first day after them need not read them again."""
    held, inputs = services.registry.days("labels"), _inputs(services)
    oldest = _oldest(max(held, default=date.min), services)
    seeded = {
        day: (_identity(held[day], inputs.get(day), None, services), today)
        for day, today in sums.items()
        if day in held and day >= oldest and version_of(day, services) is None
    }
    if seeded:
        _write({**_read(services), **seeded}, max(held), services)


def _inputs(services: Services) -> Mapping[date, DayFile]:
    """Return the inputs that labels are summed up beside; none where no slice cuts a day into parts."""
    return services.registry.days("inputs") if slice_findings.terms(services.settings) else {}


def _identity(labels: DayFile, inputs: DayFile | None, version: int | None, services: Services) -> str:
    """Name what the sums of a day are of."""
    task, terms = services.settings.task, slice_findings.terms(services.settings)
    read_as = f"{task.kind} {task.target} {task.positive} {list(task.classes)} {list(terms)}"
    return f"{labels.md5} {inputs.md5 if inputs else None} {version} {SUMMED} {read_as}"


def version_of(day: date, services: Services) -> int | None:
    """Return the newest version whose predictions of a day are published; None if nothing was predicted."""
    names = services.storage_folder(layout.scoring.predictions(day)).names()
    return max(layout.scoring.published_versions(names), default=None)


def _read(services: Services) -> Sums:
    try:
        facts = services.storage_folder(layout.ingest.LABEL_SUMS).read_json(layout.ingest.SUMS)
        return {
            date.fromisoformat(day): (identity, LabelDay.model_validate(today))
            for day, (identity, today) in facts.items()
        }
    except MissingArtifact:
        return {}
    except (ValidationError, ValueError, TypeError, AttributeError) as err:
        logger.warning("label_sums: the kept sums cannot be read, they are computed anew: %s", err)
        return {}


def _oldest(newest: date, services: Services) -> date:
    """Return the first day whose sums are kept."""
    return newest - timedelta(days=2 * services.settings.labels.recent_days)


def _write(sums: Sums, newest: date, services: Services) -> None:
    """Keep the sums of recent days; of two who write at once one is forgotten, and computed again."""
    oldest = _oldest(newest, services)
    recent = {day: entry for day, entry in sums.items() if day >= oldest}
    facts = {str(day): [identity, today.model_dump(mode="json")] for day, (identity, today) in sorted(recent.items())}
    services.storage_folder(layout.ingest.LABEL_SUMS).write_json(layout.ingest.SUMS, facts)
