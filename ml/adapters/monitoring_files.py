"""Write and read what is kept with a version for monitoring: reference, limits, profiles and honest predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ml.adapters.workspace import write_parquet
from ml.core.monitoring import drift
from ml.core.monitoring.day_columns import ColumnProfile
from ml.core.monitoring.drift_report import Reference
from ml.records import Record


def write(folder: Path, reference: Reference) -> None:
    """Write a reference into a folder of its own."""
    write_parquet(reference.sample, folder / "reference.parquet")
    if reference.predictions is not None:
        write_parquet(reference.predictions, folder / "predictions.parquet")
    _write_records(folder / "limits.json", reference.limits, indent=2)
    _write_records(folder / "profiles.json", reference.profiles)


def _write_records(path: Path, records: Mapping[str, Record], *, indent: int | None = None) -> None:
    facts = {column: record.model_dump(mode="json") for column, record in records.items()}
    path.write_text(json.dumps(facts, indent=indent, sort_keys=True) + "\n", encoding="utf-8")


def read(folder: Path) -> Reference:
    """Read what `write` wrote."""
    path = folder / "predictions.parquet"
    return Reference(
        sample=pd.read_parquet(folder / "reference.parquet"),
        limits=drift.read_limits(_read_facts(folder / "limits.json")),
        profiles={
            name: ColumnProfile.model_validate(facts) for name, facts in _read_facts(folder / "profiles.json").items()
        },
        predictions=pd.read_parquet(path) if path.exists() else None,
    )


def _read_facts(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
