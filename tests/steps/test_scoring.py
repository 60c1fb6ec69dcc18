"""A day's predictions: from the champion of that day, the same bytes each time, published whole or not at all."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ml.adapters import layout
from ml.adapters.local_files import LocalObjects
from ml.adapters.workspace import Workspace
from ml.core.training.lagged_means import history_names
from ml.errors import DataRejected, MissingArtifact
from ml.records import Champion, Plan, Scoring, Shard
from ml.settings import PROJECT_ROOT, Environment
from ml.steps.labelled_rows import labelled_rows
from ml.steps.score import plan, predict, publish, resolve, row_scoring
from ml.wiring import Services
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World
from tests.travelling import TravellingEngine


def served(world: World, day: date = LAST_DAY, version: int = 1) -> Path:
    return world.home / "storage" / "predictions" / f"day={day}" / f"version={version}.parquet"


def only_shard(world: World, champion: Champion) -> Shard:
    """Give a day that is one shard."""
    (shard,) = world.run(plan, champion).shards
    return shard


def cut_and_scored(world: World, day: date = LAST_DAY) -> tuple[Plan, list[Scoring]]:
    """Do what the Dag does before it publishes."""
    shards = world.run(plan, world.run(resolve, day))
    return shards, [world.run(predict, shard) for shard in shards.shards]


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
    whole = trained.run(predict, only_shard(trained, champion))
    expected = pd.read_parquet(whole.uri)
    small = trained.having(score={"batch_rows": batch_rows})
    scoring = small.run(predict, only_shard(small, champion))
    found = pd.read_parquet(scoring.uri)
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=0, atol=1e-12)
    assert (found["decision"] == expected["decision"]).all()
    assert scoring.rows == whole.rows == 40
    assert small.run(predict, only_shard(small, champion)) == scoring


def test_a_day_without_any_champion_is_resolved_to_none_and_plan_refuses_it(seeded: World) -> None:
    champion = seeded.run(resolve, LAST_DAY)
    assert (champion.version, champion.reason) == (None, "no champion has been promoted yet")
    with pytest.raises(MissingArtifact, match=f"{LAST_DAY} cannot be scored: no champion has been promoted yet"):
        seeded.run(plan, champion)


def test_a_day_that_the_registry_does_not_hold_is_named(trained: World) -> None:
    with pytest.raises(MissingArtifact, match=rf"no inputs of {NEXT_DAY}; run Ingest for {NEXT_DAY}"):
        trained.run(resolve, NEXT_DAY)


def test_a_past_day_is_never_scored_by_a_model_that_has_seen_it_unless_forced(trained: World) -> None:
    day = date(2013, 6, 1)
    champion = trained.run(resolve, day)
    assert champion.version is None
    assert "set score.force_future_model" in champion.reason
    with pytest.raises(MissingArtifact, match="none may score 2013-06-01"):
        trained.run(plan, champion)
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
    with pytest.raises(DataRejected, match=rf"predictions of {LAST_DAY} by version 1 rejected.*Report: ") as caught:
        trained.score(LAST_DAY)
    assert Path(str(caught.value.report_uri)).exists()
    assert served(trained).read_bytes() == before
    shutil.rmtree(trained.home / "expectations")
    assert trained.score(LAST_DAY)[1].published


def test_an_estimator_that_gives_no_number_is_caught_before_publishing(
    trained: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_scoring, "predict", lambda pipeline, matrix, *_: np.full(len(matrix), np.nan))
    shards, scorings = cut_and_scored(trained)
    with pytest.raises(DataRejected, match="prediction"):
        trained.run(publish, shards, scorings)
    assert not served(trained).exists()


def test_killed_between_predict_and_publish_nothing_is_served_and_the_next_run_serves_it(
    trained: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, scorings = cut_and_scored(trained)
    assert not served(trained).exists()

    def killed(self: Workspace, name: str, path: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Workspace, "write_file", killed)
        trained.run(publish, shards, scorings)
    assert not served(trained).exists()
    assert trained.run(publish, shards, scorings).published
    assert served(trained).exists() and served(trained).with_suffix(".json").exists()
    leftovers = [p.name for p in (trained.home / "storage" / "predictions").rglob("*") if p.is_file()]
    assert sorted(leftovers) == ["version=1.json", "version=1.parquet"]


def test_another_run_of_the_same_day_disturbs_nobody(trained: World) -> None:
    shards, scorings = cut_and_scored(trained)
    other_shards, others = cut_and_scored(trained.having(task={"threshold": 0.1}))
    published = trained.run(publish, shards, scorings)
    assert published.sha256 == scorings[0].sha256 != others[0].sha256
    assert trained.run(publish, other_shards, others).sha256 == others[0].sha256


def test_a_staged_file_that_was_changed_is_not_published(trained: World) -> None:
    shards, scorings = cut_and_scored(trained)
    Path(scorings[0].uri).write_bytes(Path(scorings[0].uri).read_bytes()[:-1])
    with pytest.raises(MissingArtifact, match="is not what was predicted; run 'predict' and what follows again"):
        trained.run(publish, shards, scorings)
    assert not served(trained).exists()


def test_a_corrected_day_is_scored_from_the_version_that_was_resolved(trained: World) -> None:
    champion = trained.run(resolve, LAST_DAY)
    trained.put({("inputs", LAST_DAY): trained.held("inputs", LAST_DAY).head(100)})
    assert trained.run(predict, only_shard(trained, champion)).rows == 366
    assert trained.run(predict, only_shard(trained, trained.run(resolve, LAST_DAY))).rows == 100


def test_a_later_label_changes_no_prediction_of_an_earlier_day(trained: World) -> None:
    _, scoring = trained.score(LAST_DAY)
    labels = trained.held("labels", LAST_DAY - timedelta(days=1)).assign(day=LAST_DAY.isoformat())
    trained.put({("labels", LAST_DAY): labels.assign(late=1.0)})
    assert trained.score(LAST_DAY)[1].sha256 == scoring.sha256


# --- days of several shards -------------------------------------------------------------------------

BATCH = 37


def sharded(world: World, rows_per_shard: int) -> World:
    """Give a world whose days of 366 flights take so many rows a shard."""
    return world.having(score={"batch_rows": BATCH, "rows_per_shard": rows_per_shard})


def test_a_feed_of_labels_that_stands_still_longer_than_lagged_means_reach_stops_no_scoring(
    trained: World, caplog: pytest.LogCaptureFixture
) -> None:
    later = NEXT_DAY + timedelta(days=45)
    old = LAST_DAY - timedelta(days=1)
    tables = {asset: trained.held(asset, old).assign(day=later.isoformat()) for asset in ("inputs", "labels")}
    trained.put({(asset, later): table for asset, table in tables.items()})
    _, scoring = trained.score(later)
    assert scoring.published and scoring.rows == len(tables["inputs"])
    assert "all lagged target means are null" in caplog.text
    services = trained.services
    rows = labelled_rows([later], trained.settings, services, rev=services.registry.head())
    assert len(rows) == tables["labels"][trained.settings.task.target].notna().sum()
    assert rows[history_names(trained.settings.features.history)].isna().all(axis=None)


def test_however_many_shards_the_bytes_are_the_same(trained: World) -> None:
    found = {}
    for rows, shards in ((1000, 1), (185, 2), (55, 5), (1, 10)):
        world = sharded(trained, rows)
        assert len(world.run(plan, world.run(resolve, LAST_DAY)).shards) == shards
        _, scoring = world.score(LAST_DAY)
        sidecar = json.loads(served(trained).with_suffix(".json").read_text())
        assert len(sidecar["shards"]) == shards and sum(each["rows"] for each in sidecar["shards"]) == 366
        found[shards] = (served(trained).read_bytes(), scoring)
    assert len({bytes_ for bytes_, _ in found.values()}) == 1
    assert len({scoring for _, scoring in found.values()}) == 1
    assert pq.ParquetFile(served(trained)).metadata.num_row_groups == 10


@pytest.mark.parametrize("groups", [1, 97, 250, 5000])
def test_however_the_inputs_are_cut_into_row_groups_the_bytes_are_the_same(groups: int, trained: World) -> None:
    _, expected = sharded(trained, 111).score(LAST_DAY)
    inputs = trained.held("inputs", LAST_DAY)
    path = trained.home / "odd.parquet"
    inputs.to_parquet(path, row_group_size=groups, index=False)
    trained.services.registry.commit({("inputs", LAST_DAY): path}, message="The same rows, in other row groups")
    assert sharded(trained, 111).score(LAST_DAY)[1] == expected


def test_on_the_workers_of_a_cluster_the_bytes_are_the_same(trained: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day stays one shard, of which each part is sent away by itself."""
    expected = {}
    for adapt in ("none", "intercept"):
        here = sharded(trained, 100_000).having(score={"adapt": adapt})
        _, scoring = here.score(LAST_DAY)
        expected[adapt] = (scoring, served(here).read_bytes())
    engine = TravellingEngine(200)
    monkeypatch.setattr(Services, "engine", engine)
    for adapt, (scoring, content) in expected.items():
        there = sharded(trained, 200).having(score={"adapt": adapt}, engine={"kind": "cluster"})
        shutil.rmtree(there.home / "storage" / "history", ignore_errors=True)
        shutil.rmtree(there.home / "storage" / "predictions")
        assert there.score(LAST_DAY)[1] == scoring
        assert served(there).read_bytes() == content
    assert engine.parts > 4


