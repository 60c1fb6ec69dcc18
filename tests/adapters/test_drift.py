"""Limits computed in the core and scores computed by Evidently are in one unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.core.drift import JENSEN_SHANNON, WASSERSTEIN, distance

measure = pytest.importorskip("ml.adapters.drift").measure


def sides(seed: int, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a reference and a smaller current side that differ, with nulls and a category only one has."""
    chance = np.random.default_rng(seed)

    def draw(size: int, moved: float, codes: str) -> pd.DataFrame:
        frame = pd.DataFrame(
            {
                "normal": chance.normal(moved, 2.0, size),
                "skewed": chance.exponential(1.0 + moved, size),
                "count": chance.poisson(3 + moved, size),
                "constant": 5.0,
                "code": chance.choice(list(codes), size),
                "flag": chance.uniform(size=size) < 0.3 + moved / 4,
            }
        )
        holes = chance.uniform(size=size) < 0.1
        return frame.assign(normal=frame["normal"].mask(holes), code=frame["code"].mask(holes))

    return draw(rows, 0.0, "ABCDE"), draw(rows // 4, chance.uniform(0, 1), "BCDEF")


@pytest.mark.parametrize(("seed", "rows"), [(0, 200), (1, 900), (2, 1100), (3, 5000)])
def test_the_distance_is_evidentlys_own_whatever_the_number_of_rows(seed: int, rows: int) -> None:
    reference, current = sides(seed, rows)
    found = measure(reference, current, dict.fromkeys(reference.columns, 0.1))
    for column in reference.columns:
        assert found.scores[column] == pytest.approx(distance(reference[column], current[column]), abs=1e-9), column


def test_the_methods_are_named_by_the_type_of_the_column() -> None:
    found = measure(*sides(0, 200), {"normal": 0.1, "count": 0.1, "code": 0.1, "flag": 0.1})
    assert found.methods == {
        "normal": WASSERSTEIN, "count": WASSERSTEIN, "code": JENSEN_SHANNON, "flag": JENSEN_SHANNON,
    }  # fmt: skip


@pytest.mark.parametrize("side", [0, 1])
def test_a_column_without_a_value_on_either_side_scores_none(side: int) -> None:
    frames = list(sides(0, 200))
    frames[side] = frames[side].assign(normal=np.nan)
    found = measure(*frames, {"normal": 0.1, "code": 0.1, "absent": 0.1})
    assert (found.scores["normal"], found.scores["absent"]) == (None, None)
    assert found.scores["code"] is not None


def test_the_report_is_a_page_and_the_result_is_plain() -> None:
    import json

    found = measure(*sides(0, 200), {"normal": 0.1, "code": 0.1})
    assert "<html" in found.html.lower()
    assert json.loads(json.dumps(found.result, allow_nan=False)) == found.result
