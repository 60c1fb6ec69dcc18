"""Take days out of the data registry, as a new data version; the older versions keep them.

For a day that is found bad after it was committed: nothing is trained on it, and nothing looks back on it, from then
on. Labels with the same content stay out, other content comes in by itself. Ingest the day again once its source is
right.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import date

from ml.adapters.sources import ASSETS
from ml.command_line import execute, iso_day, parser
from ml.records import Asset, DataVersion, Withdrawal
from ml.settings import Settings
from ml.steps.ingest import deliveries
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)


def run(
    days: Sequence[date], *, assets: Sequence[Asset], reason: str, settings: Settings, services: Services
) -> DataVersion:
    """Make a data version without these days.

    Parameters
    ----------
    assets
        What is taken out of each day.
    reason
        Kept in the version's message.

    Raises
    ------
    MissingArtifact
        If the newest version holds nothing of these days.
    """
    del settings
    held = {asset: services.registry.days(asset) for asset in assets}
    there = [(asset, day) for day in days for asset in assets if day in held[asset]]
    named = ", ".join(f"{asset} of {day}" for asset, day in there) or ", ".join(map(str, days))
    because = f": {reason}" if reason else ""
    wanted: list[tuple[Asset, date]] = there or [(asset, day) for day in days for asset in assets]
    version = services.registry.remove(wanted, message=f"Take out {named}{because}")
    for asset, day in there:
        if asset == "labels":
            deliveries.withdraw_receipt(held["labels"][day], services)
        withdrawal = Withdrawal(asset=asset, day=day, reason=reason, data_version=version.rev)
        deliveries.keep_withdrawal(withdrawal, services)
    logger.info("withdraw: data version %s without %s", version.rev, named)
    return version


def main(argv: list[str] | None = None) -> int:
    """Take out the days that are named."""
    arguments = parser(__doc__)
    arguments.add_argument("day", nargs="+", type=iso_day, help="such as 2013-04-01")
    arguments.add_argument("--asset", choices=ASSETS, help="only this one of the day; default: inputs and labels")
    arguments.add_argument("--reason", default="", help="kept in the message of the data version")
    options = arguments.parse_args(argv)

    def work() -> DataVersion:
        services = open_services()
        assets: tuple[Asset, ...] = (options.asset,) if options.asset else ("inputs", "labels")
        return run(options.day, assets=assets, reason=options.reason, settings=services.settings, services=services)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
