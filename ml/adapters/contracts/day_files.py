"""Validate a day in a file against its contract in bounded memory: one share of its keys after the other.

Rows are shared out by their key, into files on the local disk, and each share is validated by itself.
Rows of equal keys come together, so that a key that comes twice is found; what an expectation says of each row is
the same in any share; and what it says of all rows together (their number, a mean, a share of nulls) is asked of its
own column of the whole day. This sharing out is the first half of a Grace hash join (Kitsuregawa and others, 1983,
"Application of hash to data base machine and its architecture").
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.adapters import partitions, rows
from ml.adapters.contracts import Contracts, Screened
from ml.adapters.contracts.judge import KeyMatch, judge, match_keys, renumber, result_of
from ml.adapters.contracts.many_tables import RowMetrics
from ml.adapters.contracts.outcomes import Outcome, merge_failures, merge_outcomes
from ml.adapters.contracts.parts import (
    can_be_parted,
    judge_coverage,
    judge_whole_columns,
    not_evaluated,
    obstacle_to_parts,
)
from ml.adapters.contracts.report import render
from ml.adapters.contracts.suite import Entry
from ml.adapters.workspace import write_parquet, write_table
from ml.core.data.contracts import Failure, reasons_of, refusal
from ml.core.data.row_checks import whole_keys

logger = logging.getLogger(__name__)
WORTH_A_PART, ALWAYS_ALLOWED = 8192, 8
"""Great Expectations takes a tenth of a second for any part: more than eight are made only of so many rows each."""
MOST_PARTS = 500
"""So many files are open at once; of a day with more than as many times ``rows_at_once`` rows the parts are larger."""


@dataclass(frozen=True, eq=False)
class ScreenedFile:
    """What a contract said of a table in a file, and the files with its rows.

    ``accepted`` has the rows that may go on in the order of the table; None if it was rejected. ``quarantined`` has
    the bad ones and why; None if there are none.
    """

    screened: Screened
    accepted: Path | None
    quarantined: Path | None


def screen_file(
    contracts: Contracts,
    asset: str,
    path: Path,
    *,
    key: Sequence[str],
    parameters: Mapping[str, object],
    folder: Path,
    rows_at_once: int,
    known_keys: Path | None = None,
    clashes: Sequence[Failure] = (),
    row_metrics: RowMetrics | None = None,
) -> ScreenedFile:
    """Return which rows of a file may go on, and whether any may; they are written to ``folder``.

    A file of up to ``rows_at_once`` rows is screened whole, as is one whose suite has an `obstacle_to_parts`. Of a
    larger one memory holds about so many rows, three bytes for each row, and one column at a time for what is asked of
    a column as a whole; the verdict is the same. A key that most rows share defeats this: its rows come together.

    Parameters
    ----------
    path
        The table.
    key
        The columns by which rows are shared out.
    folder
        An empty one, or one without files of the names used here.
    known_keys
        A file with the columns ``key`` of the inputs that this table should speak of; see `Contracts.screen`.
    clashes
        What is known to be wrong with the table already: its columns are of other types than before.
    row_metrics
        What `Contracts.row_metrics` found of this very table; not looked at if it is screened in parts.
    """
    number = rows.count_rows(path)
    most = max(number, rows.count_rows(known_keys) if known_keys else 0)
    parts = min(-(-most // rows_at_once), MOST_PARTS, max(-(-most // WORTH_A_PART), ALWAYS_ALLOWED))
    obstacle = obstacle_to_parts(contracts.suite(asset), key) if parts > 1 else None
    if obstacle:
        logger.warning("%s can be asked only of the whole table: all of %s is held in memory", obstacle, asset)
    if number and parts > 1 and not obstacle:
        return _screen_parts(contracts, asset, path, parts, key, parameters, folder, known_keys, clashes)
    keys = None if known_keys is None else pd.read_parquet(known_keys, columns=list(key))
    table = pq.read_table(path)
    frame = rows.exact_frame(table, key)
    screened = contracts.screen(
        asset, frame, parameters=parameters, known_keys=keys, clashes=clashes, row_metrics=row_metrics
    )
    accepted, quarantined_path = folder / "accepted.parquet", folder / "quarantined.parquet"
    if not screened.rejected:
        write_table(_drop_bad_rows(table, screened.failures), accepted)
    if len(screened.quarantined):
        write_parquet(screened.quarantined, quarantined_path)
    return ScreenedFile(
        screened, None if screened.rejected else accepted, quarantined_path if len(screened.quarantined) else None
    )


def _drop_bad_rows(table: pa.Table, failures: Sequence[Failure]) -> pa.Table:
    bad = np.zeros(table.num_rows, dtype=bool)
    bad[list(reasons_of(failures))] = True
    return table.filter(pa.array(~bad)) if bad.any() else table


def _screen_parts(
    contracts: Contracts,
    asset: str,
    path: Path,
    parts: int,
    key: Sequence[str],
    parameters: Mapping[str, object],
    folder: Path,
    known_keys: Path | None,
    clashes: Sequence[Failure],
) -> ScreenedFile:
    suite = contracts.suite(asset)
    by_parts = [entry for entry in suite if can_be_parted(entry, key)]
    number = rows.count_rows(path)
    shared = partitions.hash_partition(path, key, parts, folder / "shared")
    key_parts = (
        partitions.hash_partition(known_keys, key, parts, folder / "known", columns=key)
        if known_keys
        else [None] * parts
    )
    findings = _Findings({entry.number: [] for entry in suite}, np.zeros(number, dtype=bool))
    quarantined_path = folder / "quarantined.parquet"
    bad_rows_schema = rows.types_of(path)
    reasons = pa.field(partitions.free_name("reasons", bad_rows_schema.names), pa.string())
    with rows.RowGroups(quarantined_path, bad_rows_schema.append(reasons)) as quarantine:
        for part, key_part in zip(shared, key_parts, strict=True):
            quarantine.write(_judge_part(contracts, asset, findings, by_parts, part, key_part, key, parameters))
            pa.default_memory_pool().release_unused()
    for entry in (entry for entry in suite if entry not in by_parts):
        if "input_coverage" in entry.columns:
            match = (
                KeyMatch(tuple(key), np.ones(1, dtype=bool), findings.covered, findings.wanted)
                if findings.matched
                else None
            )
            findings.outcomes[entry.number].append(judge_coverage(entry, match, parameters))
        else:
            findings.add(*judge_whole_columns(entry, suite, path, parameters))

    merged = [merge_outcomes(findings.outcomes[entry.number] or [not_evaluated(entry)]) for entry in suite]
    failures = [
        *clashes,
        *merge_failures(findings.obstacles),
        *(failure for outcome in merged for failure in outcome.failures),
    ]
    bad_rows = int(findings.is_bad.sum())
    reason = refusal(failures, rows=number, bad_rows=bad_rows, max_bad_share=contracts.settings.max_quarantined_share)
    result = result_of(asset, (number - bad_rows, bad_rows), merged, failures, reason=reason, parameters=parameters)
    nothing = pd.DataFrame()
    screened = Screened(nothing, nothing, tuple(failures), bool(reason), reason, render(result), result)
    accepted = None if reason else _copy_good_rows(path, findings.is_bad, folder / "accepted.parquet")
    return ScreenedFile(screened, accepted, quarantined_path if bad_rows else None)


@dataclass
class _Findings:
    """What is known after some parts; ``outcomes`` by the number of the expectation, ``is_bad`` by row."""

    outcomes: dict[int, list[Outcome]]
    is_bad: np.ndarray
    obstacles: list[Failure] = field(default_factory=list)
    covered: int = 0
    wanted: int = 0
    matched: bool = False

    def add(self, outcomes: Sequence[Outcome], obstacles: Sequence[Failure]) -> None:
        """Add what was said of some rows, without their positions, which are of no other part."""
        self.obstacles += obstacles
        for outcome in outcomes:
            failures = tuple(replace(failure, positions=()) for failure in outcome.failures)
            self.outcomes[outcome.entry.number].append(replace(outcome, failures=failures))


def _judge_part(
    contracts: Contracts,
    asset: str,
    findings: _Findings,
    entries: Sequence[Entry],
    path: Path,
    keys_path: Path | None,
    key: Sequence[str],
    parameters: Mapping[str, object],
) -> pa.Table:
    """Judge one part, and give its bad rows with their reasons."""
    table = pq.read_table(path)
    positions, table = table.column(-1).to_numpy(), table.select(table.column_names[:-1])
    frame = rows.exact_frame(table, key)
    whole, indices = whole_keys(frame, contracts.used.key)
    keys = None if keys_path is None else match_keys(whole, pd.read_parquet(keys_path, columns=list(key)))
    if keys is not None:
        findings.covered, findings.wanted = findings.covered + keys.covered, findings.wanted + keys.wanted
        findings.matched = keys.is_known is not None
    outcomes, obstacles = judge(entries, whole, parameters, keys) if len(whole) else ([], [])
    outcomes = renumber(outcomes, positions[indices])
    failures = [*obstacles, *(failure for outcome in outcomes for failure in outcome.failures)]
    unusable = contracts.unusable(asset, frame, failures, positions)
    reasons = reasons_of([*failures, *unusable])
    numbers = np.array(list(reasons), dtype=np.int64)
    findings.is_bad[numbers] = True
    findings.add(outcomes, [*obstacles, *unusable])
    bad = np.searchsorted(positions, numbers)
    return table.take(pa.array(bad)).append_column(
        partitions.free_name("reasons", table.column_names), pa.array(list(reasons.values()), pa.string())
    )


def _copy_good_rows(path: Path, is_bad: np.ndarray, target: Path) -> Path:
    """Copy the rows of a file that are not bad, in their order."""
    first = 0
    with rows.RowGroups(target, rows.types_of(path)) as writer:
        for batch in rows.batches(path, rows.BATCH_ROWS):
            writer.write(batch.filter(pa.array(~is_bad[first : first + batch.num_rows])))
            first += batch.num_rows
    return target