def test_scores_that_are_adapted_are_the_same_in_shards(trained: World) -> None:
    adapting = trained.having(score={"adapt": "intercept"})
    _, whole = sharded(adapting, 1000).score(LAST_DAY)
    shards, scorings = cut_and_scored(sharded(adapting, 111))
    assert {each.adaptation for each in scorings} == {whole.adaptation}
    assert whole.adaptation is not None and whole.adaptation.shift != 0
    assert trained.run(publish, shards, scorings) == whole


def test_a_shard_is_scored_again_by_itself(trained: World) -> None:
    world = sharded(trained, 111)
    shards, scorings = cut_and_scored(world)
    written = Path(scorings[1].uri)
    before = {path: path.stat().st_mtime_ns for path in written.parent.iterdir()}
    written.unlink()
    assert world.run(predict, shards.shards[1]) == scorings[1]
    after = {path: path.stat().st_mtime_ns for path in written.parent.iterdir()}
    assert {path for path in after if after[path] != before[path]} == {written}
    assert world.run(publish, shards, scorings).published


def test_killed_while_a_shard_is_written_nothing_of_it_is_there(
    trained: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sharded(trained, 111)
    shards = world.run(plan, world.run(resolve, LAST_DAY))
    first = world.run(predict, shards.shards[0])

    def killed(self: LocalObjects, name: str, path: Path) -> str:
        (Path(self.root) / name).with_name(".half.tmp").write_bytes(path.read_bytes()[:50])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LocalObjects, "put_file", killed)
        world.run(predict, shards.shards[1])
    staging = world.services.storage_folder("staging")
    assert len([name for name in staging.names() if name.endswith(".parquet")]) == 1
    scorings = [first, *(world.run(predict, shard) for shard in shards.shards[1:])]
    assert world.run(publish, shards, scorings) == sharded(trained, 1000).score(LAST_DAY)[1]


