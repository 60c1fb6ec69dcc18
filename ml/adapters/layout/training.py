"""Name what trainings write, and what the page serves of their runs."""

from __future__ import annotations

import hashlib

from ml.adapters.layout.days import Day


def run_dir(fingerprint: str, *, forced_by: str | None = None) -> str:
    """Return the folder of a training; one that request ``forced_by`` forced has its own, the same at each retry."""
    suffix = "" if forced_by is None else f"-forced-{hashlib.sha256(forced_by.encode()).hexdigest()[:12]}"
    return f"runs/{fingerprint}{suffix}"


AGGREGATES = "history"
"""Folder with the aggregates of labelled days from which lagged target means are computed."""


def aggregate(day: Day, digest: str) -> str:
    """Return the file with the aggregates of a day, inside `AGGREGATES`; ``digest`` is of all they follow from."""
    return f"day={day}/{digest[:32]}.parquet"


def past_refreshes() -> str:
    """Return the folder with what refreshes gained in the past of a recipe, each named by what determines it."""
    return "refreshes"


def artifact(version: int, name: str) -> str:
    """Return the name under which the page serves a file that MLflow keeps with a version's run."""
    return f"version={version}/{name}"
