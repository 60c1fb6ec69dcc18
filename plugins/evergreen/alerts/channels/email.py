"""Mail alerts by the SMTP server of an Airflow connection, ``smtp_default`` unless named, as HTML and as plain text.

Killed between the server's yes and the receipt, a mail is sent a second time, some minutes on, under the same
Message-ID, which mail programs show once.
"""

from __future__ import annotations

import hashlib
import logging
import smtplib
from email.message import EmailMessage
from email.utils import getaddresses
from typing import TYPE_CHECKING, Any, get_args

from evergreen.alerts.channel import Channel, NotTaken
from evergreen.alerts.http_channel import UNSEEN
from evergreen.alerts.outbox import installation
from evergreen.alerts.rendering import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.adapters.storage import Objects
    from ml.records import Alert, DeliveryReceipt
    from ml.settings import Notify
    from ml.wiring import Services

log = logging.getLogger(__name__)
CONNECTION = "smtp_default"


class Email(Channel):
    """Mails to the recipients that ``notify`` names for a kind of alert."""

    name = "email"

    def wants(self, alert: Alert, services: Services) -> bool:
        """Return whether anybody gets mails of this kind."""
        return bool(recipients(alert, services))

    def examine(self, services: Services) -> tuple[str, str]:
        """Log in to the mail server and out again; a mail is not sent."""
        from airflow.providers.smtp.hooks.smtp import SmtpHook
        from airflow.sdk import Connection
        from airflow.sdk.exceptions import AirflowException

        from ml.settings import MailKind

        notify = services.settings.notify
        name = notify.connections.get(self.name, CONNECTION)
        kinds = [kind for kind in get_args(MailKind) if notify.recipients(kind) and notify.delivers(self.name, kind)]
        if not kinds:
            return "wrong", "nobody gets mails: name recipients under notify.to, or take email out of notify.channels"
        try:
            host = Connection.get(name).host
        except AirflowException:
            unseen = f"Airflow has no connection {name!r}: add it there, or set AIRFLOW_CONN_{name.upper()}"
            return "unseen", f"{unseen}. {UNSEEN}"
        try:
            with SmtpHook(smtp_conn_id=name):
                pass
        except (AirflowException, OSError, smtplib.SMTPException) as err:
            return "wrong", f"the mail server of {name!r} does not take us: {err}; correct the connection, or start it"
        return "works", f"{host} takes the connection"

    def deliver(self, alert: Alert, services: Services, receipt: DeliveryReceipt | None) -> DeliveryReceipt:
        """Send a mail to those who have not got it; the receipt says who has, and who never will."""
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        from ml.records import DeliveryReceipt

        before = receipt or DeliveryReceipt(done=False)
        everybody = recipients(alert, services)
        message = compose(alert, everybody, services)
        addresses = [address for _, address in getaddresses([str(message["To"])])]
        to = [address for address in addresses if address not in before.taken and address not in before.rejected]
        if not to:
            return before.model_copy(update={"done": True})
        with SmtpHook(smtp_conn_id=services.settings.notify.connections.get(self.name, CONNECTION)) as hook:
            message["From"] = hook.from_email or "evergreen@localhost"
            try:
                rejected = dict(hook._smtp_client.send_message(message, to_addrs=to))
            except smtplib.SMTPRecipientsRefused as err:
                rejected = dict(err.recipients)
            except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as err:
                raise NotTaken(f"the mail server does not take it: {err}") from err
        taken = [address for address in to if address not in rejected]
        final = {address: f"{code} {reply!r}" for address, (code, reply) in rejected.items() if code >= 500}
        if taken:
            log.info("mailed %r to %s", message["Subject"], ", ".join(taken))
        for address, reply in final.items():
            log.error("%s gets no mail, correct notify in params.yaml: the mail server says %s", address, reply)
        return DeliveryReceipt(
            done=len(rejected) == len(final),
            taken=(*before.taken, *taken),
            rejected=before.rejected | final,
        )


CHANNEL = Email


def recipients(alert: Alert, services: Services) -> tuple[str, ...]:
    """Return who gets mails of an alert's kind; empty means nobody."""
    kind: Any = alert.kind
    return services.settings.notify.recipients(kind)


def recipients_key(kind: str, notify: Notify) -> str:
    """Name the key of ``params.yaml`` that says who gets mails of a kind."""
    if kind in notify.kinds:
        return f"notify.kinds.{kind}"
    return "notify.approvers" if kind == "approval" and notify.approvers else "notify.to"


def compose(alert: Alert, to: Sequence[str], services: Services) -> EmailMessage:
    """Build the message: plain text, HTML and its pictures. Who sends it, the connection says when it is sent.

    Raises
    ------
    NotTaken
        If the templates cannot put the alert's facts into words: no other alert waits for that.
    """
    subject = f"{alert.model}: {' '.join(alert.title.split())}"
    chart = alert.attachments[0] if alert.attachments else None
    facts = {
        "subject": subject,
        "notified": recipients_key(alert.kind, services.settings.notify),
        "links": alert.links,
        "severity": alert.severity,
        "resolves": alert.resolves,
        "cid": chart.name if chart else "",
        "alt": chart.text if chart else "",
        **alert.facts,
    }
    try:
        html, text = render(alert.template, facts)
    except Exception as err:
        raise NotTaken(f"its templates do not fit its facts ({type(err).__name__}: {err})") from err
    message = EmailMessage()
    message["Subject"] = f"Re: {subject}" if alert.thread else subject
    message["To"] = ", ".join(to)
    message["Date"] = alert.created_at
    message["Message-ID"] = message_id(alert.key, services.storage)
    if alert.thread is not None:
        message["In-Reply-To"] = message["References"] = message_id(alert.thread, services.storage)
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    body = message.get_body(("html",))
    assert body is not None
    for attachment in alert.attachments:
        main, _, sub = attachment.media_type.partition("/")
        name = attachment.name
        body.add_related(attachment.content, main, sub, cid=f"<{name}>", disposition="inline", filename=f"{name}.{sub}")
    return message


def message_id(key: str, storage: Objects) -> str:
    """Return the Message-ID of an alert by its key: always the same here, another in every other installation."""
    salted = installation(storage) + b"/" + key.encode()
    return f"<{hashlib.sha256(salted).hexdigest()[:32]}@evergreen.invalid>"