def test_a_missing_shard_is_named_and_nothing_is_published(trained: World) -> None:
    shards, scorings = cut_and_scored(sharded(trained, 111))
    with pytest.raises(
        MissingArtifact, match=r"shard 2 of 4 \(rows 111 to 221\) is missing; run 'predict' and what follows again"
    ):
        trained.run(publish, shards, [scorings[0], *scorings[2:]])
    with pytest.raises(MissingArtifact, match=r"shard 1 of 4 \(rows 0 to 110\) came 2 times"):
        trained.run(publish, shards, [scorings[0], *scorings])
    Path(scorings[2].uri).unlink()
    with pytest.raises(MissingArtifact, match="rows 222 to 332 of 2013-06-14: .*run 'predict' and what follows again"):
        trained.run(publish, shards, scorings)
    assert not served(trained).exists()


def test_shards_of_another_cut_day_or_version_are_refused(trained: World) -> None:
    shards, scorings = cut_and_scored(sharded(trained, 111))
    _, halves = cut_and_scored(sharded(trained, 185))
    with pytest.raises(MissingArtifact, match="rows 0 to 184 are of another cut"):
        trained.run(publish, shards, [*scorings[1:], halves[0]])
    other = scorings[0].model_copy(update={"version": 9})
    with pytest.raises(MissingArtifact, match="there are predictions of 2013-06-14 by version 9"):
        trained.run(publish, shards, [other, *scorings[1:]])


