"""Ask of the rows of a large day whose keys may come twice which of them are not unique."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ml.adapters import partitions, rows
from ml.adapters.contracts import Contracts
from ml.adapters.contracts.judge import TYPE_EXPECTATIONS, judge, renumber, with_typed_nulls
from ml.adapters.contracts.key_rows import count_parts
from ml.adapters.contracts.outcomes import UNIQUE_EXPECTATIONS, Outcome, merge_outcomes, without_positions
from ml.adapters.contracts.suite import Entry
from ml.adapters.engine import LOCAL, Engine, FileRows, Part
from ml.core.data.contracts import Failure
from ml.core.data.row_checks import whole_keys


class RepeatedKeys:
    """What Great Expectations says of the rows whose keys are not unique; no other row can break what it is asked.

    ``outcomes`` are empty where no key comes twice: each row is then unique, and any one of them says so.

    Parameters
    ----------
    entries
        What can be asked of parts of the table; those that ask for different rows are taken, if ``columns``, those of
        the table, have theirs.
    """

    def __init__(self, entries: Sequence[Entry], columns: Sequence[str]) -> None:
        self.suite = entries
        self.entries = [e for e in entries if e.type in UNIQUE_EXPECTATIONS and set(e.columns) <= set(columns)]
        self.outcomes: list[Outcome] = []
        self._bad_rows: dict[int, list[tuple[Failure, np.ndarray]]] = {}

    def judge(
        self,
        contracts: Contracts,
        path: Path,
        chosen: np.ndarray,
        key: Sequence[str],
        parameters: Mapping[str, object],
        folder: Path,
        rows_at_once: int,
        engine: Engine = LOCAL,
    ) -> None:
        """Read the ``chosen`` rows, those of equal keys together, and ask for what is different in each."""
        if not self.entries or not chosen.any():
            return
        of_types = [e for e in self.suite if e.type in TYPE_EXPECTATIONS and {*e.columns} <= {*self._columns()}]
        by_entry: dict[int, list[Outcome]] = defaultdict(list)
        parts = count_parts(int(chosen.sum()), rows_at_once)
        files = partitions.hash_partition(path, key, parts, folder / "repeated", chosen=chosen, engine=engine)
        asked = (self.suite, of_types, self.entries, tuple(key), contracts.used.key, dict(parameters))
        for outcomes in engine.map(_judge_part, (Part(None, (FileRows(file),)) for file in files), shared=asked):
            for outcome in outcomes:
                by_entry[outcome.entry.number].append(outcome)
        for number, outcomes in by_entry.items():
            self.outcomes.append(merge_outcomes([without_positions(outcome) for outcome in outcomes]))
            self._bad_rows[number] = _by_failure([f for outcome in outcomes for f in outcome.failures])

    def failures(self, first: int, end: int) -> dict[int, list[Failure]]:
        """Return what is wrong with some rows, by the number of the expectation."""
        return {number: _of_rows(bad_rows, first, end) for number, bad_rows in self._bad_rows.items()}

    def between(self, first: int, end: int) -> RepeatedKeys:
        """Return what is known of some rows only."""
        part = RepeatedKeys((), ())
        part._bad_rows = {
            number: [(failure, of[slice(*np.searchsorted(of, [first, end]))]) for failure, of in bad_rows]
            for number, bad_rows in self._bad_rows.items()
        }
        return part

    def _columns(self) -> list[str]:
        return [column for entry in self.entries for column in entry.columns]


_Asked = tuple[Sequence[Entry], Sequence[Entry], Sequence[Entry], Sequence[str], Sequence[str], Mapping[str, object]]


def _judge_part(asked: _Asked, part: Part) -> Iterator[list[Outcome]]:
    """Ask for what is different in each of some rows, whose numbers are in the last column of the file."""
    suite, of_types, entries, key, key_used, parameters = asked
    (file,) = part.files
    table = pq.read_table(file.path)
    positions, table = table.column(-1).to_numpy(), table.select(table.column_names[:-1])
    frame, indices = whole_keys(rows.exact_frame(table, key), key_used)
    if len(frame):
        frame = with_typed_nulls(suite, frame)
        outcomes = judge([*of_types, *entries], frame, parameters, None)[0][len(of_types) :]
        yield renumber(outcomes, positions[indices])


def _by_failure(failures: Sequence[Failure]) -> list[tuple[Failure, np.ndarray]]:
    """Put the rows together of which the same is said, in their order."""
    numbers: dict[Failure, list[int]] = defaultdict(list)
    for failure in failures:
        numbers[replace(failure, unexpected_rows=0, examples=(), positions=())] += failure.positions
    return [(failure, np.sort(np.array(rows_of, dtype=np.int64))) for failure, rows_of in numbers.items()]


def _of_rows(bad_rows: Sequence[tuple[Failure, np.ndarray]], first: int, end: int) -> list[Failure]:
    """Return what is said of the rows from ``first`` to before ``end``."""
    of_rows = []
    for failure, numbers in bad_rows:
        start, stop = np.searchsorted(numbers, [first, end])
        if stop > start:
            of_rows.append(replace(failure, positions=tuple(numbers[start:stop].tolist())))
    return of_rows
