"""A folder that the steps of one run share: local under ``dvc repro``, in storage under Airflow.

Tables are Parquet, facts are JSON; both are written whole or not at all, and the same content
gives the same bytes.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.adapters.storage import Objects
from ml.adapters.table_parts import write_parts


@dataclass(frozen=True)
class Workspace:
    """Names below ``prefix`` of a store of objects."""

    objects: Objects
    prefix: str = ""

    def name(self, name: str) -> str:
        """Return the name in the store."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def uri(self, name: str = "") -> str:
        """Return where a name is."""
        return self.objects.uri(self.name(name).rstrip("/")) if name or self.prefix else self.objects.root

    def has(self, name: str) -> bool:
        """Return whether it was written."""
        return self.objects.exists(self.name(name))

    def names(self, prefix: str = "") -> list[str]:
        """List the names below ``prefix``, sorted, relative to this workspace."""
        names = self.objects.list(self.name(prefix))
        return [name.removeprefix(f"{self.prefix}/") for name in names] if self.prefix else names

    def write_table(self, name: str, frame: pd.DataFrame) -> str:
        """Write a table and return its URI."""
        return self.objects.put_bytes(self.name(name), table_bytes(frame))

    def write_parts(self, name: str, parts: Iterable[pd.DataFrame]) -> int:
        """Write a table that comes in parts, in bounded memory, and return its number of rows.

        Nothing is written if ``parts`` raise.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            rows = write_parts(parts, path)
            self.objects.put_file(self.name(name), path)
        return rows

    def read_table(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Read a table; raises MissingArtifact if it is not there."""
        return pd.read_parquet(io.BytesIO(self.objects.get_bytes(self.name(name))), columns=columns)

    def write_json(self, name: str, facts: Any) -> str:
        """Write facts, keys sorted, and return the URI."""
        return self.write_text(name, json.dumps(facts, indent=2, sort_keys=True) + "\n")

    def read_json(self, name: str) -> Any:
        """Read facts; raises MissingArtifact if they are not there."""
        return json.loads(self.objects.get_bytes(self.name(name)))

    def write_text(self, name: str, text: str) -> str:
        """Write text as UTF-8 and return the URI."""
        return self.objects.put_bytes(self.name(name), text.encode())

    def write_file(self, name: str, path: Path) -> str:
        """Copy a local file here and return its URI."""
        return self.objects.put_file(self.name(name), path)

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Yield a local copy of a file, for as long as the context lasts."""
        with tempfile.TemporaryDirectory() as folder:
            yield self.objects.get_file(self.name(name), Path(folder) / Path(name).name)


def table_bytes(frame: pd.DataFrame) -> bytes:
    """Write a frame as Parquet: equal frames give equal bytes."""
    buffer = io.BytesIO()
    write_parquet(frame, buffer)
    return buffer.getvalue()


def write_parquet(frame: pd.DataFrame, target: Path | io.BytesIO) -> None:
    """Write a frame as Parquet without what varies or misleads (index, pandas' own metadata)."""
    write_table(pa.Table.from_pandas(frame, preserve_index=False), target)


def write_table(table: pa.Table, target: Path | io.BytesIO) -> None:
    """Write a table of Arrow as `write_parquet` writes a frame."""
    pq.write_table(table.replace_schema_metadata(None), target, compression="zstd")
