"""Name the predictions of a day, staged and published, of the version that serves and of those in shadow."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ml.adapters.layout.days import Day


def staging(day: Day, version: int | None) -> str:
    """Return the folder with the scored shards of a day, before they are published."""
    return f"staging/day={day}/version={version}"


def staged_shard(first: int, end: int, sha256: str) -> str:
    """Return the file of a shard, inside `staging`: the names sort in row order."""
    return f"rows={first:012d}-{end:012d}-{sha256[:16]}.parquet"


def predictions(day: Day) -> str:
    """Return the folder with the published predictions of a day."""
    return f"predictions/day={day}"


def shadow(day: Day) -> str:
    """Return the folder with what versions that do not serve predicted for a day."""
    return f"shadow/day={day}"


def version_table(version: int | None) -> str:
    """Return the predictions of a version, inside `predictions` and `shadow`."""
    return f"version={version}.parquet"


def version_facts(version: int | None) -> str:
    """Return how the predictions of a version were made, inside `predictions` and `shadow`."""
    return f"version={version}.json"


def version_report(version: int | None) -> str:
    """Return the validation report of a version's predictions, inside their `ingest.validation`."""
    return f"version={version}.html"


VERSION_FACTS = re.compile(r"version=(\d+)\.json")


def published_versions(names: Iterable[str]) -> list[int]:
    """Return the versions whose predictions a day's folder of predictions holds as published, by its names."""
    return sorted(int(match[1]) for name in names if (match := VERSION_FACTS.fullmatch(name)))
