"""A day of an asset as the source has it: fetched into a file, and held to its types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from ml.adapters.column_types import conform, suite_types
from ml.adapters.sources import LargeSource, Source, TypedSource
from ml.adapters.workspace import write_parquet
from ml.core.data.schema import Types, csv_types
from ml.errors import DataRejected
from ml.records import Asset
from ml.steps.ingest.expected_types import expected_of, learned_types
from ml.wiring import Services


def fetch(
    asset: Asset,
    day: date,
    path: Path,
    services: Services,
    *,
    learned: Mapping[Asset, Types] | None = None,
    strict: bool = True,
    source: Source | None = None,
) -> None:
    """Write what the source has of a day to a Parquet file, in parts if both are large; raises as `Source` does.

    CSV is read by the asset's types, and every table is held to them; see `ml.core.data.schema`.

    Parameters
    ----------
    learned
        The types that were learned, by asset; None reads them from the data registry, if it is there.
    strict
        Whether a column of another kind of type than it was raises DataRejected, which names both; else it is left as
        it is, for screening to reject.
    source
        None means the one that ``params.yaml`` names.
    """
    settings = services.settings
    learned = learned_types(services) if learned is None else learned
    source = source or services.source
    if isinstance(source, TypedSource):
        suite = suite_types(services.environment.expectations, asset)
        source = source.with_types({asset: csv_types(settings, asset, learned, suite)})
    if isinstance(source, LargeSource):
        source.write(asset, day, path, rows_at_once=settings.screen.rows_at_once)
    else:
        write_parquet(source.inputs(day) if asset == "inputs" else source.labels(day), path)
    clashes = conform(path, asset, expected_of(settings, asset, learned))
    if clashes and strict:
        message = "; ".join(failure.message for failure in clashes)
        raise DataRejected(f"{asset} of {day}: {message}", failures=tuple(failure.as_dict() for failure in clashes))
