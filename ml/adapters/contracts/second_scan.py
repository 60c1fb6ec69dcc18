"""Find the rows of a large day that do not meet what its first scan left open, some rows after the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.adapters import partitions, rows
from ml.adapters.contracts import Contracts
from ml.adapters.contracts.first_scan import numbers_with_nulls
from ml.adapters.contracts.judge import KeyMatch, judge, renumber, with_typed_nulls
from ml.adapters.contracts.outcomes import Outcome, merge_failures, without_positions
from ml.adapters.contracts.repeated_keys import RepeatedKeys
from ml.adapters.contracts.suite import Entry
from ml.adapters.engine import Engine, FileRows, Part, cut
from ml.core.data.contracts import Failure, reasons_of
from ml.core.data.row_checks import whole_keys
from ml.core.scoring.shards import Rows


@dataclass
class Findings:
    """What is known after some rows; ``outcomes`` by the number of the expectation, ``is_bad`` by row."""

    outcomes: dict[int, list[Outcome]]
    is_bad: np.ndarray
    obstacles: list[Failure] = field(default_factory=list)

    def add(self, outcomes: Sequence[Outcome], obstacles: Sequence[Failure]) -> None:
        """Add what was said of some rows, without their positions, which are of no other part."""
        self.obstacles += obstacles
        for outcome in outcomes:
            self.outcomes[outcome.entry.number].append(without_positions(outcome))


_Problems = tuple[list[Failure], list[Failure]]
"""What kept expectations from being asked of some rows, and what makes rows unusable."""
_Judged = tuple[np.ndarray, pa.Table, list[Outcome], list[Failure], list[Failure]]
"""The numbers of the bad rows, these rows with their reasons, the outcomes, and the two lists of `_Problems`."""


@dataclass(frozen=True)
class SecondScan:
    """Finds the rows that do not meet what the first scan left open, some rows after the others, in their order."""

    contracts: Contracts
    asset: str
    by_parts: Sequence[Entry]
    left: Sequence[Entry]
    key: Sequence[str]
    parameters: Mapping[str, object]
    match: KeyMatch | None
    repeated: RepeatedKeys | None

    def run(self, path: Path, size: int, findings: Findings, quarantined_path: Path, engine: Engine) -> list[Failure]:
        """Write the bad rows with their reasons, and return what makes rows or the table unusable."""
        schema, unusable = rows.types_of(path), list[Failure]()
        reasons = pa.field(partitions.free_name("reasons", schema.names), pa.string())
        ranges = cut(engine, rows.count_rows(path), multiple_of=size)
        pieces = (Part(self._known_of(part), (FileRows(path, part),)) for part in ranges)
        asked = (replace(self, match=None, repeated=None), size, tuple(numbers_with_nulls(path, self.key)), reasons)
        with rows.RowGroups(quarantined_path, schema.append(reasons)) as quarantine:
            for numbers, bad_rows, outcomes, obstacles, of_rows in engine.map(_judge_rows, pieces, shared=asked):
                quarantine.write(bad_rows)
                findings.is_bad[numbers] = True
                findings.add(outcomes, obstacles)
                unusable += of_rows
        return [*merge_failures(unusable), *self._unusable_table(path, ~findings.is_bad)]

    def _known_of(self, part: Rows) -> tuple[KeyMatch | None, RepeatedKeys | None]:
        """Return what is known of the keys of some rows."""
        match = self.match and self.match.of_rows(slice(part.first, part.end))
        return match, self.repeated and self.repeated.between(part.first, part.end)

    def judge(self, table: pa.Table, first: int, part: Rows) -> tuple[dict[int, str], list[Outcome], _Problems]:
        """Judge some rows; return the bad ones, by their number in the file, with their reasons.

        Parameters
        ----------
        first
            The number of the first of these rows in the file.
        part
            The rows that ``match`` and ``repeated`` speak of.
        """
        frame, numbers = rows.exact_frame(table, self.key), np.arange(first, first + table.num_rows)
        whole, indices = whole_keys(frame, self.contracts.used.key)
        keys = None if self.match is None else self.match.of_rows(numbers[indices] - part.first)
        whole = with_typed_nulls(self.by_parts, whole)
        outcomes, obstacles = judge(self.left, whole, self.parameters, keys) if len(whole) and self.left else ([], [])
        outcomes = renumber(outcomes, numbers[indices])
        failures_of: dict[int, Sequence[Failure]] = {outcome.entry.number: outcome.failures for outcome in outcomes}
        if self.repeated is not None:
            failures_of |= self.repeated.failures(first, first + table.num_rows)
        failures = [*obstacles, *(f for entry in self.by_parts for f in failures_of.get(entry.number, ()))]
        unusable = self.contracts.unusable_rows(self.asset, frame, failures, numbers)
        return reasons_of([*failures, *unusable]), outcomes, (obstacles, unusable)

    def _unusable_table(self, path: Path, sound: np.ndarray) -> list[Failure]:
        """Return what is wrong with the table as a whole: with the names of its columns, or with its labels."""
        names, task = pq.read_schema(path).names, self.contracts.used.task
        if self.asset != "labels" or task is None or task.target not in names:
            return self.contracts.unusable_table(self.asset, pd.DataFrame(columns=names), np.arange(0))
        labels = rows.exact_frame(pq.read_table(path, columns=[task.target]), self.key)
        return self.contracts.unusable_table(self.asset, labels.loc[sound], np.flatnonzero(sound))


def _judge_rows(asked: tuple[SecondScan, int, Sequence[str], pa.Field], part: Part) -> Iterator[_Judged]:
    """Judge some rows batch by batch."""
    scan, size, floats, reasons = asked
    (file,) = part.files
    match, repeated = part.facts
    scan = replace(scan, match=match, repeated=repeated)
    schema, covered = rows.types_of(file.path), file.rows or Rows(0, rows.count_rows(file.path))
    first = covered.first
    for batch in rows.batches(file.path, size, part=file.rows):
        bad, outcomes, (obstacles, unusable) = scan.judge(rows.as_floats(batch.cast(schema), floats), first, covered)
        numbers = np.array(list(bad), dtype=np.int64)
        bad_rows = batch.take(pa.array(numbers - first))
        bad_rows = bad_rows.append_column(reasons, pa.array(list(bad.values()), pa.string()))
        yield numbers, bad_rows, [without_positions(outcome) for outcome in outcomes], obstacles, unusable
        first += batch.num_rows
