"""Read of a part of the request log how many rows and requests it has, who answered, and how long it took."""

from __future__ import annotations

import io
import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.adapters import layout
from ml.adapters.rows import in_sample
from ml.adapters.storage import Objects
from ml.errors import MissingArtifact

logger = logging.getLogger(__name__)

TIME, VERSION = "requested_at", "model_version"
ARM, SHADOW_VERSION, SHADOW = "arm", "shadow_version", "shadow_"
"""Who was to answer a row while a challenger answers some; which version was asked beside, and what begins the names of
the columns with its prediction.
"""
ANSWER = ("request", TIME, VERSION, ARM, SHADOW_VERSION)
"""What is read of an answer, beside its key and prediction."""
COLUMNS = ("request", "model_version", "requested_at", "seconds")


@dataclass(frozen=True)
class PartSummary:
    """What a part of the request log holds.

    Attributes
    ----------
    rows_by_version
        How many rows each version answered.
    seconds
        Of each request that says so (releases before did not), how long its rows took to be predicted.
    last_at
        When the newest row was answered.
    """

    requests: frozenset[str]
    rows_by_version: dict[int, int]
    seconds: tuple[float, ...]
    last_at: datetime


def summarise(content: bytes) -> PartSummary:
    """Summarise a part; ValueError if it cannot be read as one."""
    try:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            held = set(file.schema_arrow.names)
            table = file.read(columns=[name for name in COLUMNS if name in held])
        requests = table["request"].to_pylist()
        seconds = table["seconds"].to_pylist() if "seconds" in held else [None] * len(requests)
        last_at = max(table["requested_at"].to_pylist())
        versions = Counter(table["model_version"].to_pylist())
    except (pa.ArrowException, KeyError, OSError) as err:
        raise ValueError(f"no part of a request log: {err}") from err
    taken = {request: value for request, value in zip(requests, seconds, strict=True) if value is not None}
    return PartSummary(frozenset(requests), dict(versions), tuple(taken.values()), last_at.astimezone(UTC))


def write_rows(parts: Iterable[bytes], key: Sequence[str], columns: Collection[str], target: Path) -> None:
    """Write the rows of parts into one Parquet file: of each key the newest, and only some columns.

    Parameters
    ----------
    columns
        Which columns are kept; one that no part has is left out. `VERSION` is always kept.
    """
    wanted = {*columns, *key, TIME, VERSION}
    tables = []
    for content in parts:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            tables.append(file.read(columns=[name for name in file.schema_arrow.names if name in wanted]))
    table = pa.concat_tables(tables, promote_options="permissive")
    order = table.select([*key, TIME]).to_pandas().sort_values(TIME, kind="stable")
    newest = order.drop_duplicates(list(key), keep="last").index
    pq.write_table(table.take(pa.array(sorted(newest))).drop_columns([TIME]), target)


def answers(parts: Iterable[bytes], key: Sequence[str], predictions: Sequence[str], *, share: float) -> pd.DataFrame:
    """Read the answers of parts, of a share of all keys, one part in memory beside what is kept.

    Parameters
    ----------
    predictions
        The columns that hold a prediction.

    Returns
    -------
    DataFrame of shape (n_answers, n_columns)
        The key, ``predictions``, what was predicted in shadow, and `ANSWER`; what a part lacks is null.
    """
    columns = list(dict.fromkeys([*key, *predictions, *(f"{SHADOW}{name}" for name in predictions), *ANSWER]))
    tables = []
    for content in parts:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            held = file.read(columns=[name for name in file.schema_arrow.names if name in columns])
        tables.append(in_sample(held, key, share))
    frame: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return frame.reindex(columns=columns)


def refused_requests(storage: Objects) -> dict[str, dict[int, int]]:
    """Read how many requests were refused, by day and HTTP status; what is damaged counts for nothing."""
    counts: dict[str, Counter[int]] = {}
    for name in storage.list(layout.serving.REFUSED):
        day = name.removeprefix(layout.serving.REFUSED).partition("/")[0].removeprefix("day=")
        try:
            held = json.loads(storage.get_bytes(name))
            counts.setdefault(day, Counter()).update({int(status): count for status, count in held.items()})
        except (MissingArtifact, ValueError, AttributeError, TypeError) as err:
            logger.warning("%s cannot be read: %s", storage.uri(name), err)
    return {day: dict(of) for day, of in counts.items()}
