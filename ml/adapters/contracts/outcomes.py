"""Put what Great Expectations says of an expectation into words and row numbers, of a table or of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from ml.adapters.contracts.report import as_one_line, value
from ml.adapters.contracts.suite import Entry
from ml.core.data.contracts import Failure, counted, spare_exact_copies
from ml.core.data.row_checks import NOT_NULL

EXAMPLES = 5
WORST_FIRST = ("unmet", "not evaluated", "met")
UNIQUE_EXPECTATIONS = ("expect_compound_columns_to_be_unique", "expect_column_values_to_be_unique")


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation."""

    entry: Entry
    status: Literal["met", "unmet", "not evaluated"]
    rule: str
    observed: str = ""
    failures: tuple[Failure, ...] = ()
    bad_rows: int = 0
    measured: Mapping[str, float | None] | None = None
    """What was measured of all rows together, with its accepted range: ``value``, ``low``, ``high``."""

    def as_dict(self) -> dict[str, object]:
        """Return what the report shows, ready for JSON."""
        return {
            "expectation": self.entry.type,
            "column": self.entry.column,
            "level": self.entry.level,
            "status": self.status,
            "rule": self.rule,
            "notes": self.entry.notes,
            "observed": self.observed,
            "measured": None if self.measured is None else dict(self.measured),
            "examples": [e for f in self.failures for e in f.examples][:EXAMPLES],
        }


def outcome_of(entry: Entry, validation: Any, frame: pd.DataFrame) -> Outcome:
    """Turn GX's result of one expectation into words and row numbers; no result counts as broken."""
    return replace(_judged(entry, validation, frame), measured=_measured(entry, validation))


def _judged(entry: Entry, validation: Any, frame: pd.DataFrame) -> Outcome:
    rule = entry.describe(entry.kwargs if validation is None else validation.expectation_config.kwargs)
    result = (validation.result or {}) if validation is not None else {}
    observed = _describe_observed(entry, result)
    if is_met(validation):
        return Outcome(entry, "met", rule, observed)
    raised = "Great Expectations gave no result" if validation is None else exception_of(validation)
    if raised:
        return Outcome(entry, "unmet", rule, raised, (entry.breach(f"{rule}: {raised}"),))
    if entry.type == "expect_table_columns_to_match_set":
        extra = mismatched(validation, "unexpected")
        failures = tuple(entry.breach(f"column '{c}' is not in the contract", column=c) for c in extra)
        return Outcome(entry, "unmet", rule, observed, failures)
    if "unexpected_count" not in result:
        return Outcome(entry, "unmet", rule, observed, (entry.breach(f"{rule}, but it is {observed}"),))
    bad = int(result["unexpected_count"])
    return Outcome(entry, "unmet", rule, observed, _build_failures(entry, rule, result, frame), bad)


def is_met(validation: Any) -> bool:
    """Return whether GX gave a result, and that the expectation is met."""
    met = validation is not None and isinstance(validation.success, bool | np.bool_) and bool(validation.success)
    return met and not exception_of(validation)


def exception_of(validation: Any) -> str:
    """Return what kept GX from evaluating an expectation; an empty text if nothing did."""
    info = validation.exception_info or {}
    for details in [info, *info.values()]:
        if isinstance(details, dict) and details.get("raised_exception") is True:
            return f"could not be evaluated ({as_one_line(details.get('exception_message'))})"
    return ""


def mismatched(validation: Any, which: str) -> list[str]:
    """Return the columns that a table lacks (``missing``), or has too many (``unexpected``)."""
    details = (validation.result or {}).get("details") or {}
    return list(details.get("mismatched", {}).get(which, [])) if not validation.success else []


def _build_failures(entry: Entry, rule: str, result: Mapping[str, Any], frame: pd.DataFrame) -> tuple[Failure, ...]:
    count, positions = int(result["unexpected_count"]), tuple(result.get("unexpected_index_list") or ())
    examples = _find_examples(entry, frame, positions)
    if entry.level == "table" or len(positions) != count:
        return (Failure(entry.type, entry.column, "table", rule, count, examples),)
    if entry.type not in UNIQUE_EXPECTATIONS:
        return (Failure(entry.type, entry.column, "row", rule, count, examples, positions),)
    clashing, repeated = spare_exact_copies(frame, positions, entry.columns)
    return tuple(
        Failure(entry.type, entry.column, "row", message, len(rows), _find_examples(entry, frame, rows), rows)
        for message, rows in ((rule, clashing), ("an exact copy of an earlier row", repeated))
        if rows
    )


def _describe_observed(entry: Entry, result: Mapping[str, Any]) -> str:
    if "unexpected_count" in result:
        return f"bad: {counted(int(result['unexpected_count']))}" if result["unexpected_count"] else ""
    observed = result.get("observed_value")
    if observed is None:
        return "unknown"
    if observed == "float64" and str(entry.kwargs.get("type_")).startswith("int"):
        return "float64, as integers become when one of them is null or has a fraction"
    return f"{observed:.2%}" if "proportion" in entry.type else value(observed)


def _measured(entry: Entry, validation: Any) -> dict[str, float | None] | None:
    """Return a figure of all rows together with the range that is asked of it; None if none is asked."""
    value = None if validation is None else _figure((validation.result or {}).get("observed_value"))
    if value is None or not entry.type.endswith("_to_be_between"):
        return None
    kwargs = validation.expectation_config.kwargs
    return {"value": value, "low": _figure(kwargs.get("min_value")), "high": _figure(kwargs.get("max_value"))}


def _figure(value: Any) -> float | None:
    is_number = isinstance(value, int | float | np.integer | np.floating)
    return float(value) if is_number and np.isfinite(value) else None


def _find_examples(entry: Entry, frame: pd.DataFrame, positions: Sequence[int]) -> tuple[str, ...]:
    """Show a few different bad values; a key with all its columns, a null by its row number."""
    if entry.type == NOT_NULL:
        return tuple(f"row {i}" for i in positions[:EXAMPLES])
    columns = [c for c in entry.columns if c in frame] or list(frame.columns)
    rows = frame.loc[list(positions[:200]), columns].itertuples(index=False, name=None)
    return tuple(dict.fromkeys(" ".join(value(v) for v in row) for row in rows))[:EXAMPLES]


def without_positions(outcome: Outcome) -> Outcome:
    """Return an outcome whose failures do not name their rows."""
    return replace(outcome, failures=tuple(replace(failure, positions=()) for failure in outcome.failures))


def merge_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    """Make one outcome of what became of an expectation in each part."""
    worst = min(outcomes, key=lambda outcome: WORST_FIRST.index(outcome.status))
    bad_rows = sum(outcome.bad_rows for outcome in outcomes)
    failures = merge_failures([failure for outcome in outcomes for failure in outcome.failures])
    observed = f"bad: {counted(bad_rows)}" if bad_rows else worst.observed
    return replace(worst, failures=failures, bad_rows=bad_rows, observed=observed)


def merge_failures(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    """Merge what broke in several parts, with the rows of all, but not which ones."""
    merged: dict[tuple[str, str | None, str, str], Failure] = {}
    for failure in failures:
        identity = (failure.expectation, failure.column, failure.level, failure.message)
        earlier = merged.get(identity)
        bad = failure.unexpected_rows + (earlier.unexpected_rows if earlier else 0)
        examples = tuple(dict.fromkeys([*(earlier.examples if earlier else ()), *failure.examples]))[:EXAMPLES]
        merged[identity] = replace(failure, unexpected_rows=bad, examples=examples, positions=())
    return tuple(merged.values())
