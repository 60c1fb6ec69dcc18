"""How a training is named and described in MLflow, for people who look through its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

NOT_IN_A_NAME = re.compile(r"[^\w\-. /:]", re.ASCII)
"""What MLflow does not take in the name of a parameter."""

JUDGED = "judged_"
"""Before the name of what was measured of another version: a refit has seen the holdout, and is not measured on it."""


def training_name(last_day: date, *, refit: bool = False) -> str:
    """Name a run while nothing has been decided of it.

    Examples
    --------
    >>> training_name(date(2026, 11, 27)), training_name(date(2026, 11, 27), refit=True)
    ('training up to 2026-11-27', 'refit up to 2026-11-27')
    """
    return f"{'refit' if refit else 'training'} up to {last_day}"


def decided_name(last_day: date, version: int | None, *, outcome: str) -> str:
    """Name a run by what was decided of it.

    Examples
    --------
    >>> decided_name(date(2026, 11, 27), 3, outcome="promoted"), decided_name(date(2026, 11, 27), None, outcome="held")
    ('retrain up to 2026-11-27: promoted as version 3', 'retrain up to 2026-11-27: held')
    """
    whose = "" if version is None else f" as version {version}"
    return f"retrain up to {last_day}: {outcome}{whose}"


def version_note(last_day: date, *, promoted: bool, previous: int | None, judged: int | None, reason: str) -> str:
    """Describe a version by what was decided of it.

    Parameters
    ----------
    previous
        Who served before, or goes on serving; None for nobody.
    judged
        The version that was judged in its place; None if it was judged itself.
    reason
        One sentence or more, with or without a full stop.

    Examples
    --------
    >>> version_note(date(2026, 11, 27), promoted=True, previous=2, judged=3, reason="better")
    'Promoted over version 2, with data up to 2026-11-27. better. Judged as version 3, fitted again on all days since.'
    >>> version_note(date(2026, 11, 27), promoted=False, previous=2, judged=None, reason="worse.")
    'Held: version 2 went on serving, with data up to 2026-11-27. worse.'
    """
    whose = "nobody" if previous is None else f"version {previous}"
    decided = f"Promoted over {whose}" if promoted else f"Held: {whose} went on serving"
    twin = "" if judged is None else f" Judged as version {judged}, fitted again on all days since."
    return f"{decided}, with data up to {last_day}. {reason.rstrip('.')}.{twin}"


def readable(sections: Mapping[str, Any], *, before: str = "") -> dict[str, str]:
    """Write settings down as one short text for each, so that runs can be compared column by column.

    Examples
    --------
    >>> readable({"fit": {"args": {"C": 0.001, "penalty": None}, "estimator": "Ridge"}, "task": {"key": ["day", "id"]}})
    {'fit.args.C': '0.001', 'fit.args.penalty': 'none', 'fit.estimator': 'Ridge', 'task.key': 'day, id'}
    >>> readable({"history": [{"by": ["carrier"], "days": [7, 28]}], "spline": [], "trusted": {}})
    {'history.1.by': 'carrier', 'history.1.days': '7, 28', 'spline': 'none', 'trusted': 'none'}
    """
    written: dict[str, str] = {}
    for name, value in sections.items():
        key = f"{before}{NOT_IN_A_NAME.sub('_', str(name))}"
        inside = value
        if isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
            inside = {str(number): one for number, one in enumerate(value, 1)}
        if isinstance(inside, Mapping) and inside:
            written |= readable(inside, before=f"{key}.")
        else:
            written[key] = _text(value)
    return written


def _text(value: Any) -> str:
    if value is None or value in ([], (), {}, ""):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
