"""One expectation that is proposed, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml.core.data.contracts import Level


@dataclass(frozen=True)
class ProposedExpectation:
    """One expectation that the data of several days suggest.

    Attributes
    ----------
    type, kwargs
        Great Expectations' own.
    level
        ``row`` quarantines bad rows, ``table`` rejects the table.
    reason
        What in the data suggests it, in plain words; it becomes ``meta.notes``.
    rule
        What is asked, in plain words, where its type and kwargs do not say it well; it becomes ``meta.rule``.
    """

    type: str
    kwargs: Mapping[str, Any]
    level: Level
    reason: str
    rule: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that it speaks of."""
        return columns_of(self.kwargs)

    def as_entry(self) -> dict[str, Any]:
        """Return the entry of a suite, ready for JSON; ``meta.proposed`` marks what no person wrote."""
        meta = {"level": self.level, **({"rule": self.rule} if self.rule else {})}
        return {
            "type": self.type,
            "kwargs": dict(self.kwargs),
            "meta": {**meta, "notes": self.reason, "proposed": True},
        }


def columns_of(kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that an expectation's kwargs name.

    Examples
    --------
    >>> columns_of({"column_A": "temp", "column_B": "dewp", "or_equal": True})
    ('temp', 'dewp')
    """
    single = [kwargs[name] for name in ("column", "column_A", "column_B") if isinstance(kwargs.get(name), str)]
    return (*single, *(kwargs.get("column_list") or ()))
