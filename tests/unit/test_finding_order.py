"""Findings are read with what matters first, and the rest by kind."""

from __future__ import annotations

from ml.core.monitoring.finding_order import folded, most_important_first
from ml.records import Finding


def drift(column: str, severity: str = "warning", **facts: object) -> Finding:
    return Finding.model_validate(
        {"kind": "drift", "severity": severity, "message": f"{column} moved", "column": column, **facts}
    )


def test_alarms_come_first_then_what_the_champion_depends_on_then_what_is_furthest_off() -> None:
    little = drift("little", score=9.0, limit=1.0, matters=False)
    near, far = (drift(name, score=score, limit=1.0, matters=True) for name, score in (("near", 1.5), ("far", -3.0)))
    alarm, at_once = drift("alarm", "alarm"), drift("at once", "alarm", at_once=True)
    given = [little, near, alarm, far, at_once]
    order = [at_once, alarm, far, near, little]
    assert most_important_first(given) == order
    assert most_important_first([finding.model_dump() for finding in given]) == [one.model_dump() for one in order]


def test_the_rest_is_a_sentence_for_each_kind() -> None:
    many = [drift(f"c{number}") for number in range(7)]
    assert folded(many) == ["7 more findings of drift: c0, c1, c2, c3, c4 and others"]
    assert folded([]) == []
