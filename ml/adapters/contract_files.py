"""Hold a day in a file against its contract in bounded memory: one share of its keys after the other.

Rows are shared out by their key, into files on the local disk, and each share is held against the suite by itself.
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

from ml.adapters import rows
from ml.adapters.contract_judge import (
    TYPE_EXPECTATIONS,
    UNIQUE_EXPECTATIONS,
    KeyMatch,
    Outcome,
    evaluate,
    judge,
    match_keys,
    merge_failures,
    merge_outcomes,
    outcome_of,
    renumbered,
    result_of,
)
from ml.adapters.contract_report import render
from ml.adapters.contract_suite import Entry
from ml.adapters.contracts import Contracts, Screened
from ml.adapters.workspace import write_parquet, write_table
from ml.core.contracts import Failure, reasons_of, refusal
from ml.core.row_checks import whole_keys

logger = logging.getLogger(__name__)
WORTH_A_PART, ALWAYS_ALLOWED = 8192, 8
"""Great Expectations takes a third of a second for any part: more than eight are made only of so many rows each."""
MOST_PARTS = 500
"""So many files are open at once; of a day with more than as many times ``rows_at_once`` rows the parts are larger."""

OF_THE_SCHEMA = frozenset(
    {
        "expect_column_to_exist",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_table_columns_to_match_ordered_list",
        "expect_table_columns_to_match_set",
        *TYPE_EXPECTATIONS,
    }
)
OF_EACH_ROW = frozenset(
    {
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_to_be_in_set",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_dateutil_parseable",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_be_json_parseable",
        "expect_column_values_to_be_null",
        "expect_column_values_to_match_json_schema",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_match_strftime_format",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_not_match_regex",
        "expect_column_values_to_not_match_regex_list",
        "expect_multicolumn_sum_to_equal",
        "expect_select_column_values_to_be_unique_within_record",
    }
)
"""What Great Expectations can say of a row without looking at another one."""

OF_ALL_ROWS = frozenset({"expect_table_row_count_to_be_between", "expect_table_row_count_to_equal"})
"""Of the expectations that name no column, those that any one column of the whole day answers."""

OF_NULLS = frozenset({"expect_column_proportion_of_non_null_values_to_be_between"})
"""What depends on how many values are null, and on nothing else of a column."""


@dataclass(frozen=True, eq=False)
class ScreenedFile:
    """What a contract said of a table in a file, and the files with its rows.

    ``accepted`` has the rows that may go on in the order of the table; None if it was refused. ``quarantined`` has
    the bad ones and why; None if there are none.
    """

    said: Screened
    accepted: Path | None
    quarantined: Path | None


def obstacle_to_parts(suite: Sequence[Entry], key: Sequence[str]) -> str | None:
    """Say which expectation of a suite can be asked only of a whole table in memory; None if there is none."""
    for entry in suite:
        of_whole_columns = entry.level == "table" and (entry.columns or entry.type in OF_ALL_ROWS)
        if not (_by_parts(entry, key) or (of_whole_columns and set(entry.columns) != {"key_known"})):
            return f"{entry.type} on {entry.column or 'the table'}"
    return None


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
) -> ScreenedFile:
    """Say which rows of a file may go on, and whether any may; they are written to ``folder``.

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
    """
    number = rows.count_rows(path)
    most = max(number, rows.count_rows(known_keys) if known_keys else 0)
    parts = min(-(-most // rows_at_once), MOST_PARTS, max(-(-most // WORTH_A_PART), ALWAYS_ALLOWED))
    obstacle = obstacle_to_parts(contracts.suite(asset), key) if parts > 1 else None
    if obstacle:
        logger.warning("%s can be asked only of the whole table: all of %s is held in memory", obstacle, asset)
    if number and parts > 1 and not obstacle:
        return _in_parts(contracts, asset, path, parts, key, parameters, folder, known_keys, clashes)
    keys = None if known_keys is None else pd.read_parquet(known_keys, columns=list(key))
    table = pq.read_table(path)
    frame = rows.exact_frame(table, key)
    said = contracts.screen(asset, frame, parameters=parameters, known_keys=keys, clashes=clashes)
    accepted, aside = folder / "accepted.parquet", folder / "quarantined.parquet"
    if not said.refused:
        write_table(_good_rows(table, said.failures), accepted)
    if len(said.quarantined):
        write_parquet(said.quarantined, aside)
    return ScreenedFile(said, None if said.refused else accepted, aside if len(said.quarantined) else None)


def _good_rows(table: pa.Table, failures: Sequence[Failure]) -> pa.Table:
    bad = np.zeros(table.num_rows, dtype=bool)
    bad[list(reasons_of(failures))] = True
    return table.filter(pa.array(~bad)) if bad.any() else table


def _in_parts(
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
    by_parts = [entry for entry in suite if _by_parts(entry, key)]
    number = rows.count_rows(path)
    shared = rows.share_out(path, key, parts, folder / "shared")
    known = rows.share_out(known_keys, key, parts, folder / "known", columns=key) if known_keys else [None] * parts
    found = _Found({entry.number: [] for entry in suite}, np.zeros(number, dtype=bool))
    aside = folder / "quarantined.parquet"
    bad_rows_schema = rows.types_of(path)
    reasons = pa.field(rows.free_name("reasons", bad_rows_schema.names), pa.string())
    with rows.RowGroups(aside, bad_rows_schema.append(reasons)) as quarantine:
        for mine, theirs in zip(shared, known, strict=True):
            quarantine.write(_one_part(contracts, asset, found, by_parts, mine, theirs, key, parameters))
            pa.default_memory_pool().release_unused()
    for entry in (entry for entry in suite if entry not in by_parts):
        if "input_coverage" in entry.columns:
            match = KeyMatch(tuple(key), np.ones(1, dtype=bool), found.covered, found.wanted) if found.matched else None
            found.outcomes[entry.number].append(_of_coverage(entry, match, parameters))
        else:
            found.add(*_of_whole_columns(entry, suite, path, parameters))

    merged = [merge_outcomes(found.outcomes[entry.number] or [_not_evaluated(entry)]) for entry in suite]
    failures = [
        *clashes,
        *merge_failures(found.obstacles),
        *(failure for outcome in merged for failure in outcome.failures),
    ]
    bad_rows = int(found.is_bad.sum())
    reason = refusal(failures, rows=number, bad_rows=bad_rows, max_bad_share=contracts.settings.max_quarantined_share)
    result = result_of(asset, (number - bad_rows, bad_rows), merged, failures, reason=reason, parameters=parameters)
    nothing = pd.DataFrame()
    screened = Screened(nothing, nothing, tuple(failures), bool(reason), reason, render(result), result)
    accepted = None if reason else _without(path, found.is_bad, folder / "accepted.parquet")
    return ScreenedFile(screened, accepted, aside if bad_rows else None)


@dataclass
class _Found:
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


def _one_part(
    contracts: Contracts,
    asset: str,
    found: _Found,
    entries: Sequence[Entry],
    mine: Path,
    theirs: Path | None,
    key: Sequence[str],
    parameters: Mapping[str, object],
) -> pa.Table:
    """Judge one part, and give its bad rows with their reasons."""
    table = pq.read_table(mine)
    positions, table = table.column(-1).to_numpy(), table.select(table.column_names[:-1])
    frame = rows.exact_frame(table, key)
    whole, places = whole_keys(frame, contracts.used.key)
    keys = None if theirs is None else match_keys(whole, pd.read_parquet(theirs, columns=list(key)))
    if keys is not None:
        found.covered, found.wanted = found.covered + keys.covered, found.wanted + keys.wanted
        found.matched = keys.known is not None
    outcomes, obstacles = judge(entries, whole, parameters, keys) if len(whole) else ([], [])
    outcomes = renumbered(outcomes, positions[places])
    failures = [*obstacles, *(failure for outcome in outcomes for failure in outcome.failures)]
    unusable = contracts.unusable(asset, frame, failures, positions)
    reasons = reasons_of([*failures, *unusable])
    numbers = np.array(list(reasons), dtype=np.int64)
    found.is_bad[numbers] = True
    found.add(outcomes, [*obstacles, *unusable])
    bad = np.searchsorted(positions, numbers)
    return table.take(pa.array(bad)).append_column(
        rows.free_name("reasons", table.column_names), pa.array(list(reasons.values()), pa.string())
    )


def _by_parts(entry: Entry, key: Sequence[str]) -> bool:
    if "input_coverage" in entry.columns or entry.kwargs.get("mostly", 1) != 1:
        return False
    unique = entry.type in UNIQUE_EXPECTATIONS and set(key) <= set(entry.columns)
    return unique or entry.type in OF_EACH_ROW or entry.type in OF_THE_SCHEMA


def _not_evaluated(entry: Entry) -> Outcome:
    """Return what becomes of an expectation that no part could be asked: no row has a whole key."""
    return Outcome(entry, "not evaluated", entry.say(entry.kwargs))


def _of_coverage(entry: Entry, keys: KeyMatch | None, parameters: Mapping[str, object]) -> Outcome:
    if keys is None:
        return Outcome(entry, "not evaluated", entry.say(entry.kwargs))
    derived = keys.derived()
    return outcome_of(entry, evaluate([entry], derived, parameters).get(entry.number), derived)


def _of_whole_columns(
    entry: Entry, suite: Sequence[Entry], path: Path, parameters: Mapping[str, object]
) -> tuple[list[Outcome], list[Failure]]:
    """Ask an expectation of its columns of the whole day, and whether they are of their types."""
    there = pq.read_schema(path).names
    columns = [column for column in entry.columns if column in there] or there[:1]
    types = [each for each in suite if each.type in TYPE_EXPECTATIONS and set(each.columns) <= set(columns)]
    if entry.type in OF_ALL_ROWS or (entry.type in OF_NULLS and set(entry.columns) <= set(columns)):
        frame, types = _nulls_like(path, columns[0]), []
    else:
        frame = pd.read_parquet(path, columns=columns)
    outcomes, obstacles = judge([*types, entry], frame, parameters, None)
    return outcomes[-1:], obstacles


def _nulls_like(path: Path, column: str) -> pd.DataFrame:
    """Give two bytes for each row, with as many nulls as a column has: all that some expectations look at."""
    values = np.zeros(rows.count_rows(path), dtype=np.float16)
    values[: rows.null_counts(path)[column]] = np.nan
    return pd.DataFrame({column: values})


def _without(path: Path, is_bad: np.ndarray, target: Path) -> Path:
    """Copy the rows of a file that are not bad, in their order."""
    first = 0
    with rows.RowGroups(target, rows.types_of(path)) as kept:
        for batch in rows.batches(path, rows.BATCH_ROWS):
            kept.write(batch.filter(pa.array(~is_bad[first : first + batch.num_rows])))
            first += batch.num_rows
    return target
