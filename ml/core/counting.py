"""Count things, and name intervals, in words."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(0, "labelled day"), counted(1, "labelled day"), counted(2000, "labelled day")
    ('0 labelled days', '1 labelled day', '2,000 labelled days')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def interval_name(confidence: float) -> str:
    """Name an interval by its level of confidence.

    Examples
    --------
    >>> interval_name(0.95), interval_name(0.975)
    ('95 % interval', '97.5 % interval')
    """
    return f"{100 * confidence:g} % interval"
