"""Keep the types of the columns next to the days: ``schema.json``, learned at the first commit, enforced at each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date

from ml.core.data.schema import Types, goes_with, learned
from ml.errors import DataRejected, EvergreenError
from ml.records import Asset

SCHEMA = "schema.json"
Schema = Mapping[Asset, Types]


def parse_schema(data: bytes) -> Schema:
    """Read ``schema.json``."""
    try:
        schema = json.loads(data)
        return {asset: {str(column): str(name) for column, name in schema[asset].items()} for asset in schema}
    except (ValueError, AttributeError, TypeError) as err:
        raise EvergreenError(f"{SCHEMA} of the data registry is damaged ({err}); revert the commit") from err


def schema_file(
    recorded: Schema, days: Mapping[tuple[Asset, date], Types], declared: Schema | None
) -> dict[str, bytes]:
    """Return ``schema.json`` as it is once some days are added.

    Raises
    ------
    DataRejected
        If a column of a day is of another kind of type than before, or than in another of the days.
    """
    after: dict[Asset, dict[str, str]] = {}
    for asset in ("inputs", "labels"):
        types = {**recorded.get(asset, {}), **(declared or {}).get(asset, {})}
        for (of, day), day_types in sorted(days.items()):
            if of == asset:
                _check(asset, day, day_types, types)
                types = learned(types, [day_types])
        after[asset] = types
    return {SCHEMA: (json.dumps(after, indent=2, sort_keys=True) + "\n").encode()}


def _check(asset: Asset, day: date, day_types: Types, types: Types) -> None:
    for column, name in day_types.items():
        if column in types and not goes_with(name, types[column]):
            raise DataRejected(
                f"{asset} of {day}: column '{column}' is {name}, but the days before hold {types[column]}. "
                f"Next: deliver it as {types[column]}, or, if the new type is right, change the schema: "
                f"evergreen schema --accept {asset}.{column}={name}"
            )
