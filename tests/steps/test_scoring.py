"""A day's predictions: from the champion of that day, the same bytes each time, published whole or not at all."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters.workspace import Workspace
from ml.errors import DataRejected, MissingArtifact
from ml.settings import PROJECT_ROOT
from ml.steps import predict, publish, resolve
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World


def served(world: World, day: date = LAST_DAY, version: int = 1) -> Path:
    return world.home / "storage" / "predictions" / f"day={day}" / f"version={version}.parquet"


def test_a_day_scored_again_from_nothing_gives_the_same_bytes(trained: World) -> None:
    _, first = trained.score(LAST_DAY)
    before = served(trained).read_bytes()
    sidecar = json.loads(served(trained).with_suffix(".json").read_text())
    assert (sidecar["sha256"], sidecar["rows"]) == (first.sha256, first.rows)
    shutil.rmtree(trained.home / "storage" / "predictions")
    shutil.rmtree(trained.home / "storage" / "staging")
    _, again = trained.score(LAST_DAY)
    assert again == first
    assert served(trained).read_bytes() == before


def test_a_row_is_its_key_a_probability_a_decision_and_the_version(trained: World) -> None:
    trained.score(LAST_DAY)
    frame, inputs = pd.read_parquet(served(trained)), trained.held("inputs", LAST_DAY)
    key = list(trained.settings.task.key)
    assert list(frame.columns) == [*key, "prediction", "decision", "model_version"]
    pd.testing.assert_frame_equal(frame[key], inputs[key])
    assert (frame["decision"] == (frame["prediction"] >= trained.settings.task.threshold)).all()
    assert set(frame["model_version"]) == {1}


@pytest.mark.parametrize("batch_rows", [1, 7])
def test_the_size_of_a_batch_changes_no_row(batch_rows: int, trained: World) -> None:
    """Row groups follow the batches, so the files differ; what they say does not."""
    trained.put({("inputs", NEXT_DAY): trained.held("inputs", LAST_DAY).head(40).assign(day=NEXT_DAY.isoformat())})
    champion = trained.run(resolve, NEXT_DAY)
    whole = trained.run(predict, champion)
    expected = pd.read_parquet(whole.uri)
    small = trained.having(score={"batch_rows": batch_rows})
    scoring = small.run(predict, champion)
    found = pd.read_parquet(scoring.uri)
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=0, atol=1e-12)
    assert (found["decision"] == expected["decision"]).all()
    assert scoring.rows == whole.rows == 40
    assert small.run(predict, champion) == scoring


def test_a_day_without_any_champion_is_resolved_to_none_and_predict_refuses_it(seeded: World) -> None:
    champion = seeded.run(resolve, LAST_DAY)
    assert (champion.version, champion.reason) == (None, "no champion has been promoted yet")
    with pytest.raises(MissingArtifact, match=f"{LAST_DAY} cannot be scored: no champion has been promoted yet"):
        seeded.run(predict, champion)


def test_a_day_that_the_registry_does_not_hold_is_named(trained: World) -> None:
    with pytest.raises(MissingArtifact, match=rf"no inputs of {NEXT_DAY}; run the ingest Dag"):
        trained.run(resolve, NEXT_DAY)


def test_a_past_day_is_never_scored_by_a_model_that_has_seen_it_unless_forced(trained: World) -> None:
    day = date(2013, 6, 1)
    champion = trained.run(resolve, day)
    assert champion.version is None
    assert "set score.force_future_model" in champion.reason
    with pytest.raises(MissingArtifact, match="none may score 2013-06-01"):
        trained.run(predict, champion)
    forced = trained.having(score={"force_future_model": True})
    champion, scoring = forced.score(day)
    assert "forced" in champion.reason
    assert scoring.published and served(trained, day).exists()


def test_predictions_that_break_their_contract_are_not_published_and_the_old_file_stays(
    trained: World, tmp_path: Path
) -> None:
    trained.score(LAST_DAY)
    before = served(trained).read_bytes()
    strict = tmp_path / "strict"
    shutil.copytree(PROJECT_ROOT / "expectations", strict)
    suite = json.loads((strict / "predictions.json").read_text())
    bound = {"column": "prediction", "min_value": 0.9, "max_value": 1}
    suite["expectations"].append(
        {"type": "expect_column_values_to_be_between", "kwargs": bound, "meta": {"level": "table"}}
    )
    (strict / "predictions.json").write_text(json.dumps(suite))
    shutil.copytree(strict, trained.home / "expectations")
    with pytest.raises(DataRejected, match=rf"predictions of {LAST_DAY} by version 1 refused.*Report: ") as caught:
        trained.score(LAST_DAY)
    assert Path(str(caught.value.report_uri)).exists()
    assert served(trained).read_bytes() == before
    shutil.rmtree(trained.home / "expectations")
    assert trained.score(LAST_DAY)[1].published


def test_an_estimator_that_gives_no_number_is_caught_before_publishing(
    trained: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = trained.run(resolve, LAST_DAY)
    monkeypatch.setattr(predict, "predict", lambda pipeline, matrix, kind: np.full(len(matrix), np.nan))
    scoring = trained.run(predict, champion)
    with pytest.raises(DataRejected, match="prediction"):
        trained.run(publish, champion, scoring)
    assert not served(trained).exists()


def test_killed_between_predict_and_publish_nothing_is_served_and_the_next_run_serves_it(
    trained: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = trained.run(resolve, LAST_DAY)
    scoring = trained.run(predict, champion)
    assert not served(trained).exists()

    def killed(self: Workspace, name: str, path: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Workspace, "write_file", killed)
        trained.run(publish, champion, scoring)
    assert not served(trained).exists()
    assert trained.run(publish, champion, scoring).published
    assert served(trained).exists() and served(trained).with_suffix(".json").exists()
    leftovers = [p.name for p in (trained.home / "storage" / "predictions").rglob("*") if p.is_file()]
    assert sorted(leftovers) == ["version=1.json", "version=1.parquet"]


def test_a_staged_file_of_another_run_is_not_published(trained: World) -> None:
    champion = trained.run(resolve, LAST_DAY)
    scoring = trained.run(predict, champion)
    trained.having(task={"threshold": 0.1}).run(predict, champion)
    with pytest.raises(MissingArtifact, match="another run of 2013-06-14 has staged it since; clear 'predict'"):
        trained.run(publish, champion, scoring)
    assert not served(trained).exists()


def test_a_corrected_day_is_scored_from_the_version_that_was_resolved(trained: World) -> None:
    champion = trained.run(resolve, LAST_DAY)
    trained.put({("inputs", LAST_DAY): trained.held("inputs", LAST_DAY).head(100)})
    assert trained.run(predict, champion).rows == 989
    assert trained.run(predict, trained.run(resolve, LAST_DAY)).rows == 100


def test_a_later_label_changes_no_prediction_of_an_earlier_day(trained: World) -> None:
    _, scoring = trained.score(LAST_DAY)
    labels = trained.held("labels", LAST_DAY - timedelta(days=1)).assign(day=LAST_DAY.isoformat())
    trained.put({("labels", LAST_DAY): labels.assign(late=1.0)})
    assert trained.score(LAST_DAY)[1].sha256 == scoring.sha256
