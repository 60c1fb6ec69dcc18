"""What the columns of an asset must be, by settings and data registry: what landing and screening share."""

from __future__ import annotations

from collections.abc import Mapping

from ml.adapters.column_types import Expected
from ml.core.data.schema import Types, declared_types, expected_types, identities, numbers
from ml.errors import MissingArtifact
from ml.records import Asset
from ml.settings import Settings
from ml.wiring import Services


def expected_of(settings: Settings, asset: Asset, learned: Mapping[Asset, Types]) -> Expected:
    """Return what the columns of an asset must be, and who says so."""
    declared, needed = declared_types(settings, asset), numbers(settings)
    where = dict.fromkeys(needed, "params.yaml asks for a number,")
    where |= dict.fromkeys(learned.get(asset, {}), "the data registry holds")
    where |= dict.fromkeys(declared, "types in params.yaml declares")
    types = expected_types(settings, asset, learned)
    return Expected(types, identities(settings), needed, frozenset(declared), where)


def learned_types(services: Services) -> Mapping[Asset, Types]:
    """Return the types that the data registry has learned, by asset; nothing if there is no registry yet."""
    try:
        return services.registry.schema()
    except MissingArtifact:
        return {}
