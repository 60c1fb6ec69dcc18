"""Turn the values that a driver gives into columns of Arrow, and bring the columns of several batches to one type."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from ml.errors import DataRejected

LARGEST_DECIMAL = 76
"""Digits of the widest decimal of Arrow."""
KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "booleans"),
    (int, "whole numbers"),
    (float, "numbers"),
    (Decimal, "decimals"),
    ((str, uuid.UUID), "texts"),
    (datetime, "instants"),
    (date, "dates"),
    (time, "times of day"),
    (timedelta, "durations"),
    ((bytes, bytearray, memoryview), "bytes"),
)
NUMBERS = {"whole numbers", "numbers", "decimals"}


def as_array(values: Sequence[Any], name: str, origin: str) -> pa.Array:
    """Return a column of a batch; instants with an offset are in UTC, NaN among decimals is a null.

    Raises
    ------
    DataRejected
        If the values are of several kinds, or of one that is no plain value.
    """
    types = set(map(type, values)) - {type(None)}
    kinds = {_kind(kind, name, origin) for kind in types}
    if not kinds:
        return pa.nulls(len(values))
    if kinds <= NUMBERS:
        return _numbers(values, kinds, name, origin)
    if len(kinds) > 1:
        raise _mixed(name, origin, kinds)
    (kind,) = kinds
    if kind == "texts":
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    if kind == "instants":
        return _instants(values, name, origin)
    return pa.array(values)


def _kind(kind: type, name: str, origin: str) -> str:
    words = next((plural for types, plural in KINDS if issubclass(kind, types)), kind.__name__)
    if words in {"bytes", kind.__name__}:
        raise DataRejected(
            f"{origin}: column {name!r} holds {words} in each row; make columns of plain values of it in the query, or "
            "leave it out"
        )
    return words


def _mixed(name: str, origin: str, kinds: set[str]) -> DataRejected:
    return DataRejected(
        f"{origin}: column {name!r} holds {' and '.join(sorted(kinds))}; cast it to one type in the query, or correct "
        "the rows"
    )


def _numbers(values: Sequence[Any], kinds: set[str], name: str, origin: str) -> pa.Array:
    if "decimals" in kinds:
        values = [None if isinstance(value, Decimal) and value.is_nan() else value for value in values]
        infinite = any(isinstance(value, Decimal) and not value.is_finite() for value in values)
        if "numbers" in kinds or infinite:
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        return _decimals([None if value is None else Decimal(value) for value in values])
    if "numbers" in kinds:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    for kind in (pa.int64(), pa.uint64()):
        try:
            return pa.array(values, kind)
        except (OverflowError, pa.ArrowInvalid):
            continue
    del name, origin
    return _decimals([None if value is None else Decimal(value) for value in values])


def _decimals(values: Sequence[Decimal | None]) -> pa.Array:
    """Return decimals of the digits that they need; floats, where no decimal is as wide."""
    whole, scale = 1, 0
    for value in values:
        if value is not None:
            digits, exponent = len(value.as_tuple().digits), int(value.as_tuple().exponent)
            whole, scale = max(whole, digits + exponent), max(scale, -exponent)
    kind = decimal_type(whole, scale)
    if kind is None:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array(values, kind)


def decimal_type(whole: int, scale: int) -> pa.DataType | None:
    """Return the decimal with so many digits before and behind the point; None if there is none as wide."""
    digits = whole + scale
    if digits > LARGEST_DECIMAL:
        return None
    return pa.decimal128(digits, scale) if digits <= 38 else pa.decimal256(digits, scale)


def _instants(values: Sequence[Any], name: str, origin: str) -> pa.Array:
    zoned = {value.tzinfo is not None for value in values if value is not None}
    if len(zoned) > 1:
        raise _mixed(name, origin, {"instants with an offset", "instants without one"})
    if zoned == {True}:
        values = [None if value is None else value.astimezone(UTC) for value in values]
        return pa.array(values, pa.timestamp("us", tz="UTC"))
    return pa.array(values, pa.timestamp("us"))


def common_type(kinds: Sequence[pa.DataType], name: str, origin: str) -> pa.DataType:
    """Return the type that holds the values of a column in all batches; a batch of nulls goes with any.

    Raises
    ------
    DataRejected
        If there is none.
    """
    different = [kind for kind in dict.fromkeys(kinds) if not pa.types.is_null(kind)]
    if not different:
        return pa.null()
    if len(different) == 1:
        return different[0]
    decimals = [kind for kind in different if pa.types.is_decimal(kind)]
    if not all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in different if kind not in decimals):
        raise _mixed(name, origin, {str(kind) for kind in different})
    if any(pa.types.is_floating(kind) for kind in different):
        return pa.float64()
    whole = max([20 for kind in different if pa.types.is_integer(kind)] + [k.precision - k.scale for k in decimals])
    return decimal_type(whole, max([kind.scale for kind in decimals], default=0)) or pa.float64()
