"""Read from the data registry which labels a day could see when it was scored, and what they were then."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from ml.adapters.data_registry import DataRegistry
from ml.core.data.arrivals import contents_of, not_as_present
from ml.errors import MissingArtifact
from ml.records import Content, DayFile
from ml.settings import Settings

log = logging.getLogger(__name__)


def seen_by(
    first_day: date, last_day: date, labels: Sequence[DayFile], settings: Settings, registry: DataRegistry, *, rev: str
) -> tuple[Content, ...]:
    """List the contents of labels that not every day from ``first_day`` to ``last_day`` saw as they are now.

    Parameters
    ----------
    labels
        The label days that may be looked back on, as version ``rev`` holds them.
    own
        The settings of the model that is asked: its features reach back as far as they do.
    """
    if not settings.features.looking_back or not labels:
        return ()
    delay = settings.task.label_delay_days
    present = {file.day: file.md5 for file in labels}
    arrivals = registry.arrivals(min(present), max(present), rev=rev)
    contents = contents_of(present, arrivals, label_delay_days=delay)
    return not_as_present(
        contents,
        present,
        settings.features.looking_back,
        label_delay_days=delay,
        first_day=first_day,
        last_day=last_day,
    )


def open_earlier(
    contents: Sequence[Content], labels: Sequence[DayFile], registry: DataRegistry
) -> dict[str, tuple[date, Path]]:
    """Return local files of the contents that were corrected since, by md5; their present days are left out.

    Of one that the remote holds no more the present content stands in: that is logged, and training goes on.
    """
    present = {file.md5 for file in labels}
    files: dict[str, tuple[date, Path]] = {}
    for content in contents:
        if not content.md5 or content.md5 in present:
            continue
        try:
            files[content.md5] = content.day, registry.open_content("labels", content.day, content.md5)
        except MissingArtifact as err:
            log.warning("history features of days before %s see corrected labels: %s", content.until, err)
    return files
