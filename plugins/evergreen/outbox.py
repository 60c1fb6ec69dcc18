"""Keep every mail in storage until the mail server has taken it: nothing is lost while it is down.

``write (once) → claim → send → mark as sent``

A mail is one object, ``outbox/mails/NAME.eml``, whose name follows from what it tells: whoever tells the
same again finds it there. A claim keeps two runs from sending it at once. Killed between the server's
yes and the mark, it is sent a second time, some minutes on, under the same Message-ID, which mail
programs show once. A server that does not answer never turns a task red: every later mail, and
every run of *monitor*, sends what waits, oldest first.
"""

from __future__ import annotations

import hashlib
import json
import logging
import smtplib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml.adapters.objects import Objects
    from ml.settings import MailKind
    from ml.wiring import Services

log = logging.getLogger(__name__)
CONNECTION = "smtp_default"
MAILS, SENT, PARTLY, CLAIMS = "outbox/mails", "outbox/sent", "outbox/partly", "outbox/claims"
LEASE = timedelta(minutes=15)
"""Whoever has claimed a mail for longer was killed."""
SILENCES = 2
"""So many mails in a row without an answer mean that the server is down."""


@dataclass(frozen=True)
class Picture:
    """A PNG that the HTML shows as ``cid:NAME``."""

    name: str
    png: bytes


@dataclass(frozen=True)
class Letter:
    """What is to be told: ``name`` is the same whenever the same is told, ``thread`` names the mail that it answers."""

    kind: MailKind
    name: str
    subject: str
    html: str
    text: str
    pictures: tuple[Picture, ...] = ()
    thread: str | None = None


def post(letter: Letter, services: Services) -> str | None:
    """Put a letter into the outbox, once, and send all that waits.

    Returns
    -------
    str or None
        Its Message-ID; None if nobody is to be told (an empty list under ``notify``).

    Raises
    ------
    Unavailable
        If the storage did not answer: the letter may not be kept, try again. A mail server that
        does not answer raises nothing.
    """
    to = services.settings.notify.recipients(letter.kind)
    if not to:
        log.info("%r is mailed to nobody: notify gives no recipients of %s", letter.subject, letter.kind)
        return None
    message = compose(letter, to, services)
    if services.storage.create_bytes(f"{MAILS}/{letter.name}.eml", message.as_bytes(policy=policy.SMTP)):
        log.info("%r is in the outbox for %s", letter.subject, ", ".join(to))
    else:
        log.info("%r was mailed before", letter.subject)
    flush(services.storage)
    return str(message["Message-ID"])


def compose(letter: Letter, to: Sequence[str], services: Services) -> EmailMessage:
    """Build the message: plain text, HTML and its pictures. Who sends it, the connection says when it is sent."""
    message = EmailMessage()
    message["Subject"] = " ".join(letter.subject.split())
    message["To"] = ", ".join(to)
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = message_id(letter.name, services.storage)
    if letter.thread is not None:
        opening = message_id(letter.thread, services.storage)
        message["In-Reply-To"] = message["References"] = opening
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    html = message.get_body(("html",))
    assert html is not None
    for picture in letter.pictures:
        html.add_related(
            picture.png, "image", "png", cid=f"<{picture.name}>", disposition="inline", filename=f"{picture.name}.png"
        )
    return message


def message_id(name: str, storage: Objects) -> str:
    """Give the Message-ID of a mail by its name: always the same here, another in every other installation."""
    place = f"{MAILS.partition('/')[0]}/installation"
    if not storage.exists(place):
        storage.create_bytes(place, uuid.uuid4().hex.encode())
    salted = storage.get_bytes(place) + b"/" + name.encode()
    return f"<{hashlib.sha256(salted).hexdigest()[:32]}@evergreen.invalid>"


def waiting(storage: Objects) -> list[str]:
    """Name the mails that not all of their recipients have been sent, in no order."""
    sent = {name.removeprefix(f"{SENT}/").removesuffix(".json") for name in storage.list(f"{SENT}/")}
    names = [name.removeprefix(f"{MAILS}/").removesuffix(".eml") for name in storage.list(f"{MAILS}/")]
    return [name for name in names if name not in sent]


def flush(storage: Objects) -> int:
    """Send what waits, oldest first; return how many mails are left.

    What goes wrong with the mail server is logged and goes no further.
    """
    from ml.errors import EvergreenError

    mails = {name: _read(name, storage) for name in waiting(storage)}
    left, silences = len(mails), 0
    for name in sorted(mails, key=lambda name: (parsedate_to_datetime(str(mails[name]["Date"])), name)):
        claimed = claim(name, storage)
        if claimed is None:
            continue
        try:
            left -= storage.exists(f"{SENT}/{name}.json") or _deliver(name, mails[name], storage)
            silences = 0
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as err:
            log.warning("%r waits, the mail server does not take it: %s", mails[name]["Subject"], err)
        except EvergreenError:  # The storage, which is no matter of mail: the task tries again.
            raise
        except Exception as err:  # noqa: BLE001  A connection fails in many ways: no name, no route, no login.
            log.warning("the mail server cannot be reached (%s: %s)", type(err).__name__, err)
            silences += 1
        finally:
            storage.delete(claimed)
        if silences == SILENCES:
            break
    if left:
        log.warning("%d mails wait in %s; the next run that mails tries again", left, storage.uri(MAILS))
    return left


def claim(name: str, storage: Objects) -> str | None:
    """Take a mail for this process; None if another has it. Claims of the dead run out and are stepped over."""
    from ml.errors import MissingArtifact

    prefix, now, number = f"{CLAIMS}/{name}/", datetime.now(UTC), 0
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


def _deliver(name: str, message: EmailMessage, storage: Objects) -> bool:
    """Send one mail to those who have not got it, and mark who has and who never will; say if that is all."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    marks = _marks(name, storage)
    everybody = [address for _, address in getaddresses([str(message["To"])])]
    to = [address for address in everybody if address not in marks["taken"] and address not in marks["refused"]]
    with SmtpHook(smtp_conn_id=CONNECTION) as hook:
        message["From"] = hook.from_email or "evergreen@localhost"
        try:
            refused = dict(hook._smtp_client.send_message(message, to_addrs=to))
        except smtplib.SMTPRecipientsRefused as err:
            refused = dict(err.recipients)
    taken = [address for address in to if address not in refused]
    final = {address: f"{code} {said!r}" for address, (code, said) in refused.items() if code >= 500}
    later = [address for address in refused if address not in final]
    marks = {"taken": [*marks["taken"], *taken], "refused": marks["refused"] | final}
    place = f"{PARTLY}/{name}.json" if later else f"{SENT}/{name}.json"
    storage.put_bytes(place, (json.dumps(marks, indent=2, sort_keys=True) + "\n").encode())
    if taken:
        log.info("mailed %r to %s", message["Subject"], ", ".join(taken))
    for address, said in final.items():
        log.error("%s gets no mail, correct notify in params.yaml: the mail server says %s", address, said)
    return not later


def _marks(name: str, storage: Objects) -> dict[str, Any]:
    place = f"{PARTLY}/{name}.json"
    if not storage.exists(place):
        return {"taken": [], "refused": {}}
    found: dict[str, Any] = json.loads(storage.get_bytes(place))
    return found


def _read(name: str, storage: Objects) -> EmailMessage:
    message = message_from_bytes(storage.get_bytes(f"{MAILS}/{name}.eml"), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message
