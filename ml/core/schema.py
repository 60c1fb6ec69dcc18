"""The types of an asset's columns: what settings declare, what the data registry has learned, and what clashes.

A type is a name such as ``string``, ``int64``, ``float64``, ``bool``, ``date`` or ``timestamp[us]``. What decides
whether two days can be read together is its kind: text, number, bool, time. A column without any value is ``null``
and goes with everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from ml.conditions import parse_term
from ml.records import Asset
from ml.settings import Settings, SliceGapRule, SlicesRule

Kind = Literal["text", "number", "bool", "time", "null", "other"]
Types = Mapping[str, str]
NULL = "null"
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


def goes_with(one: str, other: str) -> bool:
    """Say whether values of two types can stand in one column without changing what they mean."""
    kinds = {kind_of(one), kind_of(other)} - {"null"}
    if kinds == {"time"} and NULL not in (one, other):
        return ("tz=" in one) == ("tz=" in other)
    return len(kinds) < 2


def widened(known: str | None, new: str) -> str:
    """Return the type of a column that has held both: the first one, but for nulls, and floats among whole numbers."""
    if known is None or known == NULL:
        return new
    return new if known.startswith(("int", "uint")) and new.startswith("float") else known


def learned(known: Types, days: Iterable[Types]) -> dict[str, str]:
    """Return the types of an asset once some days are added; a column that is new is learned with them."""
    types = dict(known)
    for day in days:
        types |= {column: widened(types.get(column), name) for column, name in day.items()}
    return types


def identities(settings: Settings) -> frozenset[str]:
    """Name the columns whose values are compared as they are written: the key, categories, groups and plain slices.

    A column that is a numeric feature too is a number.
    """
    features, rules = settings.features, settings.gate.rules.values()
    groups = {column for each in features.history for column in each.by}
    terms = [rule.by for rule in rules if isinstance(rule, SliceGapRule)]
    terms += [term for rule in rules if isinstance(rule, SlicesRule) for term in rule.by]
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


def expected_types(settings: Settings, asset: Asset, known: Mapping[Asset, Types]) -> dict[str, str]:
    """Return of what type each column of a day must be: declared, else learned.

    A key column of labels is of the type that it has in inputs, so that both can be joined exactly.

    Parameters
    ----------
    known
        What the data registry has learned, by asset.
    """
    types = {column: name for column, name in known.get(asset, {}).items() if name != NULL}
    if asset == "labels":
        inputs = known.get("inputs", {})
        types |= {column: inputs[column] for column in settings.task.key if inputs.get(column, NULL) != NULL}
    return types | declared_types(settings, asset)


def csv_types(settings: Settings, asset: Asset, known: Mapping[Asset, Types], suite: Types) -> dict[str, str]:
    """Return by which types a CSV file is read: declared, of the suite, learned, or of the column's role.

    CSV has no types. What is compared as it is written is text from the first day on, or the first code with a
    leading zero would change the type of a column.
    """
    roles = dict.fromkeys(identities(settings), "string") | dict.fromkeys(numbers(settings), "float64")
    return roles | expected_types(settings, asset, known) | dict(suite) | declared_types(settings, asset)
