"""The types of an asset's columns: what settings declare, what the data registry has learned, and what clashes.

A type is a name such as ``string``, ``int64``, ``float64``, ``bool``, ``date`` or ``timestamp[us]``. What decides
whether two days can be read together is its kind: text, number, bool, time. A column without any value is ``null``
and goes with everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Literal

import pandas as pd

from ml.conditions import parse_term
from ml.errors import DataRejected
from ml.records import Asset
from ml.settings import Settings

Kind = Literal["text", "number", "bool", "time", "null", "other"]
Types = Mapping[str, str]
NULL = "null"
CHANGE_TYPE = "evergreen schema --accept inputs.COLUMN=TYPE"
"""The command that changes the type of a column in every day of the data registry."""
MOST_NAMED = 3
NUMBERS = ("int", "uint", "float", "decimal")


def kind_of(name: str) -> Kind:
    """Return the kind of a type.

    Examples
    --------
    >>> kind_of("int32"), kind_of("float64"), kind_of("string"), kind_of("timestamp[us]")
    ('number', 'number', 'text', 'time')
    """
    if name == NULL:
        return "null"
    if name == "string":
        return "text"
    if name == "bool":
        return "bool"
    if name.startswith(NUMBERS):
        return "number"
    return "time" if name.startswith(("date", "timestamp")) else "other"


def kind_of_values(values: pd.Series) -> Kind:
    """Return the kind of a column in memory: that of its values, where pandas holds them as objects."""
    if values.isna().all():
        return "null"
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return kind_of_values(pd.Series(kind.categories))
    if pd.api.types.is_bool_dtype(kind):
        return "bool"
    if pd.api.types.is_numeric_dtype(kind):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(kind):
        return "time"
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    kinds: dict[str, Kind] = {"string": "text", "boolean": "bool", "date": "time", "datetime": "time"}
    numeric = inferred in ("integer", "floating", "mixed-integer-float", "decimal")
    return "number" if numeric else kinds.get(inferred, "other")


def refuse_mixed(asset: Asset, days: Mapping[date, Types], columns: Collection[str] | None = None) -> None:
    """Raise if a column is of one kind on some days and of another on others; None looks at all columns.

    Raises
    ------
    DataRejected
        Naming the days that are not as most are, both types and the ways out.
    """
    for column in dict.fromkeys(name for types in days.values() for name in types):
        if columns is not None and column not in columns:
            continue
        names = {day: types[column] for day, types in days.items() if types.get(column, NULL) != NULL}
        counts = Counter(kind_of(name) for name in names.values())
        if len(counts) < 2:
            continue
        usual = counts.most_common(1)[0][0]
        odd = sorted(day for day, name in names.items() if kind_of(name) != usual)
        before = next(name for name in names.values() if kind_of(name) == usual)
        more = f" and {len(odd) - MOST_NAMED} more days" if len(odd) > MOST_NAMED else ""
        raise DataRejected(
            f"{asset}: column '{column}' is {names[odd[0]]} on {', '.join(map(str, odd[:MOST_NAMED]))}{more}, but "
            f"{before} on the {counts[usual]} other days. Next: bring all days to one type ({CHANGE_TYPE}), ingest "
            f"those days again, or take them out (evergreen withdraw DAY)"
        )


def goes_with(name: str, other: str) -> bool:
    """Return whether values of two types can stand in one column without changing what they mean."""
    kinds = {kind_of(name), kind_of(other)} - {"null"}
    if kinds == {"time"} and NULL not in (name, other):
        return ("tz=" in name) == ("tz=" in other)
    return len(kinds) < 2


def widened(before: str | None, new: str) -> str:
    """Return the type of a column that has held both: the first one, but for nulls, and floats among whole numbers."""
    if before is None or before == NULL:
        return new
    return new if before.startswith(("int", "uint")) and new.startswith("float") else before


def learned(learned_types: Types, days: Iterable[Types]) -> dict[str, str]:
    """Return the types of an asset once some days are added; a column that is new is learned with them."""
    types = dict(learned_types)
    for day in days:
        types |= {column: widened(types.get(column), name) for column, name in day.items()}
    return types


def identities(settings: Settings) -> frozenset[str]:
    """Name the columns whose values are compared as they are written: the key, categories, groups and plain slices.

    A column that is a numeric feature too is a number.
    """
    features, rules = settings.features, settings.gate.rules.values()
    groups = {column for feature in features.history for column in feature.by}
    terms = [term for rule in rules if (cut := rule.cut()) is not None for term in cut.by]
    slices = {column for term in terms if isinstance(column := parse_term(term), str)}
    return frozenset({*settings.task.key, *features.categorical, *groups, *slices}) - numbers(settings) - {"day"}


def numbers(settings: Settings) -> frozenset[str]:
    """Name the columns that must be numbers: numeric and spline features, and the target of a regression."""
    target = {settings.task.target} if settings.task.kind == "regression" else set()
    return frozenset({*settings.features.numeric, *settings.features.spline, *target})


def declared_types(settings: Settings, asset: Asset) -> dict[str, str]:
    """Return the types that ``types`` in ``params.yaml`` declares; a key column of labels is of its type in inputs."""
    own = settings.types.inputs if asset == "inputs" else settings.types.labels
    key = {column: name for column, name in settings.types.inputs.items() if column in settings.task.key}
    return {**(key if asset == "labels" else {}), **own}


def declared_schema(settings: Settings) -> dict[Asset, dict[str, str]]:
    """Return what `declared_types` gives, by asset."""
    return {"inputs": declared_types(settings, "inputs"), "labels": declared_types(settings, "labels")}


def expected_types(settings: Settings, asset: Asset, learned_types: Mapping[Asset, Types]) -> dict[str, str]:
    """Return of what type each column of a day must be: declared, else learned.

    A key column of labels is of the type that it has in inputs, so that both can be joined exactly.

    Parameters
    ----------
    learned_types
        What the data registry has learned, by asset.
    """
    types = {column: name for column, name in learned_types.get(asset, {}).items() if name != NULL}
    if asset == "labels":
        inputs = learned_types.get("inputs", {})
        types |= {column: inputs[column] for column in settings.task.key if inputs.get(column, NULL) != NULL}
    return types | declared_types(settings, asset)


def csv_types(settings: Settings, asset: Asset, learned_types: Mapping[Asset, Types], suite: Types) -> dict[str, str]:
    """Return by which types a CSV file is read: declared, of the suite, learned, or of the column's role.

    CSV has no types. What is compared as it is written is text from the first day on, or the first code with a
    leading zero would change the type of a column.
    """
    roles = dict.fromkeys(identities(settings), "string") | dict.fromkeys(numbers(settings), "float64")
    return roles | expected_types(settings, asset, learned_types) | dict(suite) | declared_types(settings, asset)
