"""Read a suite, ``expectations/<asset>.json``, and check every entry of it before any table is validated against it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, cast

logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells of each of its own closures

from great_expectations.expectations import expectation as gx_expectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from ml import names
from ml.adapters.contracts import own_expectations  # noqa: F401 - Great Expectations knows them once they are imported
from ml.adapters.contracts.report import as_one_line, rule
from ml.core.data.contracts import Failure, Level
from ml.errors import SettingsError

DERIVED = names.OF_LABELS
"""Columns that exist only while labels are validated; see `ml.adapters.contracts.Contracts.screen`."""

ROW_EXPECTATIONS = (
    gx_expectation.ColumnMapExpectation,
    gx_expectation.ColumnPairMapExpectation,
    gx_expectation.MulticolumnMapExpectation,
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
        """Return the columns that it cannot be evaluated without."""
        single = [self.kwargs.get(k) for k in ("column", "column_A", "column_B")]
        several = self.kwargs.get("column_list")
        return (*(c for c in single if isinstance(c, str)), *(several if isinstance(several, list) else ()))

    @cached_property
    def identity(self) -> str:
        """Return its number, type and kwargs as text: entries with the same ask the same, of whichever suite."""
        return json.dumps([self.number, self.type, self.kwargs])

    @property
    def column(self) -> str | None:
        """Return its columns in one string; None if it speaks of the table."""
        return ", ".join(self.columns) or None

    def describe(self, kwargs: Mapping[str, Any]) -> str:
        """Describe it in plain words, with ``kwargs`` as GX evaluated them."""
        return self.rule or rule(self.type, kwargs)

    def breach(self, message: str, *, column: str | None = None) -> Failure:
        """Make a failure that refuses the whole table."""
        return Failure(self.type, column or self.column, "table", message)


def read_suite(path: Path) -> tuple[Entry, ...]:
    """Read and check a suite; every mistake is a SettingsError that names the entry and the next move.

    GX itself only logs an expectation that it does not know and goes on without it.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise SettingsError(f"{path}: no such suite; write it, or point EVERGREEN_EXPECTATIONS at yours") from err
    except (OSError, ValueError) as err:
        raise SettingsError(f"{path}: not readable as JSON ({err}); fix the file") from err
    if not isinstance(raw, dict) or not isinstance(raw.get("expectations"), list) or not raw["expectations"]:
        raise SettingsError(f'{path}: must be {{"name": …, "expectations": […]}} with at least one expectation')
    if not isinstance(raw.get("name"), str) or not raw["name"]:
        raise SettingsError(f'{path}: "name" is missing; give the suite the name of its asset, {path.stem!r}')
    return tuple(_entry(path, number, item) for number, item in enumerate(raw["expectations"], start=1))


def _entry(path: Path, number: int, item: object) -> Entry:
    def wrong(problem: str) -> NoReturn:
        raise SettingsError(f"{path}: expectation {number}{named}: {problem}")

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
        wrong(f"Great Expectations refuses it ({as_one_line(err)}); correct its type or kwargs")
    if level == "row" and not isinstance(expectation, ROW_EXPECTATIONS):
        wrong('cannot say which rows are bad; set meta.level to "table"')
    words = (meta.get("rule"), meta.get("notes"))
    return Entry(str(path), number, kind, kwargs, cast(Level, level), *words, expectation)


def _nested_parameter(value: Any, *, top: bool = True) -> bool:
    if isinstance(value, dict):
        return (not top and "$PARAMETER" in value) or any(_nested_parameter(v, top=False) for v in value.values())
    return isinstance(value, list) and any(_nested_parameter(v, top=False) for v in value)


def parameter_names(kwargs: Mapping[str, Any]) -> list[str]:
    """List the parameters that an expectation asks for, also those within a sum or product."""
    expressions = [v["$PARAMETER"] for v in kwargs.values() if isinstance(v, dict) and "$PARAMETER" in v]
    return [name for text in expressions for name in re.findall(r"[A-Za-z]\w*", str(text))]
