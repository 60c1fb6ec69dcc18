"""Between retrains scores may follow the newest labels: recorded, bounded, point in time, off by default."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.scoring.adaptation import shift_of, shifted
from ml.records import Scoring
from tests.steps.conftest import LAST_DAY, World

EVIDENCE = [LAST_DAY - timedelta(days=n) for n in range(7, 0, -1)]


def adapting(world: World, **score: Any) -> World:
    return world.having(score={"adapt": "intercept", **score})


def files(world: World, day: date = LAST_DAY) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Give what was served for a day, and its sidecar."""
    path = world.home / "storage" / "predictions" / f"day={day}" / "version=1.parquet"
    return pd.read_parquet(path), json.loads(path.with_suffix(".json").read_text())


def holdout(world: World, path: str = "lineage/holdout.parquet") -> pd.DataFrame:
    """Give what the version said of days that it was not fitted on, as the gate saw it."""
    read: Any = pd.read_parquet
    return world.services.tracking.read_file(1, path, read)


def test_off_it_leaves_no_trace(trained: World) -> None:
    _, scoring = trained.score(LAST_DAY)
    frame, sidecar = files(trained)
    assert scoring.adaptation is None
    assert "raw_prediction" not in frame and "adaptation" not in sidecar


def test_scores_move_by_what_the_newest_labelled_days_say(trained: World) -> None:
    trained.score(LAST_DAY)
    raw = files(trained)[0]["prediction"]
    world = adapting(trained)
    _, scoring = world.score(LAST_DAY)
    frame, sidecar = files(world)
    assert scoring.adaptation is not None and scoring.published
    assert scoring.adaptation.days == tuple(EVIDENCE)
    seen = holdout(world).loc[lambda rows: rows["day"] >= EVIDENCE[0].isoformat()]
    expected = shift_of(seen["challenger"], seen["target"], kind="classification", share=0.5, most=0.5)
    assert expected != 0
    assert scoring.adaptation.shift == pytest.approx(expected, abs=1e-9)
    assert scoring.adaptation.rows == len(seen)
    np.testing.assert_array_equal(frame["raw_prediction"], raw)
    np.testing.assert_array_equal(frame["prediction"], shifted(raw, scoring.adaptation.shift, kind="classification"))
    assert (frame["decision"] == (frame["prediction"] >= world.settings.task.threshold)).all()
    assert scoring.mean_prediction == pytest.approx(frame["prediction"].mean(), abs=1e-6)
    assert sidecar["adaptation"] == scoring.adaptation.model_dump(mode="json")


def test_of_many_labels_a_share_says_by_how_much(trained: World) -> None:
    whole = adapting(trained).score(LAST_DAY)[1].adaptation
    assert whole is not None
    some = adapting(trained).having(performance={"max_rows": whole.rows // 2}).score(LAST_DAY)[1].adaptation
    assert some is not None
    assert some.rows == pytest.approx(whole.rows / 2, rel=0.1)
    assert some.days == whole.days
    assert 0 < abs(some.shift - whole.shift) < 0.1
    none = adapting(trained).having(performance={"max_rows": 1}).score(LAST_DAY)[1].adaptation
    assert none is not None and none.rows < 10


def test_the_same_bytes_again_whatever_was_served_meanwhile(trained: World) -> None:
    world = adapting(trained)
    _, first = world.score(LAST_DAY)
    forced = world.having(score={"adapt": "intercept", "force_future_model": True})
    forced.score(EVIDENCE[-1])
    _, again = world.score(LAST_DAY)
    assert again == first


def test_labels_that_had_not_arrived_by_that_day_change_nothing(trained: World) -> None:
    world = adapting(trained)
    _, before = world.score(LAST_DAY)
    labels = world.held("labels", EVIDENCE[-1]).assign(day=LAST_DAY.isoformat(), late=1.0)
    world.put({("labels", LAST_DAY): labels})
    assert world.score(LAST_DAY)[1].sha256 == before.sha256
    world.put({("labels", EVIDENCE[-1]): world.held("labels", EVIDENCE[-1]).assign(late=1.0)})
    after = world.score(LAST_DAY)[1].adaptation
    assert before.adaptation is not None and after is not None and after.shift > before.adaptation.shift


def test_only_days_that_the_version_was_not_fitted_on_count_and_fewer_close_less(trained: World) -> None:
    _, scoring = adapting(trained, adapt_days=20).score(LAST_DAY)
    assert scoring.adaptation is not None
    assert len(scoring.adaptation.days) == 10  # the holdout's
    assert scoring.adaptation.share == pytest.approx(0.25)


def test_without_evidence_scores_stay_and_say_so(trained: World) -> None:
    forced = adapting(trained, force_future_model=True)
    day = date(2013, 5, 20)
    _, scoring = forced.score(day)
    assert scoring.adaptation is not None
    assert (scoring.adaptation.shift, scoring.adaptation.days, scoring.adaptation.share) == (0.0, (), 0.0)
    frame, _ = files(forced, day)
    np.testing.assert_array_equal(frame["prediction"], frame["raw_prediction"])


def test_the_shift_is_bounded(trained: World) -> None:
    trained.put({("labels", day): trained.held("labels", day).assign(late=1.0) for day in EVIDENCE})
    _, scoring = adapting(trained, adapt_max_shift=0.3).score(LAST_DAY)
    assert scoring.adaptation is not None and scoring.adaptation.shift == 0.3


@pytest.mark.parametrize("batch_rows", [100])
def test_the_size_of_a_batch_changes_no_shift(batch_rows: int, trained: World, tmp_path: Path) -> None:
    found: list[Scoring] = [adapting(trained, batch_rows=rows).score(LAST_DAY)[1] for rows in (batch_rows, 50_000)]
    first, second = (each.adaptation for each in found)
    assert first is not None and second is not None
    assert first.shift == pytest.approx(second.shift, abs=1e-12)
