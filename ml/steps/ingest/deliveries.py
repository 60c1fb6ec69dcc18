"""What the steps of ingest remember of deliveries: which labels were taken, and which rejection was reported."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from pydantic import ValidationError

from ml import errors
from ml.adapters import layout
from ml.adapters.rows import sha256
from ml.adapters.sources import DescribedSource
from ml.errors import DataRejected, EvergreenError, LabelsInDoubt, MissingArtifact
from ml.next_moves import rerun
from ml.records import Asset, DayFile, Delivery, Outstanding, Receipt, Rejection, Unread, Withdrawal
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)
"""Folders of storage: what is not in the registry, a file for each day of an asset, while that is so."""

LOST_DAYS = 28
"""For so many days after labels are asked for no more, it is looked whether that was reported."""
MOST_NAMED = 3
"""Of more days of an asset that were rejected for one reason, the first and the last are named."""


def stat_of(asset: Asset, day: date, services: Services) -> str | None:
    """Return what the source answers of a day without being read; None if nothing."""
    source = services.source
    try:
        return source.stat(asset, day) if isinstance(source, DescribedSource) else None
    except EvergreenError as err:
        logger.info("deliveries: the source answers nothing of %s of %s: %s", asset, day, err)
        return None


def delivery_of(asset: Asset, day: date, path: Path, stat: str | None, services: Services) -> Delivery:
    """Describe what was landed; ``stat`` is the source's answer of before, and counts only if it is unchanged."""
    same = stat is not None and stat_of(asset, day, services) == stat
    return Delivery(asset=asset, day=day, sha256=sha256(path), stat=stat if same else None)


# --- what was taken --------------------------------------------------------------------------------


