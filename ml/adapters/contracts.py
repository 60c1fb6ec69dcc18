"""The door to Great Expectations: hold a table against its suite, and say in plain words what broke.

A suite is ``expectations/<asset>.json``: GX's own ``name`` and ``expectations``, each with a
``meta.level`` of ``row`` (bad rows go to quarantine) or ``table`` (the whole table is refused). What
cannot be evaluated counts as broken.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, NoReturn, cast

logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells of each of its own closures

import great_expectations as gx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.exceptions.exceptions import SuiteParameterError
from great_expectations.expectations import expectation as gx_expectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from ml.adapters.contract_report import one_line, render, rule, value
from ml.core.contracts import (
    DayProfile,
    Failure,
    Level,
    baselines,
    counted,
    refusal,
    spare_exact_copies,
    split,
)
from ml.errors import DataRejected, SettingsError
from ml.settings import Screen

DERIVED = ("key_known", "input_coverage")
"""Columns that exist only while labels are validated; see `Contracts.screen`."""

EXAMPLES = 5
NULL_SHARE_PARAMETER = "min_non_null_share__"
TYPE_EXPECTATIONS = ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list")
UNIQUE_EXPECTATIONS = ("expect_compound_columns_to_be_unique", "expect_column_values_to_be_unique")
ROW_EXPECTATIONS = (
    gx_expectation.ColumnMapExpectation,
    gx_expectation.ColumnPairMapExpectation,
    gx_expectation.MulticolumnMapExpectation,
)
RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
    "partial_unexpected_count": 0,
}


@dataclass(frozen=True, eq=False)
class Screened:
    """What a contract said of one table.

    ``quarantined`` holds the bad rows and why (``reasons``). If ``refused``, nothing may go on:
    ``accepted`` is then what would have passed row by row, and ``reason`` says what broke. ``html`` is
    the report for people, readable offline; ``result`` the same facts, safe for JSON.
    """

    accepted: pd.DataFrame
    quarantined: pd.DataFrame
    failures: tuple[Failure, ...]
    refused: bool
    reason: str
    html: str
    result: dict[str, Any]

    def raise_if_refused(self, report_uri: str, what: str) -> None:
        """Raise `DataRejected` if the table was refused; ``what`` names it, as "inputs of 2013-04-01"."""
        if self.refused:
            raise DataRejected(
                f"{what} refused: {self.reason}. Report: {report_uri}. "
                f"Next: mend the source and clear this run; or, if the data are right, "
                f"change expectations/{self.result['asset']}.json",
                report_uri=report_uri,
                failures=tuple(f.as_dict() for f in self.failures),
            )


@dataclass(frozen=True)
class Entry:
    """One expectation of a suite, as read and checked."""

    origin: str
    number: int
    type: str
    kwargs: dict[str, Any]
    level: Level
    rule: str | None
    notes: str | None
    expectation: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """Name the columns that it cannot be evaluated without."""
        single = [self.kwargs.get(k) for k in ("column", "column_A", "column_B")]
        several = self.kwargs.get("column_list")
        return (*(c for c in single if isinstance(c, str)), *(several if isinstance(several, list) else ()))

    @property
    def column(self) -> str | None:
        """Name its columns in one string; None if it speaks of the table."""
        return ", ".join(self.columns) or None

    def say(self, kwargs: Mapping[str, Any]) -> str:
        """Put it in plain words, with ``kwargs`` as GX evaluated them."""
        return self.rule or rule(self.type, kwargs)

    def breach(self, said: str, *, column: str | None = None) -> Failure:
        """Make a failure that refuses the whole table."""
        return Failure(self.type, column or self.column, "table", said)


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation."""

    entry: Entry
    status: Literal["met", "unmet", "not evaluated"]
    rule: str
    observed: str = ""
    failures: tuple[Failure, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Give what the report shows, ready for JSON."""
        return {
            "expectation": self.entry.type,
            "column": self.entry.column,
            "level": self.entry.level,
            "status": self.status,
            "rule": self.rule,
            "notes": self.entry.notes,
            "observed": self.observed,
            "examples": [e for f in self.failures for e in f.examples][:EXAMPLES],
        }


class Contracts:
    """Hold tables against the suites of a folder.

    Parameters
    ----------
    folder
        Holds ``<asset>.json``. A suite is read once, when first needed.
    screen
        How many rows may be quarantined, and what the recent past allows.
    """

    def __init__(self, folder: Path, screen: Screen | None = None) -> None:
        self.folder = folder
        self.settings = screen or Screen()
        self._suites: dict[str, tuple[Entry, ...]] = {}

    def suite(self, asset: str) -> tuple[Entry, ...]:
        """Give the checked expectations of ``asset``; raises SettingsError if the file is wrong."""
        if asset not in self._suites:
            self._suites[asset] = read_suite(self.folder / f"{asset}.json")
        return self._suites[asset]

    def baselines(self, asset: str, profiles: Sequence[DayProfile], *, day: date) -> dict[str, object]:
        """Give the parameters of ``day`` that its recent past sets, for the columns that the suite names."""
        named = {name for entry in self.suite(asset) for name in _parameter_names(entry.kwargs)}
        columns = sorted(n.removeprefix(NULL_SHARE_PARAMETER) for n in named if n.startswith(NULL_SHARE_PARAMETER))
        return baselines(profiles, day=day, screen=self.settings, columns=columns)

    def screen(
        self,
        asset: str,
        frame: pd.DataFrame,
        *,
        parameters: Mapping[str, object],
        known_keys: pd.DataFrame | None = None,
    ) -> Screened:
        """Say which rows of a table may go on, and whether any may.

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

        Raises
        ------
        SettingsError
            If the suite is wrong, or names a parameter that was not given.
        """
        frame = frame.reset_index(drop=True)
        outcomes, obstacles = _judge(self.suite(asset), frame, dict(parameters), known_keys)
        failures = (*obstacles, *(f for o in outcomes for f in o.failures))
        accepted, quarantined = split(frame, failures)
        reason = refusal(
            failures,
            rows=len(frame),
            bad_rows=len(quarantined),
            max_bad_share=self.settings.max_quarantined_share,
        )
        parts = (accepted, quarantined)
        result = _result(asset, len(frame), parts, outcomes, failures, reason=reason, parameters=parameters)
        return Screened(accepted, quarantined, failures, bool(reason), reason, render(result), result)


def profile(source: Path | IO[bytes], *, day: date | None = None) -> DayProfile:
    """Count a day's rows and nulls from the footer of its Parquet file.

    A column whose statistics are absent is read. A NaN that was written as a value, not as a null (pandas
    and pyarrow write nulls), is not seen.

    Parameters
    ----------
    day
        None reads it from a file name such as ``day=2013-04-01.parquet``.
    """
    if day is None:
        found = re.search(r"(\d{4}-\d{2}-\d{2})", Path(str(source)).name)
        if found is None:
            raise ValueError(f"no day in the name of {source}: say which day it holds")
        day = date.fromisoformat(found.group(1))
    with pq.ParquetFile(source) as file:
        counts = {name: _nulls(file, name, i) for i, name in enumerate(file.metadata.schema.names)}
        rows = int(file.metadata.num_rows)
    return DayProfile(day, rows, {c: n for c, n in counts.items() if not c.startswith("__index_level_")})


def _nulls(file: Any, column: str, number: int) -> int:
    groups = [file.metadata.row_group(g).column(number).statistics for g in range(file.metadata.num_row_groups)]
    if all(s is not None and s.has_null_count for s in groups):
        return sum(int(s.null_count) for s in groups)
    return int(file.read(columns=[column]).column(0).null_count)


# --- suites -------------------------------------------------------------------------------------------


def read_suite(path: Path) -> tuple[Entry, ...]:
    """Read and check a suite; every mistake is a SettingsError that names the entry and the next move.

    GX itself only logs an expectation that it does not know and goes on without it.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise SettingsError(f"{path}: no such suite; write it, or point EVERGREEN_EXPECTATIONS at yours") from err
    except (OSError, ValueError) as err:
        raise SettingsError(f"{path}: not readable as JSON ({err}); mend the file") from err
    if not isinstance(raw, dict) or not isinstance(raw.get("expectations"), list) or not raw["expectations"]:
        raise SettingsError(f'{path}: must be {{"name": …, "expectations": […]}} with at least one expectation')
    if not isinstance(raw.get("name"), str) or not raw["name"]:
        raise SettingsError(f'{path}: "name" is missing; give the suite the name of its asset, {path.stem!r}')
    return tuple(_entry(path, number, item) for number, item in enumerate(raw["expectations"], start=1))


def _entry(path: Path, number: int, item: object) -> Entry:
    def wrong(said: str) -> NoReturn:
        raise SettingsError(f"{path}: expectation {number}{named}: {said}")

    named = ""
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        wrong('must be an object with "type", "kwargs" and "meta"')
    kind, kwargs, meta = item["type"], item.get("kwargs", {}), item.get("meta", {})
    if not isinstance(kwargs, dict) or not isinstance(meta, dict):
        wrong('"kwargs" and "meta" must be objects')
    named = f" ({kind}{' on ' + str(kwargs['column']) if 'column' in kwargs else ''})"
    extra = sorted(set(item) - {"type", "kwargs", "meta"})
    if extra:
        wrong(f"unknown key {', '.join(extra)}; only type, kwargs and meta are read")
    level = meta.get("level")
    if level not in ("row", "table"):
        wrong(f'meta.level is {level!r}; say "row" (quarantine bad rows) or "table" (refuse the table)')
    if any(isinstance(v, list | dict) and _nested_parameter(v) for v in kwargs.values()):
        wrong('{"$PARAMETER": …} must be the whole value of a kwarg; GX does not look inside lists')
    try:
        expectation = ExpectationConfiguration(type=kind, kwargs=kwargs, meta={"entry": number}).to_domain_obj()
    except Exception as err:  # noqa: BLE001 - GX raises its own, pydantic's and plain ones
        wrong(f"Great Expectations refuses it ({one_line(err)}); correct its type or kwargs")
    if level == "row" and not isinstance(expectation, ROW_EXPECTATIONS):
        wrong('cannot say which rows are bad; set meta.level to "table"')
    words = (meta.get("rule"), meta.get("notes"))
    return Entry(str(path), number, kind, kwargs, cast(Level, level), *words, expectation)


def _nested_parameter(value: Any, *, top: bool = True) -> bool:
    if isinstance(value, dict):
        return (not top and "$PARAMETER" in value) or any(_nested_parameter(v, top=False) for v in value.values())
    return isinstance(value, list) and any(_nested_parameter(v, top=False) for v in value)


def _parameter_names(kwargs: Mapping[str, Any]) -> list[str]:
    given = [v["$PARAMETER"] for v in kwargs.values() if isinstance(v, dict) and "$PARAMETER" in v]
    return [name for text in given for name in re.findall(r"[A-Za-z]\w*", str(text))]


# --- validation ---------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _batch_definition() -> Any:
    context: Any = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("evergreen").add_dataframe_asset("table")
    return asset.add_batch_definition_whole_dataframe("whole")


def _judge(
    suite: tuple[Entry, ...],
    frame: pd.DataFrame,
    parameters: dict[str, object],
    known_keys: pd.DataFrame | None,
) -> tuple[list[Outcome], list[Failure]]:
    """Evaluate what can be evaluated; the second list says what kept the rest from it."""
    if frame.empty:
        untried = [Outcome(e, "not evaluated", e.say(e.kwargs)) for e in suite]
        return untried, [Failure("expect_table_row_count_to_be_between", None, "table", "the table has no rows")]
    about_keys = [e for e in suite if set(e.columns) & set(DERIVED)]
    about_rows = [e for e in suite if e not in about_keys and set(e.columns) <= set(frame.columns)]
    derived = _derived(frame, known_keys)
    results = _evaluate(about_rows, frame, parameters)
    results |= _evaluate([e for e in about_keys if set(e.columns) <= set(derived.columns)], derived, parameters)

    missing = dict.fromkeys(c for e in suite if e not in about_keys for c in e.columns if c not in frame)
    for ran in results.values():
        missing |= dict.fromkeys(_mismatched(ran, "missing"))
    obstacles = [Failure("expect_column_to_exist", c, "table", f"column '{c}' is missing") for c in missing]
    if about_keys and known_keys is None:
        said = "the inputs that these keys belong to are not there: ingest the inputs of the day first"
        obstacles.append(Failure("expect_column_to_exist", None, "table", said))

    key = [] if known_keys is None else [c for c in known_keys.columns if c in frame]
    mistyped = {e.columns[0] for e in about_rows if e.type in TYPE_EXPECTATIONS and not _met(results.get(e.number))}
    outcomes = []
    for entry in suite:
        ran = results.get(entry.number)
        mute = ran is not None and _exception(ran) and set(entry.columns) & mistyped
        if mute or (ran is None and obstacles):
            outcomes.append(Outcome(entry, "not evaluated", entry.say(entry.kwargs)))
        else:
            outcomes.append(_outcome(entry, ran, frame[key] if entry in about_keys else frame))
    return outcomes, obstacles


def _evaluate(entries: Sequence[Entry], frame: pd.DataFrame, parameters: dict[str, object]) -> dict[int, Any]:
    """Run expectations in one pass of GX; give its results by entry number."""
    if not entries:
        return {}
    suite = ExpectationSuite(name="suite", expectations=[e.expectation for e in entries])
    try:
        batch = _batch_definition().get_batch({"dataframe": frame})
        ran = batch.validate(suite, result_format=RESULT_FORMAT, expectation_parameters=parameters)
    except SuiteParameterError as err:
        raise SettingsError(
            f"{entries[0].origin}: {one_line(err)}; correct the name, or pass it; "
            f"those given are {', '.join(sorted(parameters)) or 'none'}"
        ) from err
    return {r.expectation_config.meta["entry"]: r for r in ran.results}


def _derived(frame: pd.DataFrame, known_keys: pd.DataFrame | None) -> pd.DataFrame:
    """Compare the table's keys with those of the inputs; without columns if that cannot be done."""
    if known_keys is None or not set(known_keys.columns) <= set(frame.columns):
        return pd.DataFrame(index=frame.index)
    here = pd.MultiIndex.from_frame(frame[list(known_keys.columns)])
    known = pd.MultiIndex.from_frame(known_keys)
    coverage = float(np.mean(known.isin(here))) if len(known) else 0.0
    return pd.DataFrame({"key_known": here.isin(known), "input_coverage": coverage}, index=frame.index)


def _outcome(entry: Entry, ran: Any, frame: pd.DataFrame) -> Outcome:
    """Turn GX's result of one expectation into words and row numbers; no result counts as broken."""
    rule = entry.say(entry.kwargs if ran is None else ran.expectation_config.kwargs)
    result = (ran.result or {}) if ran is not None else {}
    observed = _observed(entry, result)
    if _met(ran):
        return Outcome(entry, "met", rule, observed)
    raised = "Great Expectations gave no result" if ran is None else _exception(ran)
    if raised:
        return Outcome(entry, "unmet", rule, raised, (entry.breach(f"{rule}: {raised}"),))
    if entry.type == "expect_table_columns_to_match_set":
        extra = _mismatched(ran, "unexpected")
        found = tuple(entry.breach(f"column '{c}' is not in the contract", column=c) for c in extra)
        return Outcome(entry, "unmet", rule, observed, found)
    if "unexpected_count" not in result:
        return Outcome(entry, "unmet", rule, observed, (entry.breach(f"{rule}, but it is {observed}"),))
    return Outcome(entry, "unmet", rule, observed, _row_failures(entry, rule, result, frame))


def _row_failures(entry: Entry, rule: str, result: Mapping[str, Any], frame: pd.DataFrame) -> tuple[Failure, ...]:
    count, positions = int(result["unexpected_count"]), tuple(result.get("unexpected_index_list") or ())
    shown = _examples(entry, frame, positions)
    if entry.level == "table" or len(positions) != count:
        return (Failure(entry.type, entry.column, "table", rule, count, shown),)
    if entry.type not in UNIQUE_EXPECTATIONS:
        return (Failure(entry.type, entry.column, "row", rule, count, shown, positions),)
    clashing, repeated = spare_exact_copies(frame, positions, entry.columns)
    return tuple(
        Failure(entry.type, entry.column, "row", said, len(rows), _examples(entry, frame, rows), rows)
        for said, rows in ((rule, clashing), ("an exact copy of an earlier row", repeated))
        if rows
    )


def _met(ran: Any) -> bool:
    return ran is not None and ran.success is True and not _exception(ran)


def _exception(ran: Any) -> str:
    info = ran.exception_info or {}
    for each in [info, *info.values()]:
        if isinstance(each, dict) and each.get("raised_exception") is True:
            return f"could not be evaluated ({one_line(each.get('exception_message'))})"
    return ""


def _mismatched(ran: Any, which: str) -> list[str]:
    details = (ran.result or {}).get("details") or {}
    return list(details.get("mismatched", {}).get(which, [])) if not ran.success else []


def _observed(entry: Entry, result: Mapping[str, Any]) -> str:
    if "unexpected_count" in result:
        return f"bad: {counted(int(result['unexpected_count']))}" if result["unexpected_count"] else ""
    seen = result.get("observed_value")
    if seen is None:
        return "unknown"
    if seen == "float64" and str(entry.kwargs.get("type_")).startswith("int"):
        return "float64, as integers become when one of them is null"
    return f"{seen:.2%}" if "proportion" in entry.type else value(seen)


def _examples(entry: Entry, frame: pd.DataFrame, positions: Sequence[int]) -> tuple[str, ...]:
    """Show a few different bad values; a key with all its columns, a null by its row number."""
    if entry.type == "expect_column_values_to_not_be_null":
        return tuple(f"row {i}" for i in positions[:EXAMPLES])
    columns = [c for c in entry.columns if c in frame] or list(frame.columns)
    rows = frame.loc[list(positions[:200]), columns].itertuples(index=False, name=None)
    return tuple(dict.fromkeys(" ".join(value(v) for v in row) for row in rows))[:EXAMPLES]


def _result(
    asset: str,
    rows: int,
    screened: tuple[pd.DataFrame, pd.DataFrame],
    outcomes: Sequence[Outcome],
    failures: Sequence[Failure],
    *,
    reason: str,
    parameters: Mapping[str, object],
) -> dict[str, Any]:
    accepted, bad = (len(part) for part in screened)
    return {
        "asset": asset,
        "verdict": "refused" if reason else ("accepted, some rows quarantined" if bad else "accepted"),
        "reason": reason,
        "rows": rows,
        "accepted_rows": 0 if reason else accepted,
        "quarantined_rows": bad,
        "great_expectations": gx.__version__,
        "parameters": json.loads(json.dumps(dict(parameters), default=str)),
        "failures": [f.as_dict() for f in failures],
        "expectations": [o.as_dict() for o in outcomes],
    }