def test_shards_that_changed_places_are_refused_though_their_rows_are_as_many(trained: World) -> None:
    shards, scorings = cut_and_scored(sharded(trained, 111))
    first, second = (
        scorings[number].model_copy(update={"first_row": scorings[1 - number].first_row}) for number in (0, 1)
    )
    for wrong, right in ((first, scorings[0]), (second, scorings[1])):
        name = layout.scoring.staged_shard(wrong.first_row, wrong.first_row + wrong.rows, wrong.sha256)
        shutil.copy(right.uri, Path(right.uri).with_name(name))
    with pytest.raises(MissingArtifact, match="those of rows 0 to 110 are not of the day's own rows"):
        trained.run(publish, shards, [first, second, *scorings[2:]])


def test_a_key_that_comes_in_two_shards_is_refused(trained: World) -> None:
    inputs = trained.held("inputs", LAST_DAY)
    trained.put({("inputs", LAST_DAY): pd.concat([inputs, inputs.head(1)], ignore_index=True)})
    shards, scorings = cut_and_scored(sharded(trained, 111))
    with pytest.raises(DataRejected, match=r"must be unique together \(2 rows, such as 2013-06-14 "):
        trained.run(publish, shards, scorings)
    whole, scored = cut_and_scored(sharded(trained, 1000))
    with pytest.raises(DataRejected, match="must be unique together"):
        trained.run(publish, whole, scored)


