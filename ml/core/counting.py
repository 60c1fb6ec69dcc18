"""Count things in words."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(0, "labelled day"), counted(1, "labelled day"), counted(2000, "labelled day")
    ('0 labelled days', '1 labelled day', '2,000 labelled days')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"
