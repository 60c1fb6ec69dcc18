"""What determines a training result, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import date
from typing import Any

from ml.records import DayFile
from ml.settings import Settings

DETERMINING_SECTIONS = ("task", "split", "features", "fit")
"""The parts of ``params.yaml`` that change a fitted model. ``pull`` counts by the days that it chose."""


def fingerprint(
    files: Iterable[DayFile], settings: Settings, *, first_day: date, code_sha256: str, lock_sha256: str
) -> str:
    """Hash everything that determines a training result (SHA-256, 64 hex digits).

    The window counts by its content, not by its settings: asking for the same days in another way
    gives the same fingerprint. The order of ``files`` does not matter.

    Parameters
    ----------
    first_day
        The day from which it trains. Files before it are read by the history features only: the same
        files with another first day are another training.
    """
    sections = settings.model_dump(mode="json", include=set(DETERMINING_SECTIONS))
    facts: dict[str, Any] = {
        "data": sorted([file.asset, file.day.isoformat(), file.md5] for file in files),
        "first_day": first_day.isoformat(),
        "settings": sections,
        "code": code_sha256,
        "lock": lock_sha256,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
