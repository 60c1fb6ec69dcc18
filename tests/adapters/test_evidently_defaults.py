"""The defaults that the benchmarks set beside Evergreen's limits are Evidently's own."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift

from bench.evidently_defaults import DISTANCE, LEVEL, moved, significant
from ml.core.monitoring.day_blocks import daily_counts
from ml.settings import Methods
from tests.builders import day, rows


def evidently(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, float]:
    """Give what Evidently says of each column when no method is chosen for it."""
    definition = DataDefinition(numerical_columns=["number"], categorical_columns=["carrier"])
    sides = [
        Dataset.from_pandas(side[["number", "carrier"]].astype({"carrier": object}), data_definition=definition)
        for side in (reference, current)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Report([ValueDrift(column=column) for column in ("number", "carrier")]).run(sides[1], sides[0]).dict()
    return {entry["config"]["column"]: float(entry["value"]) for entry in found["metrics"]}


@pytest.mark.parametrize("rows_of_reference", [1200, 600])
@pytest.mark.parametrize("shift", [0.0, 0.11, 0.5])
def test_a_batch_is_called_drifted_where_evidently_calls_it_so(rows_of_reference: int, shift: float) -> None:
    past = rows(days=1, per_day=rows_of_reference, carriers="ABCD")
    now = rows(days=[1], per_day=300, carriers="ABCD" + "A" * round(10 * shift), seed=4)
    now = now.assign(number=now["number"] + shift)
    both = pd.concat([past, now], ignore_index=True)
    said = evidently(past, now)
    for column in ("number", "carrier"):
        counted = daily_counts(both[column], both["day"], Methods())
        if rows_of_reference > 1000:
            found, expected = moved(counted, counted.counts[0], counted.counts[1:]), said[column] >= DISTANCE
        else:
            found, expected = significant(counted, counted.counts[0], counted.counts[1:]), said[column] < LEVEL
        assert found.tolist() == [expected]


def test_a_category_that_the_reference_lacks_is_significant_as_it_is_to_evidently() -> None:
    past = rows(days=1, per_day=600)
    now = rows(days=[1], per_day=300).assign(carrier=lambda frame: np.where(frame["id"] < 2, "Z", frame["carrier"]))
    both = pd.concat([past, now], ignore_index=True)
    assert both["day"].unique().tolist() == [day(0), day(1)]
    counted = daily_counts(both["carrier"], both["day"], Methods())
    assert significant(counted, counted.counts[0], counted.counts[1:]).tolist() == [
        evidently(past, now)["carrier"] < LEVEL
    ]
