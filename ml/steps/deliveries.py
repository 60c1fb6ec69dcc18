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
from ml.adapters.rows import sha256
from ml.adapters.sources import DescribedSource
from ml.errors import DataRejected, EvergreenError, MissingArtifact
from ml.records import Asset, DayFile, Delivery, Outstanding, Receipt, Rejection, Unread
from ml.wiring import Services

logger = logging.getLogger(__name__)
LOST_DAYS = 28
"""For so many days after labels are asked for no more, it is looked whether that was reported."""


def stat_of(asset: Asset, day: date, services: Services) -> str | None:
    """Return what the source tells of a day without being read; None if it tells nothing."""
    source = services.source
    try:
        return source.stat(asset, day) if isinstance(source, DescribedSource) else None
    except EvergreenError as err:
        logger.info("deliveries: the source tells nothing of %s of %s: %s", asset, day, err)
        return None


def delivery_of(asset: Asset, day: date, path: Path, stat: str | None, services: Services) -> Delivery:
    """Describe what was landed; ``stat`` is what the source told before, and counts only if it tells the same now."""
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
    folder = services.shelf("receipts/labels")
    try:
        return Receipt.model_validate(folder.read_json(f"day={day}.json"))
    except MissingArtifact:
        return None
    except (ValidationError, ValueError) as err:
        logger.warning("deliveries: the receipt of %s cannot be read, its labels are compared anew: %s", day, err)
        return None


def write_receipt(delivery: Delivery, md5: str, context: str, services: Services) -> None:
    """Remember which delivery the registry holds as ``md5``."""
    receipt = Receipt(delivery=delivery, md5=md5, context=context)
    services.shelf("receipts/labels").write_json(f"day={delivery.day}.json", receipt.model_dump(mode="json"))


def withdraw_receipt(file: DayFile, services: Services) -> None:
    """Remember that a day's labels were taken out of the registry, so that the same content stays out."""
    known = read_receipt(file.day, services)
    if known is None or known.md5 != file.md5:
        known = Receipt(delivery=Delivery(asset="labels", day=file.day, sha256=""), md5=file.md5, context="")
    facts = known.model_copy(update={"withdrawn": True}).model_dump(mode="json")
    services.shelf("receipts/labels").write_json(f"day={file.day}.json", facts)


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
) -> Rejection:
    """Describe what was rejected, and find out who reports it: the first partition that rejects this very content.

    Inputs are reported each time: their run is the only one that brings them.

    Parameters
    ----------
    content
        The hash of what was rejected; empty if it could not be read.
    replaces
        Whether the registry holds the day already, as it was before.
    """
    identity = hashlib.sha256(json.dumps([asset, str(day), content, str(err)]).encode()).hexdigest()[:24]
    first = partition if asset == "inputs" else _first(f"labels/day={day}/{identity}", partition, services)
    return Rejection(
        asset=asset,
        day=day,
        reason=str(err),
        identity=identity,
        partition=first,
        report_uri=err.report_uri,
        failures=tuple(dict(failure) for failure in err.failures),
        replaces=replaces,
    )


def lost_days(due: date, partition: date, services: Services) -> tuple[date, ...]:
    """Name the days whose labels no partition asks for any more, and that no other partition has named."""
    last = due - timedelta(days=services.settings.land.catch_up_days + 1)
    inputs, labels = services.registry.days("inputs"), services.registry.days("labels")
    without = [day for day in inputs if last - timedelta(days=LOST_DAYS) < day <= last and day not in labels]
    receipts = {day: read_receipt(day, services) for day in without}
    without = [day for day, receipt in receipts.items() if receipt is None or not receipt.withdrawn]
    return tuple(day for day in without if _first(f"labels/day={day}/lost", partition, services) == partition)


def _first(name: str, partition: date, services: Services) -> date:
    """Return the first partition that has asked for this; of two at once one is first."""
    folder = services.shelf("reported")
    folder.objects.create_bytes(folder.name(f"{name}.json"), f'{{"partition": "{partition}"}}\n'.encode())
    return date.fromisoformat(folder.read_json(f"{name}.json")["partition"])


# --- how it is reported ----------------------------------------------------------------------------


def error_of_inputs(day: date, outstanding: Outstanding) -> EvergreenError | None:
    """Return the error that there are no inputs of a partition; None if there are, or none are expected."""
    inputs = [each for each in outstanding.rejected if each.asset == "inputs"]
    if inputs:
        return rejected_error([*inputs, *new_labels(day, outstanding)])
    return MissingArtifact(outstanding.absent) if outstanding.absent else None


def new_labels(day: date, outstanding: Outstanding) -> list[Rejection]:
    """Return the rejected labels that the partition of ``day`` has to report."""
    return [each for each in outstanding.rejected if each.asset == "labels" and each.partition == day]


def rejected_error(rejected: Sequence[Rejection]) -> DataRejected:
    """Return one error for all that was rejected; the report is that of the first."""
    identities = "".join(each.identity for each in rejected)
    only_labels = all(each.asset == "labels" for each in rejected)
    reasons = [each.reason + (" (the registry keeps the one before)" if each.replaces else "") for each in rejected]
    return DataRejected(
        "; ".join(reasons) + (". Inputs did not wait for this: they are committed and scored" if only_labels else ""),
        report_uri=next((each.report_uri for each in rejected if each.report_uri), None),
        failures=tuple(failure for each in rejected for failure in each.failures),
        about=", ".join(f"{each.asset} of {each.day}" for each in rejected),
        identity=hashlib.sha256(identities.encode()).hexdigest()[:24] if len(rejected) > 1 else identities,
    )


def unread_error(unread: Sequence[Unread], *, kind: type[EvergreenError] | None = None) -> EvergreenError:
    """Return one error for the labels whose source could not be read, of the kind of the first."""
    days, messages = ", ".join(str(each.day) for each in unread), dict.fromkeys(each.message for each in unread)
    named: type[EvergreenError] = getattr(errors, unread[0].kind, EvergreenError)
    return (kind or named)(f"labels of {days} could not be read: {'; '.join(messages)}. Inputs do not wait for them")
