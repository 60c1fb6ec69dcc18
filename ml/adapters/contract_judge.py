"""Hold a table in memory against the entries of a suite, by Great Expectations, and put what it says into words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock
from typing import Any, Literal

import great_expectations as gx
import numpy as np
import pandas as pd
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.exceptions.exceptions import SuiteParameterError

from ml.adapters.contract_report import one_line, value
from ml.adapters.contract_suite import DERIVED, Entry
from ml.core.contracts import Failure, comparable, counted, spare_exact_copies
from ml.core.keys import aligned
from ml.core.row_checks import NOT_NULL
from ml.errors import DataRejected, SettingsError

EXAMPLES = 5
WORST_FIRST = ("unmet", "not evaluated", "met")
TYPE_EXPECTATIONS = ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list")
UNIQUE_EXPECTATIONS = ("expect_compound_columns_to_be_unique", "expect_column_values_to_be_unique")
ONE_AT_A_TIME = Lock()
"""Great Expectations' engine knows one active batch: another thread would change what the first is asked about."""

RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
    "partial_unexpected_count": 0,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation."""

    entry: Entry
    status: Literal["met", "unmet", "not evaluated"]
    rule: str
    observed: str = ""
    failures: tuple[Failure, ...] = ()
    bad_rows: int = 0

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


@dataclass(frozen=True, eq=False)
class KeyMatch:
    """How a table's keys meet those of the inputs that it should speak of.

    ``known`` says of each row whether its key is among them; None if the table lacks a column of the key.
    ``covered`` of ``wanted`` keys have a row.
    """

    key: tuple[str, ...]
    known: np.ndarray | None
    covered: int
    wanted: int

    def derived(self) -> pd.DataFrame:
        """Give the columns `DERIVED`; none if they cannot be told."""
        if self.known is None:
            return pd.DataFrame()
        coverage = self.covered / self.wanted if self.wanted else 0.0
        return pd.DataFrame({"key_known": self.known, "input_coverage": coverage})


def match_keys(frame: pd.DataFrame, known_keys: pd.DataFrame) -> KeyMatch:
    """Compare the keys of a table of shape (n_rows, n_columns) with those of the inputs."""
    key = tuple(known_keys.columns)
    if not set(key) <= set(frame.columns):
        return KeyMatch(key, None, 0, len(known_keys))
    try:
        sides = aligned(frame[list(key)], known_keys, key)
    except DataRejected:  # text against numbers: no key is known, and the schema says why
        return KeyMatch(key, np.zeros(len(frame), dtype=bool), 0, len(known_keys))
    here, known = (pd.MultiIndex.from_frame(comparable(side)) for side in sides)
    covered = int(np.sum(known.isin(here))) if len(known) else 0
    return KeyMatch(key, here.isin(known), covered, len(known))


def judge(
    suite: Sequence[Entry], frame: pd.DataFrame, parameters: Mapping[str, object], keys: KeyMatch | None
) -> tuple[list[Outcome], list[Failure]]:
    """Evaluate what can be evaluated; the second list says what kept the rest from it."""
    if frame.empty:
        untried = [Outcome(e, "not evaluated", e.say(e.kwargs)) for e in suite]
        return untried, [Failure("expect_table_row_count_to_be_between", None, "table", "the table has no rows")]
    frame = _with_typed_nulls(suite, frame)
    about_keys = [e for e in suite if set(e.columns) & set(DERIVED)]
    about_rows = [e for e in suite if e not in about_keys and set(e.columns) <= set(frame.columns)]
    derived = pd.DataFrame() if keys is None else keys.derived()
    results = evaluate(about_rows, frame, parameters)
    results |= evaluate([e for e in about_keys if set(e.columns) <= set(derived.columns)], derived, parameters)

    missing = dict.fromkeys(c for e in suite if e not in about_keys for c in e.columns if c not in frame)
    for ran in results.values():
        missing |= dict.fromkeys(_mismatched(ran, "missing"))
    obstacles = [Failure("expect_column_to_exist", c, "table", f"column '{c}' is missing") for c in missing]
    if about_keys and keys is None:
        said = "the inputs that these keys belong to are not there: ingest the inputs of the day first"
        obstacles.append(Failure("expect_column_to_exist", None, "table", said))

    key = [] if keys is None else [c for c in keys.key if c in frame]
    mistyped = {e.columns[0] for e in about_rows if e.type in TYPE_EXPECTATIONS and not _met(results.get(e.number))}
    outcomes = []
    for entry in suite:
        ran = results.get(entry.number)
        mute = ran is not None and _exception(ran) and set(entry.columns) & mistyped
        if mute or (ran is None and obstacles):
            outcomes.append(Outcome(entry, "not evaluated", entry.say(entry.kwargs)))
        else:
            outcomes.append(outcome_of(entry, ran, frame[key] if entry in about_keys else frame))
    return outcomes, obstacles


def _with_typed_nulls(suite: Sequence[Entry], frame: pd.DataFrame) -> pd.DataFrame:
    """Give a column without any value the type that its nulls have beside values: Great Expectations asks none of it.

    Whole numbers with a null are float64, and are judged as such.
    """
    types: dict[str, str] = {}
    for entry in suite:
        column = entry.column
        if entry.type in TYPE_EXPECTATIONS and column in frame and frame[column].dtype == object:
            wanted = entry.kwargs.get("type_") or entry.kwargs.get("type_list") or ""
            named = [str(kind).lower() for kind in (wanted if isinstance(wanted, list) else [wanted])]
            if frame[column].isna().all() and all(kind.startswith(("int", "uint", "float", "bool")) for kind in named):
                types[str(column)] = "float64"
    return frame.astype(types) if types else frame


def renumbered(outcomes: Sequence[Outcome], numbers: np.ndarray) -> list[Outcome]:
    """Name the rows of outcomes by their numbers in the table that the judged rows were taken from."""

    def moved(failure: Failure) -> Failure:
        positions = tuple(numbers[list(failure.positions)].tolist()) if failure.positions else ()
        by_row = failure.expectation == NOT_NULL and bool(positions)
        examples = tuple(f"row {row}" for row in positions[:EXAMPLES]) if by_row else failure.examples
        return replace(failure, positions=positions, examples=examples)

    return [replace(outcome, failures=tuple(map(moved, outcome.failures))) for outcome in outcomes]


@lru_cache(maxsize=1)
def _batch_definition() -> Any:
    context: Any = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("evergreen").add_dataframe_asset("table")
    return asset.add_batch_definition_whole_dataframe("whole")


def evaluate(entries: Sequence[Entry], frame: pd.DataFrame, parameters: Mapping[str, object]) -> dict[int, Any]:
    """Run expectations in one pass of GX; give its results by entry number."""
    if not entries:
        return {}
    suite = ExpectationSuite(name="suite", expectations=[e.expectation for e in entries])
    try:
        with ONE_AT_A_TIME:
            batch = _batch_definition().get_batch({"dataframe": frame})
            ran = batch.validate(suite, result_format=RESULT_FORMAT, expectation_parameters=dict(parameters))
    except SuiteParameterError as err:
        raise SettingsError(
            f"{entries[0].origin}: {one_line(err)}; correct the name, or pass it; "
            f"those given are {', '.join(sorted(parameters)) or 'none'}"
        ) from err
    return {r.expectation_config.meta["entry"]: r for r in ran.results}


def outcome_of(entry: Entry, ran: Any, frame: pd.DataFrame) -> Outcome:
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
    bad = int(result["unexpected_count"])
    return Outcome(entry, "unmet", rule, observed, _row_failures(entry, rule, result, frame), bad)


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
    if entry.type == NOT_NULL:
        return tuple(f"row {i}" for i in positions[:EXAMPLES])
    columns = [c for c in entry.columns if c in frame] or list(frame.columns)
    rows = frame.loc[list(positions[:200]), columns].itertuples(index=False, name=None)
    return tuple(dict.fromkeys(" ".join(value(v) for v in row) for row in rows))[:EXAMPLES]


def merge_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    """Make one outcome of what became of an expectation in each part."""
    worst = min(outcomes, key=lambda outcome: WORST_FIRST.index(outcome.status))
    bad_rows = sum(outcome.bad_rows for outcome in outcomes)
    failures = merge_failures([failure for outcome in outcomes for failure in outcome.failures])
    observed = f"bad: {counted(bad_rows)}" if bad_rows else worst.observed
    return replace(worst, failures=failures, bad_rows=bad_rows, observed=observed)


def merge_failures(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    """Say once what broke in several parts, with the rows of all, but not which ones."""
    found: dict[tuple[str, str | None, str, str], Failure] = {}
    for each in failures:
        same = (each.expectation, each.column, each.level, each.message)
        before = found.get(same)
        bad = each.unexpected_rows + (before.unexpected_rows if before else 0)
        examples = tuple(dict.fromkeys([*(before.examples if before else ()), *each.examples]))[:EXAMPLES]
        found[same] = replace(each, unexpected_rows=bad, examples=examples, positions=())
    return tuple(found.values())


def result_of(
    asset: str,
    counts: tuple[int, int],
    outcomes: Sequence[Outcome],
    failures: Sequence[Failure],
    *,
    reason: str,
    parameters: Mapping[str, object],
) -> dict[str, Any]:
    """Give what a report shows, ready for JSON; ``counts`` are the rows that passed and those that did not."""
    accepted, bad = counts
    return {
        "asset": asset,
        "verdict": "refused" if reason else ("accepted, some rows quarantined" if bad else "accepted"),
        "reason": reason,
        "rows": accepted + bad,
        "accepted_rows": 0 if reason else accepted,
        "quarantined_rows": bad,
        "great_expectations": gx.__version__,
        "parameters": json.loads(json.dumps(dict(parameters), default=str)),
        "failures": [f.as_dict() for f in failures],
        "expectations": [o.as_dict() for o in outcomes],
    }
