"""Show the types of the columns in the data registry, or change one on purpose.

A type is changed in every day at once, as one new data version: the older ones keep the days as they were. Nothing is
lost by it: a day whose values are not of the new type is named, and nothing is changed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ml.adapters.column_types import retyped
from ml.command_line import execute, parser
from ml.errors import MissingArtifact
from ml.records import Asset
from ml.settings import Settings, TypeName
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TypeChange:
    """A column of an asset, and the type that it shall have."""

    asset: Asset
    column: str
    type: str

    @classmethod
    def parse(cls, text: str) -> TypeChange:
        """Read ``inputs.region=string``; argparse turns the error into exit code 2."""
        name, _, kind = text.partition("=")
        asset, _, column = name.partition(".")
        if asset not in get_args(Asset) or not column or kind not in get_args(TypeName):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not like inputs.region=string; types are {', '.join(get_args(TypeName))}"
            )
        return cls("inputs" if asset == "inputs" else "labels", column, kind)


def run(changes: Sequence[TypeChange], *, settings: Settings, services: Services) -> dict[str, Any]:
    """Change the types of some columns in every day, and return the schema; a key column changes in labels too.

    Raises
    ------
    MissingArtifact
        If no day has such a column.
    DataRejected
        If a value is not of the new type, or would not come back as it was written.
    """
    registry = services.registry
    wanted = {(change.asset, change.column): change.type for change in changes}
    for change in changes:
        if change.asset == "inputs" and change.column in settings.task.key:
            wanted.setdefault(("labels", change.column), change.type)
    for asset, column in wanted:
        if column not in registry.schema().get(asset, {}):
            raise MissingArtifact(
                f"the data registry holds no column '{column}' of {asset}; it has "
                f"{', '.join(sorted(registry.schema().get(asset, {}))) or 'none'}"
            )
    if wanted:
        with tempfile.TemporaryDirectory() as folder:
            files = {
                (asset, day): retyped(path, Path(folder) / f"{asset}-{day}.parquet", f"{asset} of {day}", types)
                for asset, types in _by_asset(wanted).items()
                for day, path in registry.open(asset).items()
            }
            description = ", ".join(f"{asset}.{column} is {name}" for (asset, column), name in wanted.items())
            days = [day for _, day in files]
            arrivals = registry.arrivals(min(days), max(days))
            version = registry.commit(
                files,
                message=f"Change the schema: {description}",
                arrived={day: came[-1].partition for day, came in arrivals.items()},
                declared=_by_asset(wanted),
            )
        logger.info("schema: data version %s: %s", version.rev, description)
    return {asset: dict(sorted(types.items())) for asset, types in registry.schema().items()}


def _by_asset(wanted: Mapping[tuple[Asset, str], str]) -> dict[Asset, dict[str, str]]:
    return {
        asset: {column: name for (of, column), name in wanted.items() if of == asset}
        for asset in dict.fromkeys(asset for asset, _ in wanted)
    }


def main(argv: list[str] | None = None) -> int:
    """Print the schema, after the changes that are asked for."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--accept",
        action="append",
        type=TypeChange.parse,
        default=[],
        metavar="ASSET.COLUMN=TYPE",
        help="change a type in every day, such as inputs.region=string",
    )
    options = arguments.parse_args(argv)

    def work() -> dict[str, Any]:
        services = open_services()
        return run(options.accept, settings=services.settings, services=services)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
