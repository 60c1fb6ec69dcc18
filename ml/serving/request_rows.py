"""Turn the body of a request into rows of the types that the model's inputs have in the data registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import orjson
import pyarrow as pa

from ml.adapters.column_types import arrow_type
from ml.core.data.row_checks import LARGEST
from ml.core.data.schema import kind_of
from ml.serving.problems import Refused, UnfitValue, unfit

Rows = Sequence[Mapping[str, Any]]
DAY = "day"
MOST_NAMED = 20
"""So many unfit values are named."""

EXPECTED = {
    "text": "text or null",
    "number": "a number or null",
    "bool": "true, false or null",
    "time": "an ISO date or time as text, or null",
    "null": "null: the column has had no value yet",
    "other": "a value of the column's type or null",
}


def parse(body: bytes) -> Any:
    """Read JSON; refuse what is none with 400."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise Refused(400, f"the body is not JSON ({err}); NaN and Infinity are none: send null") from err


def records_of(body: Any) -> Rows:
    """Return the rows of a request of our own form: ``{"rows": [{column: value, ...}, ...]}``."""
    rows = body.get("rows") if isinstance(body, Mapping) else body
    return _records(rows, "rows")


def invocation_records(body: Any) -> Rows:
    """Return the rows of a request as MLflow's scoring server takes it.

    These are ``dataframe_split``, ``dataframe_records``, ``inputs`` (columns by name, or records) and ``instances``.
    """
    if isinstance(body, Mapping):
        if "dataframe_split" in body:
            return _from_split(body["dataframe_split"])
        for form in ("dataframe_records", "instances"):
            if form in body:
                return _records(body[form], form)
        if "inputs" in body:
            inputs = body["inputs"]
            return _from_columns(inputs) if isinstance(inputs, Mapping) else _records(inputs, "inputs")
    raise unfit([UnfitValue(None, None, "one of dataframe_split, dataframe_records, inputs and instances")])


def _from_split(split: Any) -> Rows:
    columns, data = (split.get("columns"), split.get("data")) if isinstance(split, Mapping) else (None, None)
    if not isinstance(columns, list) or not isinstance(data, list) or not all(isinstance(n, str) for n in columns):
        raise unfit([UnfitValue(None, None, "dataframe_split with the lists columns and data")])
    short = [
        UnfitValue(None, number, f"a list of {len(columns)} values")
        for number, values in enumerate(data)
        if not isinstance(values, list) or len(values) != len(columns)
    ]
    if short:
        raise unfit(short[:MOST_NAMED])
    return [dict(zip(columns, values, strict=True)) for values in data]


def _from_columns(columns: Mapping[str, Any]) -> Rows:
    lists = {name: values if isinstance(values, list) else [values] for name, values in columns.items()}
    if len({len(values) for values in lists.values()}) > 1:
        raise unfit([UnfitValue(None, None, "inputs whose columns have the same number of values")])
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _records(rows: Any, form: str) -> Rows:
    if not isinstance(rows, list):
        raise unfit([UnfitValue(None, None, f"{form} with a list of rows")])
    wrong = [
        UnfitValue(None, number, "an object with a value for each column")
        for number, row in enumerate(rows)
        if not isinstance(row, dict)
    ]
    if wrong:
        raise unfit(wrong[:MOST_NAMED])
    return rows


def as_table(
    rows: Rows, types: Mapping[str, str], *, needed: Iterable[str], today: date, computed: set[str]
) -> pa.Table:
    """Return rows as a table with the columns that a model reads, and those of the key.

    Parameters
    ----------
    types
        The type of each column, by its name: those of the data registry.
    needed
        The columns that each row must have; ``day`` need not be there, and is ``today`` then.
    computed
        Columns that the service computes itself: a row that has one is refused.

    Raises
    ------
    Refused
        With 422, naming column, row and what was expected.
    """
    wanted = set(needed) - {DAY}
    problems: list[UnfitValue] = []
    for number, row in enumerate(rows):
        if not wanted <= row.keys():
            problems += [
                UnfitValue(name, number, f"a value: {EXPECTED[kind_of(types[name])]}")
                for name in sorted(wanted - row.keys())
            ]
        if computed and not computed.isdisjoint(row):
            problems += [
                UnfitValue(name, number, "no value: lagged target means are looked up, never sent")
                for name in sorted(computed & row.keys())
            ]
        if len(problems) >= MOST_NAMED:
            break
    if problems:
        raise unfit(problems[:MOST_NAMED])
    columns, default = {}, today.isoformat()
    for name, kind in types.items():
        values = [row.get(name, default) for row in rows] if name == DAY else [row.get(name) for row in rows]
        columns[name] = _column(name, values, kind, problems)
    if problems:
        raise unfit(problems[:MOST_NAMED])
    return pa.table(columns)


def days_of(table: pa.Table) -> list[str]:
    """Return the distinct days of rows, in order; refuse what is none."""
    problems, days = [], dict.fromkeys(table[DAY].to_pylist())
    for value in days:
        try:
            if date.fromisoformat(str(value)).isoformat() != value:
                raise ValueError(value)
        except ValueError:
            row = table[DAY].to_pylist().index(value)
            problems.append(UnfitValue(DAY, row, "a day such as 2013-04-01"))
    if problems:
        raise unfit(problems[:MOST_NAMED])
    return [str(day) for day in days]


def _column(name: str, values: list[Any], kind: str, problems: list[UnfitValue]) -> pa.Array | None:
    """Build a column; what is wrong with it is added to ``problems``."""
    wrong = [] if _fit(values, kind) else [at for at, value in enumerate(values) if not _fit([value], kind)]
    if not wrong:
        try:
            return _array(values, kind)
        except (pa.ArrowException, ValueError, OverflowError):
            wrong = [number for number, value in enumerate(values) if _fails(value, kind)]
    expected = EXPECTED[kind_of(kind)]
    if kind.startswith(("int", "uint")):
        expected = f"a whole number ({kind}) or null"
    problems += [UnfitValue(name, number, expected) for number in wrong[:MOST_NAMED]]
    return None


def _array(values: list[Any], kind: str) -> pa.Array:
    if kind_of(kind) == "time":
        read = date.fromisoformat if kind == "date" else datetime.fromisoformat
        values = [None if value is None else read(value) for value in values]
    elif kind.startswith(("int", "uint")):
        values = [int(value) if type(value) is float else value for value in values]
    return pa.array(values, arrow_type(kind))


def _fails(value: Any, kind: str) -> bool:
    try:
        _array([value], kind)
    except (pa.ArrowException, ValueError, OverflowError):
        return True
    return False


def _fit(values: list[Any], kind: str) -> bool:
    """Return whether all values fit a column: by a look at their types, and at those numbers that are floats."""
    family, types = kind_of(kind), set(map(type, values)) - {type(None)}
    if family == "number" and types <= {int, float}:
        is_whole = kind.startswith(("int", "uint"))
        floats = (value for value in values if type(value) is float)
        return all(value.is_integer() if is_whole else abs(value) <= LARGEST for value in floats)
    return family == "other" or types <= _TYPES.get(family, set())


_TYPES: Mapping[str, set[type]] = {"text": {str}, "bool": {bool}, "time": {str}}
