"""Faults of labels are detected by the finding that sees them, on a small made history."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bench import detection_labels
from bench.detection_labels import Detection, Scene, detection_of, scene, table
from bench.made_histories import HISTORIES

PRICES = HISTORIES["prices"]
START = PRICES.first + timedelta(days=62)


@pytest.fixture(scope="module")
def made() -> Scene:
    short = replace(PRICES, oldest=PRICES.first - timedelta(days=40), last=START + timedelta(days=13))
    return scene(short)


@pytest.mark.parametrize(
    ("fault", "finding"), [("labels all 1 for 3 days", "label_doubt"), ("outcome times 1.9", "outcome_shift")]
)
def test_a_fault_is_told_by_what_sees_it(made: Scene, fault: str, finding: str) -> None:
    length = 3 if "3 days" in fault else detection_labels.WATCHED
    found = detection_of(made, fault, START, length)
    assert getattr(found, finding) is not None and found.first is not None


def test_true_days_are_told_by_nothing_that_they_are_not_told_by_before(made: Scene) -> None:
    assert detection_of(made, "labels inverted by 0", START, detection_labels.WATCHED).label_doubt is None


def test_the_table_counts_starts_and_names_the_median_day() -> None:
    lines = [Detection("a", "f", "2024-01-01", 1, None, 4), Detection("a", "f", "2024-02-01", None, 3, None)]
    text = table(lines).splitlines()[1].split()
    assert text[:4] == ["a", "f", "2", "2"] and "1" in text
