"""Write a point-in-time dataset for other processes, and load it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd

from ml.adapters.workspace import Workspace
from ml.backtest.dataset import PointInTimeDataset


def save(dataset: PointInTimeDataset, cache_dir: Workspace) -> None:
    """Write a dataset for other processes, each day with the types that it has; what it is comes last."""
    for asset, tables in (("inputs", dataset.inputs), ("labels", dataset.labels)):
        for day, table in tables.items():
            cache_dir.write_table(f"{asset}/{day}.parquet", table)
    facts: dict[str, Any] = {
        "arrived": {str(day): str(came) for day, came in dataset.arrived.items()},
        "rejected": {str(day): reason for day, reason in dataset.rejected.items()},
        "kept_out": {
            asset: {str(of): str(day) for of, day in days.items()} for asset, days in dataset.kept_out.items()
        },
        "quarantined": {str(day): count for day, count in dataset.quarantined.items()},
        "digests": [[asset, str(day), digest] for (asset, day), digest in dataset.digests.items()],
        "key": list(dataset.key),
        "target": dataset.target,
        "delay": dataset.delay,
        "classes": list(dataset.classes),
        "excluded": sorted(map(str, dataset.excluded)),
    }
    cache_dir.write_json("world.json", facts)


def load(cache_dir: Workspace) -> PointInTimeDataset:
    """Load a dataset."""
    facts = cache_dir.read_json("world.json")
    digests = {(asset, date.fromisoformat(day)): digest for asset, day, digest in facts["digests"]}
    tables: dict[str, dict[date, pd.DataFrame]] = {"inputs": {}, "labels": {}}
    for asset, day in digests:
        tables[asset][day] = cache_dir.read_table(f"{asset}/{day}.parquet")
    return PointInTimeDataset(
        inputs=tables["inputs"],
        labels=tables["labels"],
        arrived=_days(facts["arrived"]),
        rejected={date.fromisoformat(day): reason for day, reason in facts["rejected"].items()},
        digests=digests,
        quarantined={date.fromisoformat(day): count for day, count in facts["quarantined"].items()},
        kept_out={"inputs": _days(facts["kept_out"]["inputs"]), "labels": _days(facts["kept_out"]["labels"])},
        key=tuple(facts["key"]),
        target=facts["target"],
        delay=facts["delay"],
        classes=tuple(facts.get("classes", ())),
        excluded=frozenset(map(date.fromisoformat, facts.get("excluded", ()))),
    )


def _days(facts: Mapping[str, str]) -> dict[date, date]:
    return {date.fromisoformat(day): date.fromisoformat(other) for day, other in facts.items()}
