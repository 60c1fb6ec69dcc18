"""Distinguish a day that has not arrived from an address that is wrong.

A misspelt folder or name never has a day, and would look like one that is late, for ever. What speaks for a wrong
address is what stands next to it: no folder at all, or files of other days under a name that is nearly the same.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePath

from ml.adapters.sources.patterns import DAY, PLACEHOLDER, expression

ISO_DAY = r"\d{4}-\d{2}-\d{2}"
ALIKE = 0.75
"""So alike are the names of a file and of its misspelling (`difflib.SequenceMatcher.ratio`), the day left out."""
TABLES = re.compile(r".*\.(parquet|(csv|jsonl|ndjson|json)(\.gz|\.zst)?)", re.IGNORECASE)
HIDDEN = (".", "_")
"""Uploads and markers often begin with these."""
MOST_SHOWN = 3


@dataclass(frozen=True)
class Address:
    """A pattern, cut where the day first stands: ``folder`` is the same for all days, ``entry`` lies in it.

    Examples
    --------
    >>> Address.of("/data/labels/late-{day}.csv")
    Address(folder='/data/labels', entry='late-{day}.csv')
    """

    folder: str
    entry: str

    @classmethod
    def of(cls, pattern: str) -> Address:
        """Cut a pattern that names the day, or its year, month and day."""
        start = PLACEHOLDER.split(pattern, maxsplit=1)[0]
        folder, mark, _ = start.rpartition("/")
        rest = pattern[len(folder) + len(mark) :]
        return cls(folder or mark, rest.split("/", maxsplit=1)[0])

    def has(self, name: str) -> bool:
        """Return whether an entry of the folder is that of some day."""
        return re.fullmatch(expression(self.entry), name.rstrip("/")) is not None


def misspelt_for(address: Address, entries: Collection[str], others: Iterable[Address]) -> str | None:
    """Return an entry of some day whose name is nearly that of an address; None if the address seems right.

    Parameters
    ----------
    entries
        What lies in the folder of ``address``.
    others
        The addresses of what else is known to lie there: these entries are no misspellings.
    """
    if any(map(address.has, entries)):
        return None
    neighbours = [other for other in others if other.folder == address.folder]
    for name in sorted(entries):
        if any(other.has(name) for other in neighbours):
            continue
        if not TABLES.fullmatch(name) or name.startswith(HIDDEN):
            continue
        plain = re.sub(ISO_DAY, DAY, name)
        if plain != name and _compare(PurePath(plain).stem, PurePath(address.entry).stem) >= ALIKE:
            return name
    return None


def belongs_to(other: Address, entry: str, part: str) -> bool:
    """Return whether a folder is that of another address, or leads to it and is not called nearly like ``part``."""
    folder = entry.rstrip("/")
    if folder == other.folder:
        return True
    alike = _compare(folder.rpartition("/")[2], part) >= ALIKE
    return other.folder.startswith(f"{folder}/") and not alike


def show_some(entries: Collection[str]) -> str:
    """Return a few names of what is there."""
    names = sorted(entries)
    more = f" and {len(names) - MOST_SHOWN:,} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more if names else "nothing"


def _compare(left: str, right: str) -> float:
    return difflib.SequenceMatcher(None, left, right).ratio()
