"""What a person has said about the data, and what is asked where nobody has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ml.core.adoption.targets import Kind


@dataclass(frozen=True)
class Answers:
    """What a person says; None and empty let the data decide.

    Attributes
    ----------
    number_rows
        Whether the rows of each day are numbered in a copy, where no column names them: the number is the key.
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
    number_rows: bool = False

    def renamed(self, names: Mapping[str, str]) -> Answers:
        """Return the same answers about columns that have other names."""

        def new(columns: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(names.get(column, column) for column in columns)

        return replace(
            self, target=names.get(self.target, self.target), time=names.get(self.time or "", self.time),
            key=new(self.key), known=new(self.known), left_out=new(self.left_out),
        )  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One thing that only a person knows: what is asked, what is assumed otherwise, and the option that answers it."""

    subject: Literal["label_delay_days", "timezone", "known"]
    text: str
    assumed: str
    option: str
