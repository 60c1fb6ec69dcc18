"""The order in which findings are read: what matters first, and what is left folded by kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ml.core.counting import counted
from ml.core.monitoring.day_summary import Facts
from ml.records import Finding

Found = TypeVar("Found", Finding, Facts)
MOST_NAMED = 5
"""So many columns of a kind are named in the sentence about the rest."""


def most_important_first(findings: Iterable[Found]) -> list[Found]:
    """Sort findings: alarms first, then what counts at once, what the champion depends on, and what is furthest off.

    Parameters
    ----------
    findings
        As `ml.records.Finding`, or the same as facts.

    Returns
    -------
    list
        The same ones; equal ones in the order in which they came.
    """
    return sorted(findings, key=_rank)


def _rank(finding: Finding | Facts) -> tuple[bool, bool, bool, float]:
    facts: Mapping[str, Any] = finding if isinstance(finding, dict) else finding.model_dump()
    score, limit = facts.get("score"), facts.get("limit")
    ratio = abs(score) / limit if score is not None and limit else 0.0
    return facts["severity"] != "alarm", not facts.get("at_once"), facts.get("matters") is False, -ratio


def folded(findings: Iterable[Finding]) -> list[str]:
    """Return one sentence for each kind of finding, with how many there are and the first columns of them.

    Examples
    --------
    >>> moved = [Finding(kind="drift", severity="warning", message="moved", column=name) for name in ("temp", "dewp")]
    >>> folded([*moved, Finding(kind="missing_labels", severity="warning", message="no labels of 2026-11-20")])
    ['2 more findings of drift: temp, dewp', '1 more finding of missing labels']
    """
    by_kind: dict[str, list[Finding]] = {}
    for finding in findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    sentences = []
    for kind, of_kind in by_kind.items():
        columns = list(dict.fromkeys(finding.column for finding in of_kind if finding.column))
        named = ", ".join(columns[:MOST_NAMED]) + (" and others" if len(columns) > MOST_NAMED else "")
        count = counted(len(of_kind), "more finding")
        sentences.append(f"{count} of {kind.replace('_', ' ')}{f': {named}' if named else ''}")
    return sentences
