"""What a person has said about the data, and what is asked where nobody has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ml.core.adoption.targets import Kind


@dataclass(frozen=True)
class Answers:
    """What a person says; None and empty let the data decide.

    Attributes
    ----------
    known
        Columns that look as if they knew the outcome and, as a person says, are known before it.
    """

    target: str
    name: str | None = None
    time: str | None = None
    key: tuple[str, ...] = ()
    kind: Kind | None = None
    positive: str | None = None
    label_delay_days: int | None = None
    timezone: str | None = None
    known: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    replay: bool | None = None


@dataclass(frozen=True)
class Question:
    """One thing that only a person knows: what is asked, what is assumed otherwise, and the option that answers it."""

    subject: Literal["label_delay_days", "timezone", "known"]
    text: str
    assumed: str
    option: str
