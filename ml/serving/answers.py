"""Lay out predictions as answers have them, one object a row."""

from __future__ import annotations

from typing import Any

from ml.core.predictions import bounds, decided
from ml.names import LOWER, UPPER
from ml.serving.asked import Prediction
from ml.settings import Task

CONTRIBUTIONS = 3
"""So many contributions of a row are answered: the largest."""

ENDS = {LOWER: "lower", UPPER: "upper"}
"""What an answer calls the ends of a prediction interval."""


def rows_of(answer: Prediction, task: Task) -> list[dict[str, Any]]:
    """Return each row's prediction and decision, the ends of its interval, and its largest contributions, if any."""
    values = answer.predictions.tolist()
    decisions = decided(answer.predictions, task, task.threshold) if values else None
    if decisions is None:
        rows: list[dict[str, Any]] = [{"value": value} for value in values]
        for name, ends in bounds(answer.predictions, answer.half_width).items():
            for row, end in zip(rows, ends.tolist(), strict=True):
                row[ENDS[name]] = end
    else:
        if task.kind == "classification":
            given = [{"probability": value} for value in values]
        else:
            labels = list(map(str, task.classes))
            given = [{"probabilities": dict(zip(labels, value, strict=True))} for value in values]
        rows = [{**row, "decision": decision} for row, decision in zip(given, decisions.tolist(), strict=True)]
    if answer.versions is not None:
        for row, version in zip(rows, answer.versions, strict=True):
            row["version"] = version
    if answer.contributions is not None:
        for row, shares in zip(rows, answer.contributions, strict=True):
            largest = sorted(shares, key=lambda name: -abs(shares[name]))[:CONTRIBUTIONS]
            row["contributions"] = [{"column": name, "contribution": shares[name]} for name in largest]
    return rows
