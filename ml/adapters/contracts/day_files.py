"""Validate a day in a file against its contract in bounded memory: some of its rows after the others.

What an expectation says of each row is the same whichever rows are beside it. So a first scan finds what every row
meets (`ml.adapters.contracts.first_scan`); only if something is left a second one asks for it row by row. Rows of equal
keys are found by their hashes and read again together (`ml.adapters.contracts.key_rows`). What an expectation says of
all rows together (their number, a mean, a share of nulls) is asked of its own column of the whole day.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.adapters import rows
from ml.adapters.contracts import Contracts, Screened, key_rows
from ml.adapters.contracts.first_scan import FirstScan
from ml.adapters.contracts.judge import result_of
from ml.adapters.contracts.many_tables import RowMetrics
from ml.adapters.contracts.outcomes import merge_failures, merge_outcomes
from ml.adapters.contracts.parts import (
    can_be_parted,
    judge_coverage,
    judge_whole_columns,
    judged_columns,
    not_evaluated,
    obstacle_to_parts,
)
from ml.adapters.contracts.repeated_keys import RepeatedKeys
from ml.adapters.contracts.report import render
from ml.adapters.contracts.second_scan import Findings, SecondScan
from ml.adapters.engine import LOCAL, Engine, FileRows, Part
from ml.adapters.row_group_layout import is_written_alike
from ml.adapters.workspace import write_parquet, write_table
from ml.core.data.contracts import Failure, reasons_of, refusal

logger = logging.getLogger(__name__)
WORTH_A_PART, ALWAYS_ALLOWED = 8192, 8
"""Great Expectations takes a tenth of a second for any rows: more than eight times it is asked only of so many each."""


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
    engine: Engine = LOCAL,
) -> ScreenedFile:
    """Return which rows of a file may go on, and whether any may; they are written to ``folder``.

    A file of up to ``rows_at_once`` rows is screened whole, as is one whose suite has an `obstacle_to_parts`. Of a
    larger one memory holds about so many rows, 16 bytes for each row, and one column at a time for what is asked of
    a column as a whole; the verdict is the same. A key that most rows share defeats this: its rows come together.

    Parameters
    ----------
    path
        The table.
    key
        The columns that distinguish rows.
    folder
        An empty one, or one without files of the names used here.
    known_keys
        A file with the columns ``key`` of the inputs that this table should speak of; see `Contracts.screen`.
    clashes
        What is known to be wrong with the table already: its columns are of other types than before.
    row_metrics
        What `Contracts.row_metrics` found of this very table; not looked at if it is screened in parts.
    engine
        Where the parts of a large table are read and asked; they say the same anywhere.
    """
    number = rows.count_rows(path)
    most = max(number, rows.count_rows(known_keys) if known_keys else 0)
    obstacle = obstacle_to_parts(contracts.suite(asset), key) if most > rows_at_once else None
    if obstacle:
        logger.warning("%s can be asked only of the whole table: all of %s is held in memory", obstacle, asset)
    if number and most > rows_at_once and not obstacle:
        return _screen_parts(contracts, asset, path, key, parameters, folder, rows_at_once, known_keys, clashes, engine)
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
    key: Sequence[str],
    parameters: Mapping[str, object],
    folder: Path,
    rows_at_once: int,
    known_keys: Path | None,
    clashes: Sequence[Failure],
    engine: Engine,
) -> ScreenedFile:
    suite, number = contracts.suite(asset), rows.count_rows(path)
    by_parts = [entry for entry in suite if can_be_parted(entry, key)]
    size = count_at_once(number, rows_at_once)
    hashes = key_rows.hash_keys(path, key, engine=engine)
    match = (
        key_rows.match_files(
            path,
            known_keys,
            key,
            folder,
            hashes=hashes,
            whole=contracts.used.key,
            rows_at_once=rows_at_once,
            engine=engine,
        )
        if known_keys
        else None
    )
    repeated = RepeatedKeys(by_parts, pq.read_schema(path).names)
    repeated.judge(contracts, path, key_rows.not_alone(hashes.values), key, parameters, folder, rows_at_once, engine)
    del hashes
    scan = FirstScan(contracts, asset, key, parameters)
    scan.run(path, by_parts, size=size, all_unique=not repeated.outcomes, engine=engine)
    if match is not None:
        scan.ask_of_known_keys(by_parts, match)
    findings = Findings({entry.number: [] for entry in suite}, np.zeros(number, dtype=bool))
    findings.add([outcome for entry in by_parts if (outcome := scan.met(entry)) is not None], [])
    findings.add(repeated.outcomes, [])
    left = [entry for entry in by_parts if not findings.outcomes[entry.number]]
    quarantined_path, unusable = folder / "quarantined.parquet", list[Failure]()
    if left or repeated.outcomes or not scan.rows_are_usable:
        second = SecondScan(contracts, asset, by_parts, left, key, parameters, match, repeated)
        unusable = second.run(path, size, findings, quarantined_path, engine)
    of_all = [entry for entry in suite if entry not in by_parts]
    of_columns = [entry for entry in of_all if "input_coverage" not in entry.columns]
    for entry in of_all:
        if entry not in of_columns:
            findings.outcomes[entry.number].append(judge_coverage(entry, match, parameters))
    names = pq.read_schema(path).names
    columns = (Part(entry, (FileRows(path, columns=judged_columns(entry, names)),)) for entry in of_columns)
    for outcomes, obstacles in engine.map(judge_whole_columns, columns, shared=(suite, dict(parameters))):
        findings.add(outcomes, obstacles)

    merged = [merge_outcomes(findings.outcomes[entry.number] or [not_evaluated(entry)]) for entry in suite]
    failures = [
        *clashes,
        *merge_failures(findings.obstacles),
        *(failure for outcome in merged for failure in outcome.failures),
        *unusable,
    ]
    bad_rows = int(findings.is_bad.sum())
    reason = refusal(failures, rows=number, bad_rows=bad_rows, max_bad_share=contracts.settings.max_quarantined_share)
    result = result_of(asset, (number - bad_rows, bad_rows), merged, failures, reason=reason, parameters=parameters)
    nothing = pd.DataFrame()
    screened = Screened(nothing, nothing, tuple(failures), bool(reason), reason, render(result), result)
    accepted = None if reason else _copy_good_rows(path, findings.is_bad, folder / "accepted.parquet")
    return ScreenedFile(screened, accepted, quarantined_path if bad_rows else None)


def count_at_once(number: int, rows_at_once: int) -> int:
    """Return how many of a number of rows Great Expectations is asked of at once."""
    batches = min(-(-number // rows_at_once), max(-(-number // WORTH_A_PART), ALWAYS_ALLOWED))
    return -(-number // batches)


def _copy_good_rows(path: Path, is_bad: np.ndarray, target: Path) -> Path:
    """Copy the rows of a file that are not bad, in their order; a file without bad rows by its bytes, if they are so.

    A file that was landed by `ml.adapters.rows.RowGroups` is written like that already.
    """
    if not is_bad.any() and is_written_alike(path, target):
        shutil.copyfile(path, target)
        return target
    first = 0
    with rows.RowGroups(target, rows.types_of(path)) as writer:
        for batch in rows.batches(path, rows.BATCH_ROWS):
            writer.write(batch.filter(pa.array(~is_bad[first : first + batch.num_rows])))
            first += batch.num_rows
    return target
