"""Validate a table in memory against the entries of a suite, by Great Expectations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock
from typing import Any

import great_expectations as gx
import numpy as np
import pandas as pd
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.exceptions.exceptions import SuiteParameterError

from ml.adapters.contracts.outcomes import EXAMPLES, Outcome, exception_of, is_met, mismatched, outcome_of
from ml.adapters.contracts.prepared import (
    RESULT_FORMAT,
    Metrics,
    can_be_prepared,
    engine_for,
    evaluate_prepared,
    prepare,
)
from ml.adapters.contracts.report import as_one_line
from ml.adapters.contracts.suite import DERIVED, Entry
from ml.core.data.contracts import Failure, comparable
from ml.core.data.keys import aligned
from ml.core.data.row_checks import NOT_NULL
from ml.errors import DataRejected, SettingsError

TYPE_EXPECTATIONS = ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list")
ONE_AT_A_TIME = Lock()
"""`batch.validate` shares an engine with one active batch: another thread would change what the first is asked."""


@dataclass(frozen=True, eq=False)
class KeyMatch:
    """How a table's keys meet those of the inputs that it should speak of.

    ``is_known`` says of each row whether its key is among them; None if the table lacks a column of the key.
    ``covered`` of ``wanted`` keys have a row.
    """

    key: tuple[str, ...]
    is_known: np.ndarray | None
    covered: int
    wanted: int

    def of_rows(self, numbers: np.ndarray | slice) -> KeyMatch:
        """Return how the keys of some rows meet the inputs; what is covered stays what all rows cover."""
        return self if self.is_known is None else replace(self, is_known=self.is_known[numbers])

    def derived(self) -> pd.DataFrame:
        """Return the columns `DERIVED`; none if they are not known."""
        if self.is_known is None:
            return pd.DataFrame()
        coverage = self.covered / self.wanted if self.wanted else 0.0
        return pd.DataFrame({"key_known": self.is_known, "input_coverage": coverage})


def match_keys(frame: pd.DataFrame, known_keys: pd.DataFrame) -> KeyMatch:
    """Compare the keys of a table of shape (n_rows, n_columns) with those of the inputs."""
    key = tuple(known_keys.columns)
    if not set(key) <= set(frame.columns):
        return KeyMatch(key, None, 0, len(known_keys))
    try:
        sides = aligned(frame[list(key)], known_keys, key)
    except DataRejected:  # text against numbers: no key is known, and the schema says why
        return KeyMatch(key, np.zeros(len(frame), dtype=bool), 0, len(known_keys))
    table_keys, input_keys = (pd.MultiIndex.from_frame(comparable(side)) for side in sides)
    covered = int(np.sum(input_keys.isin(table_keys))) if len(input_keys) else 0
    return KeyMatch(key, table_keys.isin(input_keys), covered, len(input_keys))


def judge(
    suite: Sequence[Entry],
    frame: pd.DataFrame,
    parameters: Mapping[str, object],
    keys: KeyMatch | None,
    known: Metrics | None = None,
) -> tuple[list[Outcome], list[Failure]]:
    """Evaluate what can be evaluated; the second list says what kept the rest from it.

    ``known`` are metrics of this very table that were computed before.
    """
    if frame.empty:
        untried = [Outcome(e, "not evaluated", e.describe(e.kwargs)) for e in suite]
        return untried, [Failure("expect_table_row_count_to_be_between", None, "table", "the table has no rows")]
    frame = with_typed_nulls(suite, frame)
    about_keys = [e for e in suite if set(e.columns) & set(DERIVED)]
    about_rows = [e for e in suite if e not in about_keys and set(e.columns) <= set(frame.columns)]
    derived = pd.DataFrame() if keys is None else keys.derived()
    results = evaluate(about_rows, frame, parameters, known)
    results |= evaluate([e for e in about_keys if set(e.columns) <= set(derived.columns)], derived, parameters)

    missing = dict.fromkeys(c for e in suite if e not in about_keys for c in e.columns if c not in frame)
    for validation in results.values():
        missing |= dict.fromkeys(mismatched(validation, "missing"))
    obstacles = [Failure("expect_column_to_exist", c, "table", f"column '{c}' is missing") for c in missing]
    if about_keys and keys is None:
        message = "the inputs that these keys belong to are not there: ingest the inputs of the day first"
        obstacles.append(Failure("expect_column_to_exist", None, "table", message))

    key = [] if keys is None else [c for c in keys.key if c in frame]
    mistyped = {e.columns[0] for e in about_rows if e.type in TYPE_EXPECTATIONS and not is_met(results.get(e.number))}
    outcomes = []
    for entry in suite:
        validation = results.get(entry.number)
        mute = validation is not None and exception_of(validation) and set(entry.columns) & mistyped
        if mute or (validation is None and obstacles):
            outcomes.append(Outcome(entry, "not evaluated", entry.describe(entry.kwargs)))
        else:
            outcomes.append(outcome_of(entry, validation, frame[key] if entry in about_keys else frame))
    return outcomes, obstacles


def with_typed_nulls(suite: Sequence[Entry], frame: pd.DataFrame) -> pd.DataFrame:
    """Cast a column without any value to the type of nulls among values: Great Expectations asks no type of it.

    Whole numbers with a null are float64, and are judged as such.
    """
    types: dict[str, str] = {}
    for entry in suite:
        column = entry.column
        if entry.type in TYPE_EXPECTATIONS and column in frame and frame[column].dtype == object:
            expected = entry.kwargs.get("type_") or entry.kwargs.get("type_list") or ""
            kinds = [str(kind).lower() for kind in (expected if isinstance(expected, list) else [expected])]
            if frame[column].isna().all() and all(kind.startswith(("int", "uint", "float", "bool")) for kind in kinds):
                types[str(column)] = "float64"
    return frame.astype(types) if types else frame


def renumber(outcomes: Sequence[Outcome], numbers: np.ndarray) -> list[Outcome]:
    """Change the row numbers of outcomes to those in the table that the judged rows were taken from."""

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


def evaluate(
    entries: Sequence[Entry], frame: pd.DataFrame, parameters: Mapping[str, object], known: Metrics | None = None
) -> dict[int, Any]:
    """Ask expectations of a table; return Great Expectations' results by entry number.

    Parameters
    ----------
    known
        Metrics of this very table that were computed before; None if there are none.

    Raises
    ------
    SettingsError
        If an expectation names a parameter that is not given.
    """
    if not entries:
        return {}
    sound = [entry for entry in entries if can_be_prepared(entry)]
    others = [entry for entry in entries if not can_be_prepared(entry)]
    try:
        engine = engine_for(frame)
        prepared = prepare(sound, frame, parameters, engine)
        results = evaluate_prepared(prepared, engine, dict(known or {}))
    except SuiteParameterError as err:
        raise _unknown_parameter(err, entries, parameters) from err
    except Exception:  # noqa: BLE001 - a metric or an expectation of anybody's raises what it likes
        return evaluate_anew(entries, frame, parameters)
    return results | evaluate_anew(others, frame, parameters)


def evaluate_anew(entries: Sequence[Entry], frame: pd.DataFrame, parameters: Mapping[str, object]) -> dict[int, Any]:
    """Run expectations in one pass of `batch.validate`, which prepares all anew, and puts errors into its results."""
    if not entries:
        return {}
    suite = ExpectationSuite(name="suite", expectations=[e.expectation for e in entries])
    try:
        with ONE_AT_A_TIME:
            batch = _batch_definition().get_batch({"dataframe": frame})
            results = batch.validate(suite, result_format=RESULT_FORMAT, expectation_parameters=dict(parameters))
    except SuiteParameterError as err:
        raise _unknown_parameter(err, entries, parameters) from err
    return {r.expectation_config.meta["entry"]: r for r in results.results}


def _unknown_parameter(
    err: SuiteParameterError, entries: Sequence[Entry], parameters: Mapping[str, object]
) -> SettingsError:
    return SettingsError(
        f"{entries[0].origin}: {as_one_line(err)}; correct the name, or pass it; "
        f"those given are {', '.join(sorted(parameters)) or 'none'}"
    )


def result_of(
    asset: str,
    counts: tuple[int, int],
    outcomes: Sequence[Outcome],
    failures: Sequence[Failure],
    *,
    reason: str,
    parameters: Mapping[str, object],
) -> dict[str, Any]:
    """Return what a report shows, ready for JSON; ``counts`` are the rows that passed and those that did not."""
    accepted, bad = counts
    return {
        "asset": asset,
        "verdict": "rejected" if reason else ("accepted, some rows quarantined" if bad else "accepted"),
        "reason": reason,
        "rows": accepted + bad,
        "accepted_rows": 0 if reason else accepted,
        "quarantined_rows": bad,
        "great_expectations": gx.__version__,
        "parameters": json.loads(json.dumps(dict(parameters), default=str)),
        "failures": [f.as_dict() for f in failures],
        "expectations": [o.as_dict() for o in outcomes],
    }
