"""The client of Great Expectations: validate a table against its suite, and describe in plain words what broke.

A suite is ``expectations/<asset>.json``: GX's own ``name`` and ``expectations``, each with a
``meta.level`` of ``row`` (bad rows go to quarantine) or ``table`` (the whole table is refused). What
cannot be evaluated counts as broken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.adapters.contracts.judge import judge, match_keys, renumber, result_of, with_typed_nulls
from ml.adapters.contracts.many_tables import RowMetrics, metrics_by_table
from ml.adapters.contracts.outcomes import Outcome
from ml.adapters.contracts.report import render
from ml.adapters.contracts.suite import DERIVED, Entry, parameter_names, read_suite
from ml.adapters.rows import footer
from ml.core.data.contracts import DayProfile, Failure, baselines, reasons_of, refusal, split
from ml.core.data.row_checks import UsedColumns, check_rows, check_table, whole_keys, without_what_is_known
from ml.errors import DataRejected
from ml.next_moves import rerun
from ml.settings import Screen

OF_A_COLUMN = ("min_non_null_share__", "empty_days_before__")
"""How the parameters begin that the recent past of a column sets."""
CHECKED = ("inputs", "labels")
"""The assets of which each row must be usable, whatever their suites say."""


@dataclass(frozen=True, eq=False)
class Screened:
    """What a contract said of one table.

    ``quarantined`` holds the bad rows and why (``reasons``). If ``rejected``, nothing may go on:
    ``accepted`` is then what would have passed row by row, and ``reason`` says what broke. ``html`` is
    the report for people, readable offline; ``result`` the same facts, safe for JSON.
    """

    accepted: pd.DataFrame
    quarantined: pd.DataFrame
    failures: tuple[Failure, ...]
    rejected: bool
    reason: str
    html: str
    result: dict[str, Any]

    def raise_if_rejected(self, report_uri: str, what: str) -> None:
        """Raise `DataRejected` if the table was rejected; ``what`` names it, as "inputs of 2013-04-01"."""
        if self.rejected:
            raise self.refusal(report_uri, what)

    def refusal(self, report_uri: str, what: str) -> DataRejected:
        """Return the error that says why the table was rejected."""
        return DataRejected(
            f"{what} rejected: {self.reason}. Report: {report_uri}. "
            f"Next: fix the source and {rerun()}; or, if the data are right, "
            f"change expectations/{self.result['asset']}.json",
            report_uri=report_uri,
            failures=tuple(f.as_dict() for f in self.failures),
        )


class Contracts:
    """Validate tables against the suites of a folder.

    Parameters
    ----------
    folder
        Holds ``<asset>.json``. A suite is read once, when first needed.
    screen
        How many rows may be quarantined, and what the recent past allows.
    used
        The columns that a model reads: of inputs and labels a row whose key is not whole, or with an infinite number
        there, is quarantined whatever the suite says. None means every column of numbers.
    """

    def __init__(self, folder: Path, screen: Screen | None = None, used: UsedColumns | None = None) -> None:
        self.folder = folder
        self.settings = screen or Screen()
        self.used = used or UsedColumns()
        self._suites: dict[str, tuple[Entry, ...]] = {}

    def suite(self, asset: str) -> tuple[Entry, ...]:
        """Return the checked expectations of ``asset``; raises SettingsError if the file is wrong."""
        if asset not in self._suites:
            self._suites[asset] = read_suite(self.folder / f"{asset}.json")
        return self._suites[asset]

    def about(self, asset: str, columns: Collection[str]) -> Contracts:
        """Return contracts whose suite of ``asset`` asks only what is asked of some columns."""
        part = Contracts(self.folder, self.settings, self.used)
        part._suites[asset] = tuple(entry for entry in self.suite(asset) if set(entry.columns) & set(columns))
        return part

    def baselines(self, asset: str, profiles: Sequence[DayProfile], *, day: date) -> dict[str, object]:
        """Return the parameters of ``day`` that its recent past sets, for the columns that the suite names."""
        named = {name for entry in self.suite(asset) for name in parameter_names(entry.kwargs)}
        columns = sorted({n.removeprefix(start) for n in named for start in OF_A_COLUMN if n.startswith(start)})
        parameters = baselines(profiles, day=day, screen=self.settings, columns=columns)
        return {name: bound for name, bound in parameters.items() if name in named or not name.startswith(OF_A_COLUMN)}

    def row_metrics(self, asset: str, frames: Sequence[pd.DataFrame]) -> list[RowMetrics]:
        """Return of each of several tables of an asset what one pass over the rows of all gives; see `screen`.

        The verdict on a table is the same with it and without; for a history of small tables it comes sooner.
        """
        suite = self.suite(asset)
        tables = [whole_keys(frame.reset_index(drop=True), self.used.key)[0] for frame in frames]
        metrics = metrics_by_table(suite, [with_typed_nulls(suite, table) for table in tables])
        return [RowMetrics(asset, len(table), part) for table, part in zip(tables, metrics, strict=True)]

    def screen(
        self,
        asset: str,
        frame: pd.DataFrame,
        *,
        parameters: Mapping[str, object],
        known_keys: pd.DataFrame | None = None,
        clashes: Sequence[Failure] = (),
        row_metrics: RowMetrics | None = None,
    ) -> Screened:
        """Return which rows of a table may go on, and whether any may.

        Parameters
        ----------
        asset
            Names the suite.
        frame : DataFrame of shape (n_rows, n_columns)
            Not modified; the index is ignored.
        parameters
            Values for each ``$PARAMETER`` that the suite names.
        known_keys : DataFrame of shape (n_inputs, n_key_columns)
            The keys of the inputs that ``frame`` should speak of, without duplicates. Needed only by
            suites that name ``key_known`` (bool: this row's key is among them) or ``input_coverage``
            (the share of them that has a row); without it such a suite refuses the table.
        clashes
            What is known to be wrong with the table already.
        row_metrics
            What `row_metrics` found of this very table.

        Raises
        ------
        SettingsError
            If the suite is wrong, or names a parameter that was not given.
        """
        frame = frame.reset_index(drop=True)
        whole, numbers = whole_keys(frame, self.used.key)
        keys = None if known_keys is None else match_keys(whole, known_keys)
        known = row_metrics.of(asset, whole) if row_metrics else None
        outcomes, obstacles = judge(self.suite(asset), whole, parameters, keys, known)
        outcomes = renumber(outcomes, numbers)
        if len(whole) < len(frame):
            outcomes = self._with_all_rows(asset, outcomes, frame, parameters)
        failures = (*clashes, *obstacles, *(f for o in outcomes for f in o.failures))
        failures = (*failures, *self.unusable(asset, frame, failures, np.arange(len(frame))))
        accepted, quarantined = split(frame, failures)
        accepted, _ = whole_keys(accepted, self.used.key)
        reason = refusal(
            failures,
            rows=len(frame),
            bad_rows=len(quarantined),
            max_bad_share=self.settings.max_quarantined_share,
        )
        counts = (len(accepted), len(quarantined))
        result = result_of(asset, counts, outcomes, failures, reason=reason, parameters=parameters)
        return Screened(accepted, quarantined, failures, bool(reason), reason, render(result), result)

    def _with_all_rows(
        self, asset: str, outcomes: Sequence[Outcome], frame: pd.DataFrame, parameters: Mapping[str, object]
    ) -> list[Outcome]:
        """Ask again what is asked of all rows together, of the rows without a key too."""
        apart = {*self.used.key, *DERIVED}
        entries = [entry for entry in self.suite(asset) if entry.level == "table" and not apart & set(entry.columns)]
        again = {outcome.entry.number: outcome for outcome in judge(entries, frame, parameters, None)[0]}
        return [again.get(outcome.entry.number, outcome) for outcome in outcomes]

    def unusable(
        self, asset: str, frame: pd.DataFrame, failures: Sequence[Failure], numbers: np.ndarray
    ) -> list[Failure]:
        """Return which rows of inputs or labels no model could use, whatever their suite says; see `check_rows`.

        What makes the whole table unusable (see `check_table`) is asked of the rows that nothing else is wrong with.
        """
        checked = self.unusable_rows(asset, frame, failures, numbers)
        sound = ~np.isin(numbers, list(reasons_of([*failures, *checked])))
        return [*checked, *self.unusable_table(asset, frame.loc[sound], numbers[sound])]

    def unusable_rows(
        self, asset: str, frame: pd.DataFrame, failures: Sequence[Failure], numbers: np.ndarray
    ) -> list[Failure]:
        """Return what `check_rows` says of some rows, without what is known of them already."""
        return without_what_is_known(check_rows(frame, self.used, numbers), failures) if asset in CHECKED else []

    def unusable_table(self, asset: str, sound: pd.DataFrame, numbers: np.ndarray) -> list[Failure]:
        """Return what `check_table` says of the rows that nothing else is wrong with."""
        return check_table(asset, sound, self.used, numbers) if asset in CHECKED else []


def profile(source: Path, *, day: date | None = None) -> DayProfile:
    """Count a day's rows and nulls from the footer of its Parquet file.

    A column whose statistics are absent is read. A NaN that was written as a value, not as a null (pandas
    and pyarrow write nulls), is not seen.

    Parameters
    ----------
    day
        None reads it from a file name such as ``day=2013-04-01.parquet``.
    """
    if day is None:
        match = re.search(r"(\d{4}-\d{2}-\d{2})", Path(str(source)).name)
        if match is None:
            raise ValueError(f"no day in the name of {source}: say which day it holds")
        day = date.fromisoformat(match.group(1))
    counted = footer(source)
    nulls = {c: n for c, n in counted.nulls.items() if not c.startswith("__index_level_")}
    return DayProfile(day, counted.rows, nulls)
