"""Keep every alert in storage until each channel has delivered it: nothing is lost while one is down.

``create (once) → claim → deliver → receipt``, for each channel by itself

An alert is one object, ``outbox/alerts/KEY.json``, whose key follows from what happened: whoever enqueues the
same again finds it there. A claim keeps two runs from delivering it at once by one channel. Killed between the
delivery and its receipt, it is delivered a second time, some minutes on: a channel whose other side can ignore what it
has already hands on the key. A channel that does not work never turns a task red, and keeps nothing from another:
every later alert, and every run of *monitor*, delivers what waits, oldest first.
"""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from evergreen.alerts.channel import Busy, NotTaken, Unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evergreen.alerts.channel import Channel
    from ml.adapters.storage import Objects
    from ml.records import Alert, DeliveryReceipt, QueuedAlert
    from ml.settings import MailKind
    from ml.wiring import Services

log = logging.getLogger(__name__)
LEASE = timedelta(minutes=15)
"""Whoever has claimed a delivery for longer was killed."""
FAILURES = 2
"""So many failures in a row mean that a channel does not work."""
LONGEST_PAUSE = timedelta(hours=6)
"""A channel that asks to be left alone for longer is tried again after this time."""


def enqueue(alert: Alert, services: Services) -> str | None:
    """Put an alert into the outbox, once, and deliver all that waits.

    Returns
    -------
    str or None
        Its key; None if no channel wants it (an empty list under ``notify``).

    Raises
    ------
    Unavailable
        If the storage did not answer: the alert may not be kept, try again. A channel that does not
        work raises nothing.
    """
    from ml.adapters import layout
    from ml.records import QueuedAlert

    channels = [name for name in services.settings.notify.channels if _wanted(name, alert, services)]
    if not channels:
        log.info("nobody is notified of %r: notify gives no channel, or no recipients of %s", alert.title, alert.kind)
        return None
    queued = QueuedAlert(alert=alert, channels=tuple(channels))
    if services.storage.create_bytes(layout.alerts.alert(alert.key), queued.model_dump_json(indent=2).encode()):
        log.info("%r is in the outbox for %s", alert.title, ", ".join(channels))
    else:
        log.info("%r was in the outbox before", alert.title)
    flush(services)
    return alert.key


def compose(
    kind: MailKind,
    key: str,
    template: str,
    title: str,
    facts: Mapping[str, Any],
    services: Services,
    **more: Any,
) -> Alert:
    """Build an alert of this model that happened now; its facts become JSON, ``links`` among them go beside.

    The last link of each leads to the model on Evergreen's page.

    Parameters
    ----------
    facts
        What the templates show; ``first_lines`` among them is an `evergreen.alerts.first_lines.FirstLines`.
    more
        Other fields of `ml.records.Alert`; ``severity`` is ``info`` unless given.

    Raises
    ------
    TypeError
        If the facts have no first lines: whoever reads an alert learns first what happened and what to do.
    """
    from pydantic_core import to_jsonable_python

    from evergreen.alerts import first_lines
    from evergreen.alerts.links import page_link
    from ml.records import Alert

    if not isinstance(facts.get(first_lines.NAME), first_lines.FirstLines):
        raise TypeError(f"alerts of kind {kind!r} need their first lines: give facts[{first_lines.NAME!r}]")

    plain = {name: value for name, value in facts.items() if name != "links"}
    return Alert.model_validate(
        {"severity": "info", "links": [*facts.get("links", ()), page_link(services)]}
        | more
        | {
            "kind": kind,
            "key": key,
            "model": services.settings.task.name,
            "title": title,
            "created_at": datetime.now(UTC),
            "template": template,
            "facts": to_jsonable_python(plain),
        }
    )


def key_part(text: str) -> str:
    """Return one part of a key from what may hold slashes."""
    from urllib.parse import quote

    return quote(text, safe="")


def installation(storage: Objects) -> bytes:
    """Return random text that is made once, by which what a channel calls an alert differs between installations."""
    from ml.adapters import layout

    if not storage.exists(layout.alerts.INSTALLATION):
        storage.create_bytes(layout.alerts.INSTALLATION, uuid.uuid4().hex.encode())
    return storage.get_bytes(layout.alerts.INSTALLATION)


def waiting(channel: str, storage: Objects) -> list[str]:
    """Return the keys of the alerts that a channel has not done with, in no order."""
    from ml.adapters import layout

    done = set(storage.list(layout.alerts.deliveries(channel)))
    keys = [layout.alerts.key_of(path, layout.alerts.ALERTS) for path in storage.list(layout.alerts.ALERTS)]
    return [key for key in keys if layout.alerts.delivered(channel, key) not in done]


def flush(services: Services) -> int:
    """Deliver what waits, oldest first, by each channel by itself; return how many deliveries are left.

    What goes wrong with a channel is logged and goes no further.
    """
    left = 0
    for name in services.settings.notify.channels:
        waits = _deliver_all(name, services)
        if waits:
            log.warning("%d alerts wait for %s; the next run that has an alert tries again", waits, name)
        left += waits
    return left


