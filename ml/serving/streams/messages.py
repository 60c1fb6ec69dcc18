"""Read rows out of messages, name each by its key and day, and lay out what is written for it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import orjson

from ml.serving import request_rows
from ml.serving.problems import Refused, UnfitValue, unfit
from ml.settings import Task

SORTED = orjson.OPT_SORT_KEYS
LARGEST_BYTES = 900_000
"""A rejection that were larger has its message's size only: brokers take about a megabyte, and would never take it."""


@dataclass(frozen=True)
class Incoming:
    """A message as the broker holds it.

    Attributes
    ----------
    position
        Where the broker holds it: the same whenever it is delivered.
    """

    body: bytes = field(repr=False)
    position: str

    @property
    def delivery(self) -> str:
        """Return what is the same if this very message is delivered again."""
        return f"{self.position} {hashlib.sha256(self.body).hexdigest()}"


@dataclass(frozen=True)
class Outgoing:
    """A message to be written: the same input gives the same identity and, by the same version, the same bytes."""

    topic: str
    identity: str
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Identity:
    """What a message is about.

    Attributes
    ----------
    name
        A hash of model, day and key: that of the prediction, too.
    content
        A hash of all values: a message with the same one is the same message, sent or delivered again.
    """

    name: str
    content: str
    day: str
    key: Mapping[str, Any]


def row_of(message: Incoming) -> dict[str, Any]:
    """Return the row that a message is.

    Raises
    ------
    Refused
        If it is not a JSON object with a day: what is delivered after midnight again would be of another day.
    """
    row = request_rows.parse(message.body)
    if not isinstance(row, dict):
        raise unfit([UnfitValue(None, None, "an object with a value for each column: one row a message")])
    if row.get(request_rows.DAY) is None:
        raise unfit([UnfitValue(request_rows.DAY, None, "a day such as 2013-04-01: a message says of which day it is")])
    return row


def identities(rows: request_rows.Rows, task: Task, types: Mapping[str, str]) -> list[Identity]:
    """Return what each row is about, by the types of its key, so that ``1`` and ``1.0`` are the same.

    Raises
    ------
    Refused
        With 422, if a key or a day is unfit.
    """
    columns = list(dict.fromkeys([request_rows.DAY, *task.key]))
    table = request_rows.as_table(
        rows, {name: types[name] for name in columns}, needed=columns, today=date.min, computed=set()
    )
    request_rows.days_of(table)
    return [_identity(row, values, task) for row, values in zip(rows, table.to_pylist(), strict=True)]


def prediction(
    identity: Identity, answer: Mapping[str, Any], *, version: int, provisional: bool, model: str, topic: str
) -> Outgoing:
    """Lay out a prediction: nothing in it depends on when, where or how often the message was delivered."""
    facts = {"id": identity.name, "model": model, "version": version, "day": identity.day, "key": identity.key}
    if provisional:
        facts["provisional"] = True
    return Outgoing(topic, identity.name, orjson.dumps(facts | dict(answer), default=str))


def rejection(message: Incoming, refused: Refused, *, model: str, inputs: str, topic: str) -> Outgoing:
    """Lay out a message that cannot be predicted, with the reason, as it came, and what to do."""
    name = hashlib.sha256(message.delivery.encode()).hexdigest()[:32]
    facts: dict[str, Any] = {"id": name, "model": model, "position": message.position, "status": refused.status}
    facts |= {"error": refused.message, "problems": [asdict(value) for value in refused.values]}
    facts["next"] = f"correct what is named, and send the message to {inputs} again"
    try:
        content = {"message": message.body.decode()}
    except UnicodeDecodeError:
        content = {"message_base64": base64.b64encode(message.body).decode()}
    body = orjson.dumps(facts | content)
    if len(body) > LARGEST_BYTES:
        body = orjson.dumps(facts | {"message_bytes": len(message.body)})
    return Outgoing(topic, name, body)


def _identity(row: Mapping[str, Any], values: Mapping[str, Any], task: Task) -> Identity:
    key = {name: values[name] for name in task.key}
    about: Sequence[Any] = [task.name, values[request_rows.DAY], key]
    return Identity(
        hashlib.sha256(orjson.dumps(about, default=str, option=SORTED)).hexdigest()[:32],
        hashlib.sha256(orjson.dumps(row, option=SORTED)).hexdigest(),
        values[request_rows.DAY],
        key,
    )