def test_one_report_tells_of_all_shards(trained: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = sharded(trained, 111)
    _, scoring = world.score(LAST_DAY)
    said = Path(str(scoring.report_uri)).read_text()
    assert "predictions: accepted" in said and "366 rows came" in said
    genuine = row_scoring.predict
    monkeypatch.setattr(row_scoring, "predict", lambda *given: genuine(*given) * 10)
    shards, scorings = cut_and_scored(world)
    with pytest.raises(DataRejected, match=r"prediction must be between 0 and 1 \([23]\d\d rows, such as"):
        world.run(publish, shards, scorings)


def test_two_workers_that_score_and_publish_at_once_agree(trained: World) -> None:
    world = sharded(trained, 111)
    shards = world.run(plan, world.run(resolve, LAST_DAY))
    work = [shard for shard in shards.shards for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        scorings = list(pool.map(lambda shard: world.run(predict, shard), work))
        assert scorings[::2] == scorings[1::2]
        first, second = pool.map(lambda _: world.run(publish, shards, scorings[::2]), range(2))
    assert first == second == sharded(trained, 1000).score(LAST_DAY)[1]


def test_workers_share_storage_registry_and_mlflow_and_no_disk(trained: World, tmp_path: Path) -> None:
    world = sharded(trained, 111)
    expected = sharded(trained, 1000).score(LAST_DAY)[1]
    shared = {
        "EVERGREEN_STORAGE": str(world.home / "storage"),
        "EVERGREEN_REGISTRY": str(world.home / "registry.git"),
        "EVERGREEN_REGISTRY_REMOTE": str(world.home / "registry-remote"),
        "MLFLOW_TRACKING_URI": world.services.environment.tracking,
    }

    def elsewhere(number: int) -> dict[str, Any]:
        environment = Environment.load({"EVERGREEN_HOME": str(tmp_path / f"worker-{number}"), **shared})
        return {"settings": world.settings, "services": Services(world.settings, environment)}

    shards = plan.run(resolve.run(LAST_DAY, **elsewhere(0)), **elsewhere(0))
    scorings = [predict.run(shard, **elsewhere(number)) for number, shard in enumerate(shards.shards, start=1)]
    for worker in tmp_path.glob("worker-*"):
        shutil.rmtree(worker)
    assert publish.run(shards, scorings, **elsewhere(9)) == expected


def test_what_was_settled_when_the_day_was_cut_holds_whatever_is_edited_meanwhile(trained: World) -> None:
    world = sharded(trained, 111)
    shards, scorings = cut_and_scored(world)
    edited = world.having(task={"threshold": 0.1}, score={"batch_rows": 7, "adapt": "intercept"})
    assert edited.run(predict, shards.shards[1]) == scorings[1]


def test_a_day_without_rows_is_refused_by_its_contract(trained: World) -> None:
    trained.put({("inputs", LAST_DAY): trained.held("inputs", LAST_DAY).head(0)})
    shards, scorings = cut_and_scored(trained)
    assert [scoring.rows for scoring in scorings] == [0]
    with pytest.raises(DataRejected, match="the table has no rows"):
        trained.run(publish, shards, scorings)


# --- history features -------------------------------------------------------------------------------


def test_labelled_days_are_summed_up_once_and_their_sums_give_the_same_bytes(
    trained: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = trained.home / "storage" / "history"
    shutil.rmtree(kept, ignore_errors=True)
    _, first = trained.score(LAST_DAY)
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*.parquet")}
    assert len(before) == 28
    trained.put({("inputs", NEXT_DAY): trained.held("inputs", LAST_DAY).assign(day=NEXT_DAY.isoformat())})
    assert trained.score(LAST_DAY)[1] == first
    trained.score(NEXT_DAY)
    after = {path: path.stat().st_mtime_ns for path in kept.rglob("*.parquet")}
    assert {path: after[path] for path in before} == before
    shutil.rmtree(kept)
    assert trained.score(LAST_DAY)[1] == first


def test_the_sums_of_a_corrected_day_are_taken_anew(trained: World) -> None:
    _, first = trained.score(LAST_DAY)
    day = LAST_DAY - timedelta(days=1)
    trained.put({("labels", day): trained.held("labels", day).assign(late=1.0)})
    assert trained.score(LAST_DAY)[1].mean_prediction > first.mean_prediction


def test_history_from_sums_is_what_training_computes(trained: World) -> None:
    """The holdout was scored through `add_history` on all rows; scoring the same days reads sums."""
    read: Any = pd.read_parquet
    seen = trained.services.tracking.read_file(1, "lineage/holdout.parquet", read)
    day = str(seen["day"].max())
    forced = trained.having(score={"force_future_model": True})
    forced.score(date.fromisoformat(day))
    frame = pd.read_parquet(served(trained, date.fromisoformat(day)))
    known = trained.held("labels", date.fromisoformat(day)).dropna()
    joined = frame.merge(known, on=list(trained.settings.task.key), how="inner")
    np.testing.assert_allclose(joined["prediction"], seen.loc[seen["day"] == day, "challenger"], rtol=0, atol=1e-12)