def _deliver_all(name: str, services: Services) -> int:
    """Deliver by one channel what waits for it; return how many alerts are left."""
    storage = services.storage
    queue = [(key, queued) for key in waiting(name, storage) if (queued := _read(key, storage)) is not None]
    channel = _open(name) if queue and not _paused(name, storage) else None
    if channel is None:
        return len(queue)
    left, failures = len(queue), 0
    for key, queued in sorted(queue, key=lambda item: (item[1].alert.created_at, item[0])):
        try:
            left -= _deliver(key, queued, channel, services)
            failures = 0
        except NotTaken as err:
            log.warning("%r waits, %s did not take it: %s", queued.alert.title, name, err)
            failures = 0
        except Busy as err:
            log.warning("%r waits, %s: %s", queued.alert.title, name, err)
            _pause(name, err.seconds, storage)
            break
        except _ChannelFailed as err:
            log.warning("%r waits, %s does not work: %s", queued.alert.title, name, err)
            failures += 1
        if failures == FAILURES:
            break
    return left


class _ChannelFailed(Exception):
    """A channel raised what is no `NotTaken`; an error of the storage is none, it makes the task try again."""


def _deliver(key: str, queued: QueuedAlert, channel: Channel, services: Services) -> bool:
    """Deliver one alert by one channel unless somebody else does; return whether nothing is left to do."""
    from ml.adapters import layout
    from ml.records import DeliveryReceipt

    storage, name = services.storage, channel.name
    claimed = claim(layout.alerts.delivery_claims(name, key), storage)
    if claimed is None:
        return False
    try:
        if storage.exists(layout.alerts.delivered(name, key)):
            return True
        if name in queued.channels:
            before = _partly_delivered(name, key, storage)
            try:
                receipt = channel.deliver(queued.alert, services, before)
            except (NotTaken, Busy):
                raise
            except Unanswered as err:
                receipt = _unanswered(before)
                storage.put_bytes(layout.alerts.partly_delivered(name, key), receipt.model_dump_json(indent=2).encode())
                raise _ChannelFailed(str(err)) from err
            except Exception as err:  # A channel fails in many ways: no name, no route, no login.
                raise _ChannelFailed(f"{type(err).__name__}: {err}") from err
        else:  # It was enqueued before the channel was named in the settings.
            receipt = DeliveryReceipt(done=True)
        path = layout.alerts.delivered(name, key) if receipt.done else layout.alerts.partly_delivered(name, key)
        storage.put_bytes(path, receipt.model_dump_json(indent=2).encode())
        return receipt.done
    finally:
        storage.delete(claimed)


def claim(prefix: str, storage: Objects) -> str | None:
    """Take a delivery for this process; None if another has it. Claims of the dead run out and are stepped over."""
    from ml.errors import MissingArtifact

    now, number = datetime.now(UTC), 0
    taken = storage.list(prefix)
    if taken:
        try:
            since = datetime.fromisoformat(storage.get_bytes(taken[-1]).decode())
        except MissingArtifact:  # Released a moment ago, so somebody has just tried.
            return None
        if now - since < LEASE:
            return None
        number = int(taken[-1].removeprefix(prefix)) + 1
    mine = f"{prefix}{number:04d}"
    return mine if storage.create_bytes(mine, now.isoformat().encode()) else None


def _wanted(name: str, alert: Alert, services: Services) -> bool:
    """Return whether a channel delivers an alert; one that cannot be opened may, when it is repaired."""
    if not services.settings.notify.delivers(name, alert.kind):
        return False
    channel = _open(name)
    return channel is None or channel.wants(alert, services)


def _open(name: str) -> Channel | None:
    """Return a channel by its name; None if its package is broken, which the log says."""
    from ml.errors import SettingsError
    from ml.settings import CHANNELS

    try:
        channel: Channel = CHANNELS.load(name)()
    except SettingsError as err:
        log.error("alerts wait for %s: %s", name, err)
        return None
    return channel


def _read(key: str, storage: Objects) -> QueuedAlert | None:
    """Read an alert; None if it is no alert of this release, which the log says."""
    from pydantic import ValidationError

    from ml.adapters import layout
    from ml.records import QueuedAlert

    try:
        return QueuedAlert.model_validate_json(storage.get_bytes(layout.alerts.alert(key)))
    except ValidationError as err:
        log.error("%s is not an alert, delete it: %s", storage.uri(layout.alerts.alert(key)), err)
        return None


def _unanswered(before: DeliveryReceipt | None) -> DeliveryReceipt:
    """Return the receipt of an alert that the other side may have, one time more often than before."""
    from ml.records import DeliveryReceipt

    receipt = before or DeliveryReceipt(done=False)
    return receipt.model_copy(update={"unanswered": receipt.unanswered + 1, "tried_at": datetime.now(UTC)})


def _pause(name: str, seconds: float, storage: Objects) -> None:
    """Leave a channel alone for a while, whichever run comes next."""
    from ml.adapters import layout

    until = datetime.now(UTC) + min(timedelta(seconds=max(seconds, 0)), LONGEST_PAUSE)
    storage.put_bytes(layout.alerts.paused(name), until.isoformat().encode())


def _paused(name: str, storage: Objects) -> bool:
    """Return whether a channel is to be left alone for now."""
    from ml.adapters import layout

    if not storage.exists(layout.alerts.paused(name)):
        return False
    until = datetime.fromisoformat(storage.get_bytes(layout.alerts.paused(name)).decode())
    if datetime.now(UTC) < until:
        log.info("%s asked to be left alone until %s", name, until.isoformat(timespec="seconds"))
        return True
    return False


def _partly_delivered(channel: str, key: str, storage: Objects) -> DeliveryReceipt | None:
    from ml.adapters import layout
    from ml.records import DeliveryReceipt

    path = layout.alerts.partly_delivered(channel, key)
    return DeliveryReceipt.model_validate_json(storage.get_bytes(path)) if storage.exists(path) else None
