"""Compare proposed expectations with a suite: what is new, what differs, and what a person wrote and keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ml.core.data.suite_proposals.proposed import columns_of

Entry = Mapping[str, Any]
OF_NULLS = (
    "expect_column_values_to_not_be_null",
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_to_be_empty_or_proportion_of_non_null_values_to_be_between",
)
State = Literal["new", "changed", "same", "yours", "gone"]


@dataclass(frozen=True)
class SuiteChange:
    """What becomes of one expectation.

    Attributes
    ----------
    state
        ``new`` and ``changed`` are written; ``yours`` was written by a person, and stays even if the proposal differs;
        ``gone`` was proposed earlier, is no more, and stays until a person removes it.
    entry
        What the suite holds afterwards.
    proposed
        What is proposed in its place; None if nothing is.
    """

    state: State
    entry: Entry
    proposed: Entry | None = None


def changes_of(suite: Sequence[Entry], proposals: Sequence[Entry]) -> list[SuiteChange]:
    """Return what becomes of each expectation of a suite, in its order, and then what is new.

    Two expectations are of one thing if type, columns, and whether they look at most or at all rows agree. One is
    only replaced if its ``meta.proposed`` says that no person wrote it.

    Parameters
    ----------
    suite, proposals
        Entries of a suite, with ``type``, ``kwargs`` and ``meta``.
    """
    proposed = {subject(entry): entry for entry in proposals}
    present = [subject(entry) for entry in suite]
    changes = [_change(entry, proposed.get(name)) for entry, name in zip(suite, present, strict=True)]
    return changes + [SuiteChange("new", entry, entry) for name, entry in proposed.items() if name not in set(present)]


def subject(entry: Entry) -> tuple[str, tuple[str, ...], bool]:
    """Return what an expectation is about; that a column has no null, and how many it may have, is one thing."""
    kwargs = entry.get("kwargs", {})
    kind = "nulls" if entry["type"] in OF_NULLS else str(entry["type"])
    return kind, columns_of(kwargs), "mostly" in kwargs


def _change(entry: Entry, proposed: Entry | None) -> SuiteChange:
    owned = entry.get("meta", {}).get("proposed") is True
    if proposed is None:
        return SuiteChange("gone" if owned else "yours", entry)
    if entry["type"] == proposed["type"] and _asks(entry) == _asks(proposed):
        return SuiteChange("same", entry, proposed)
    return SuiteChange("changed", proposed, proposed) if owned else SuiteChange("yours", entry, proposed)


def _asks(entry: Entry) -> tuple[Mapping[str, Any], str | None]:
    return entry.get("kwargs", {}), entry.get("meta", {}).get("level")