def context_of(inputs: DayFile | None, services: Services) -> str:
    """Hash what the labels of a day are judged by: their contract, its settings, and the inputs they speak of."""
    suite = services.environment.expectations / "labels.json"
    facts = [
        hashlib.sha256(suite.read_bytes()).hexdigest() if suite.exists() else None,
        services.settings.screen.model_dump(mode="json"),
        None if inputs is None else inputs.md5,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_receipt(day: date, services: Services) -> Receipt | None:
    """Return which delivery of a day's labels was taken last; None if that is not known."""
    folder = services.storage_folder(layout.ingest.RECEIPTS)
    try:
        return Receipt.model_validate(folder.read_json(layout.days.day_json(day)))
    except MissingArtifact:
        return None
    except (ValidationError, ValueError) as err:
        logger.warning("deliveries: the receipt of %s cannot be read, its labels are compared anew: %s", day, err)
        return None


def write_receipt(delivery: Delivery, md5: str, context: str, services: Services) -> None:
    """Remember which delivery the registry holds as ``md5``."""
    receipt = Receipt(delivery=delivery, md5=md5, context=context)
    services.storage_folder(layout.ingest.RECEIPTS).write_json(
        layout.days.day_json(delivery.day), receipt.model_dump(mode="json")
    )


def withdraw_receipt(file: DayFile, services: Services) -> None:
    """Remember that a day's labels were taken out of the registry, so that the same content stays out."""
    receipt = read_receipt(file.day, services)
    if receipt is None or receipt.md5 != file.md5:
        receipt = Receipt(delivery=Delivery(asset="labels", day=file.day, sha256=""), md5=file.md5, context="")
    facts = receipt.model_copy(update={"withdrawn": True}).model_dump(mode="json")
    services.storage_folder(layout.ingest.RECEIPTS).write_json(layout.days.day_json(file.day), facts)


def md5_of(path: Path) -> str:
    """Hash a file as DVC does."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


# --- what was kept out -----------------------------------------------------------------------------


def rejection(
    asset: Asset,
    day: date,
    err: DataRejected,
    *,
    content: str,
    partition: date,
    replaces: bool,
    services: Services,
    doubtful: bool = False,
) -> Rejection:
    """Describe what was rejected, and find out who reports it: the first partition that rejects this very content.

    Inputs are reported each time: their run is the only one that brings them.

    Parameters
    ----------
    content
        The hash of what was rejected; empty if it could not be read.
    replaces
        Whether the registry holds the day already, as it was before.
    doubtful
        Whether these are labels in doubt: how far they are from their past changes with each day that comes in, and is
        no news of the same content.
    """
    about = "in doubt" if doubtful else str(err)
    identity = hashlib.sha256(json.dumps([asset, str(day), content, about]).encode()).hexdigest()[:24]
    first = partition if asset == "inputs" else _first(layout.ingest.labels_report(day, identity), partition, services)
    return Rejection(
        asset=asset,
        day=day,
        reason=str(err),
        identity=identity,
        partition=first,
        report_uri=err.report_uri,
        failures=tuple(dict(failure) for failure in err.failures),
        replaces=replaces,
        doubtful=doubtful,
    )


def lost_days(due: date, partition: date, services: Services) -> tuple[date, ...]:
    """Name the days whose labels no partition asks for any more, and that no other partition has named."""
    last = due - timedelta(days=services.settings.land.catch_up_days + 1)
    inputs, labels = services.registry.days("inputs"), services.registry.days("labels")
    without = [day for day in inputs if last - timedelta(days=LOST_DAYS) < day <= last and day not in labels]
    receipts = {day: read_receipt(day, services) for day in without}
    without = [day for day, receipt in receipts.items() if receipt is None or not receipt.withdrawn]
    return tuple(
        day for day in without if _first(layout.ingest.labels_report(day, "lost"), partition, services) == partition
    )


def _first(name: str, partition: date, services: Services) -> date:
    """Return the first partition that has asked for this; of two at once one is first."""
    folder = services.storage_folder(layout.ingest.REPORTED)
    folder.objects.create_bytes(folder.name(name), f'{{"partition": "{partition}"}}\n'.encode())
    return date.fromisoformat(folder.read_json(name)["partition"])


def keep_rejection(rejected: Rejection, services: Services) -> None:
    """Write down that a day of an asset was rejected, for those who look at the page; the newest answer counts."""
    facts = rejected.model_dump(mode="json")
    services.storage_folder(layout.ingest.REJECTED).write_json(
        layout.days.asset_day_json(rejected.asset, rejected.day), facts
    )


def keep_withdrawal(withdrawal: Withdrawal, services: Services) -> None:
    """Write down that a day of an asset was taken out of the registry; that it was rejected before is over."""
    reconcile(withdrawal.asset, withdrawal.day, services)
    facts = withdrawal.model_dump(mode="json")
    services.storage_folder(layout.ingest.WITHDRAWN).write_json(
        layout.days.asset_day_json(withdrawal.asset, withdrawal.day), facts
    )


def reconcile(asset: Asset, day: date, services: Services) -> None:
    """Remove what was written down of a day: the registry holds what the source has of it."""
    name = layout.days.asset_day_json(asset, day)
    for stored in map(services.storage_folder, (layout.ingest.REJECTED, layout.ingest.WITHDRAWN)):
        if stored.has(name):
            stored.objects.delete(stored.name(name))


# --- how it is reported ----------------------------------------------------------------------------


def error_of_inputs(day: date, outstanding: Outstanding) -> EvergreenError | None:
    """Return the error that there are no inputs of a partition; None if there are, or none are expected."""
    inputs = [entry for entry in outstanding.rejected if entry.asset == "inputs"]
    if inputs:
        return rejected_error([*inputs, *new_labels(day, outstanding)])
    return MissingArtifact(outstanding.absent) if outstanding.absent else None


def new_labels(day: date, outstanding: Outstanding) -> list[Rejection]:
    """Return the rejected labels that the partition of ``day`` has to report."""
    return [entry for entry in outstanding.rejected if entry.asset == "labels" and entry.partition == day]


def rejected_error(rejected: Sequence[Rejection]) -> DataRejected:
    """Return one error for all that was rejected: a line for each reason, and the report of each.

    A file of a table that cannot be read rejects each day that is asked for by the same reason: it is said once.
    """
    identities = "".join(entry.identity for entry in rejected)
    only_labels = all(entry.asset == "labels" for entry in rejected)
    alike: dict[str, list[Rejection]] = {}
    for entry in rejected:
        alike.setdefault(entry.reason + (" (the registry keeps the one before)" if entry.replaces else ""), []).append(
            entry
        )
    reasons = [reason if len(entries) == 1 else f"{names_of(entries)}: {reason}" for reason, entries in alike.items()]
    several = len(rejected) > 1
    rest = "Inputs did not wait for this: they are committed and scored" if only_labels else ""
    if several:
        message = "\n".join([f"{len(rejected)} deliveries rejected:", *(f"- {reason}" for reason in reasons), rest])
    else:
        message = ". ".join(filter(None, [*reasons, rest]))
    kind = LabelsInDoubt if all(entry.doubtful for entry in rejected) else DataRejected
    return kind(
        message.strip(),
        report_uri=next((entry.report_uri for entry in rejected if entry.report_uri), None),
        failures=tuple(
            {**failure, "about": name_of(entry)} if several else failure
            for entry in rejected
            for failure in entry.failures
        ),
        about=", ".join(map(name_of, rejected)),
        identity=hashlib.sha256(identities.encode()).hexdigest()[:24] if several else identities,
        reasons=tuple(reasons) if several else (),
        reports=tuple((name_of(entry), entry.report_uri) for entry in rejected if entry.report_uri),
    )


def name_of(rejection: Rejection) -> str:
    """Return which data were rejected, as "labels of 2013-04-01"."""
    return f"{rejection.asset} of {rejection.day}"


def names_of(rejected: Sequence[Rejection]) -> str:
    """Return which data were rejected, as "inputs of 2013-04-30, labels of 2013-04-01 to 2013-04-29 (29 days)"."""
    parts = []
    for asset in ("inputs", "labels"):
        days = sorted(entry.day for entry in rejected if entry.asset == asset)
        if len(days) > MOST_NAMED:
            parts.append(f"{asset} of {days[0]} to {days[-1]} ({len(days)} days)")
        elif days:
            parts.append(f"{asset} of {', '.join(map(str, days))}")
    return ", ".join(parts)


def unread_error(unread: Sequence[Unread], *, kind: type[EvergreenError] | None = None) -> EvergreenError:
    """Return one error for the labels whose source could not be read, of the kind of the first."""
    days, messages = ", ".join(str(entry.day) for entry in unread), dict.fromkeys(entry.message for entry in unread)
    named: type[EvergreenError] = getattr(errors, unread[0].kind, EvergreenError)
    return (kind or named)(f"labels of {days} could not be read: {'; '.join(messages)}. Inputs do not wait for them")


def lost(day: date, settings: Settings) -> str:
    """Find of a day that its labels are asked for no more."""
    return (
        f"no labels of {day} came in time (when they were due, and land.catch_up_days: {settings.land.catch_up_days} "
        "after it), or none that could be taken; no partition asks for them any more. Next: look at the source of "
        f"labels, deliver them, then {rerun('ingest', day)}"
    )
