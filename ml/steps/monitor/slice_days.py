"""Measure the slices of the labelled days that were served, and keep what each day gave under the content it is of.

What is kept saves time only: it follows from predictions, inputs and labels, and is measured again where it is lost
or of other content.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from ml.adapters import layout
from ml.adapters.rows import sampled, sampling_share
from ml.core.data.keys import merge_exactly
from ml.core.monitoring import performance, slice_findings
from ml.core.monitoring.slice_figures import Kept, figures_of, kept_days
from ml.core.predictions import gathered, names
from ml.core.training.features import join_labels
from ml.errors import DataRejected, MissingArtifact
from ml.records import Champion
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def scores_by_day(
    champion: Champion, versions: Mapping[date, int], *, settings: Settings, services: Services
) -> dict[date, dict[str, float]]:
    """Measure the slices of every day that counts, or take them from what is kept.

    Parameters
    ----------
    versions
        Which version served each day, from `first_day` on.

    Returns
    -------
    dict
        By day with labels and served predictions; empty where neither slices nor shifts are watched.
    """
    if not slice_findings.are_measured(settings):
        return {}
    first, last = first_day(champion.day, settings), performance.days_of(champion.day, settings)[2]
    served = {day: version for day, version in versions.items() if first <= day <= last}
    contents, stored = _contents(champion, served, settings, services), _read(services)
    scores = {day: stored[day] for day, content in contents.items() if day in stored and stored[day][0] == content}
    missing = sorted(contents.keys() - scores.keys())
    if missing:
        files = [
            services.registry.open(asset, rev=champion.data_version, first_day=missing[0], last_day=missing[-1])
            for asset in ("inputs", "labels")
        ]
        for day in missing:
            paths = files[0][day], files[1][day]
            scores[day] = contents[day], *_measured(day, versions[day], *paths, settings, services)
        _write({day: entry for day, entry in {**stored, **scores}.items() if day >= first - (last - first)}, services)
    return {day: streams for day, (_, streams, _) in sorted(scores.items())}


def first_day(day: date, settings: Settings) -> date:
    """Return the oldest labelled day that counts on a day."""
    return performance.days_of(day, settings)[2] - timedelta(days=settings.land.calendar_days(slice_findings.DAYS) - 1)


def _contents(
    champion: Champion, versions: Mapping[date, int], settings: Settings, services: Services
) -> dict[date, str]:
    """Name what each labelled and served day is measured of."""
    inputs, labels = (services.registry.days(asset, champion.data_version) for asset in ("inputs", "labels"))
    task, declared = settings.task, settings.performance
    limits = [declared.max_rows, declared.window_days, slice_findings.MEASURE]
    how = json.dumps([task.kind, task.target, task.positive, slice_findings.terms(settings), limits])
    contents = {}
    for day, version in versions.items():
        if day not in inputs or day not in labels:
            continue
        try:
            facts = services.storage_folder(layout.scoring.predictions(day)).read_json(
                layout.scoring.version_facts(version)
            )
        except MissingArtifact:
            continue
        contents[day] = f"{inputs[day].md5} {labels[day].md5} {version} {facts['sha256']} {how}"
    return contents


def _measured(
    day: date, version: int, inputs: Path, labels: Path, settings: Settings, services: Services
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Join the rows of a day, of very many the same share of keys, and measure their slices."""
    task, key = settings.task, list(settings.task.key)
    share = sampling_share([labels], settings.performance.max_rows // settings.performance.window_days)
    with services.storage_folder(layout.scoring.predictions(day)).local(layout.scoring.version_table(version)) as path:
        predicted = gathered(sampled(path, list(dict.fromkeys([*key, *names(task)])), key=key, share=share), task)
    outcome = sampled(labels, [*key, task.target], key=key, share=share)
    wanted = [name for name in slice_findings.columns(settings) if name not in predicted]
    try:
        rows = join_labels(predicted, outcome, key=key, target=task.target, positive=task.positive)
        beside = sampled(inputs, [*key, *wanted], key=key, share=share)
        rows = merge_exactly(rows, beside, key, how="inner", validate="one_to_one")
    except DataRejected as err:
        logger.warning("measure_performance: the slices of %s are not measured: %s", day, err)
        return {}, {}
    rows = rows.assign(target=pd.to_numeric(rows[task.target]))
    return slice_findings.scores_of(rows, settings), figures_of(rows, settings)


def _read(services: Services) -> Kept:
    try:
        return kept_days(services.storage_folder(layout.monitoring.SLICE_SCORES).read_json(layout.ingest.SUMS))
    except MissingArtifact:
        return {}
    except (ValueError, TypeError, AttributeError) as err:
        logger.warning("measure_performance: the kept slices cannot be read, they are measured anew: %s", err)
        return {}


def _write(scores: Kept, services: Services) -> None:
    """Keep what was measured; of two who write at once one is forgotten, and measured again."""
    facts = {str(day): list(entry) for day, entry in sorted(scores.items())}
    services.storage_folder(layout.monitoring.SLICE_SCORES).write_json(layout.ingest.SUMS, facts)
