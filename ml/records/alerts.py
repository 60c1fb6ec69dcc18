"""What is worth telling people, as facts, and what a channel has done with it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from ml.records.record import Record


class Attachment(Record):
    """A file that belongs to an alert; ``text`` says in words what it shows."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    name: str
    content: bytes
    media_type: str = "image/png"
    text: str = ""


class Alert(Record):
    """Something that people should know; how it reaches them is a channel's matter.

    Attributes
    ----------
    kind
        One of those that ``notify.kinds`` of ``params.yaml`` may name.
    key
        Follows from what happened: the same key is the same alert, and is delivered once by each channel.
    title
        One line, without the name of the model.
    day
        The day that it is about; None if it is about no day, or about several.
    template
        The stem of the templates that put ``facts`` into words.
    facts
        JSON values.
    links
        A name and an address each; an address may be empty, which is no link.
    thread
        The key of the alert that this one continues: one thread is one episode. None if it continues none.
    resolves
        Whether it ends that thread: nothing is wrong any more.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")

    kind: str
    key: str
    model: str
    title: str
    severity: Literal["info", "warning", "alarm"]
    created_at: datetime
    template: str
    facts: dict[str, Any] = Field(default_factory=dict)
    day: date | None = None
    links: tuple[tuple[str, str], ...] = ()
    thread: str | None = None
    resolves: bool = False
    attachments: tuple[Attachment, ...] = ()


class QueuedAlert(Record):
    """An alert in the outbox, and the channels that were to deliver it when it was put there."""

    alert: Alert
    channels: tuple[str, ...]


class DeliveryReceipt(Record):
    """What a channel has done with an alert.

    Attributes
    ----------
    done
        Whether the channel has nothing left to do with it; else it is asked again.
    taken
        Recipients who have it, where the channel knows them: none of them gets it a second time.
    rejected
        Recipients who never will, and why.
    reference
        What the other side calls it, where a later alert of the same thread needs that.
    unanswered
        How often it went out without an answer, so that the other side may have it.
    tried_at
        When that happened last.
    """

    done: bool = True
    taken: tuple[str, ...] = ()
    rejected: dict[str, str] = Field(default_factory=dict)
    reference: str = ""
    unanswered: int = 0
    tried_at: datetime | None = None
